// Samples: latents drawn from the prior and decoded. Each tile is a link to its latent.

import { attempt, errorPlace, h, help, newest, number } from "../dom.js";
import { labelSelect } from "../latent_tools.js";
import { makeLink, readLink, round, writeLatent } from "../link.js";
import { dataUrl, download } from "../pictures.js";
import { operate } from "../server.js";

const COUNT = 64;

export function samplesView(app) {
  const { model } = app;
  const error = errorPlace();
  const grid = h("div", { class: "grid", id: "samples" });
  const words = h("p", { class: "quiet", aria_live: "polite" });
  const seed = h("input", { type: "number", min: 0, step: 1, value: 1, id: "seed", onchange: () => draw() });
  const warmth = h("output", {}, "1.0");
  const temperature = h("input", {
    type: "range", min: 0, max: 2, step: 0.1, value: 1, id: "temperature",
    oninput: () => { warmth.textContent = number(Number(temperature.value), 1); draw(); },
  });
  const labels = labelSelect(app, () => draw(), { any: true });
  const query = () => ({ n: COUNT, seed: seed.value, temperature: temperature.value, label: model.labels.length ? app.label : null });

  const fresh = newest(async (asked, signal) => {
    const answer = await operate(model, "sample", { query: asked, signal });
    const { m, d } = readLink();
    grid.replaceChildren(...answer.images.map((png, i) => {
      const fields = { m: m || `${model.name}@${model.version}`, d, v: "latents", z: writeLatent(round(answer.latents[i].flat(Infinity))), y: answer.label_used?.[i] };
      return h("a", { href: makeLink(fields), title: `Open sample ${i + 1} in Latents` }, h("img", { src: dataUrl(png), class: "pixels", alt: `sample ${i + 1}` }));
    }));
    words.textContent = answer.is_model_sample ? "These are samples of the model: latents from the prior, and the mean of p(x|z)." : "Not samples of the model: its temperature is 1. Lower ones are more alike, higher ones stranger.";
    app.changed();
  });
  const draw = () => attempt(error, () => fresh(query()));
  const next = (step) => { seed.value = Math.max(0, Number(seed.value) + step); draw(); };
  const save = (format, name) => attempt(error, async () => {
    download(await operate(model, "sample", { query: { ...query(), format }, as: "blob" }), `${model.name}-seed${seed.value}.${name}`);
  });

  const refusal = app.refuses("sample");
  const element = h("section", { class: "panel samples" },
    h("h3", {}, "Sixty-four pictures that the model makes up", help("A seed gives the same bytes for ever. Each tile opens in Latents, and is a link to copy.", "sample")),
    refusal ? h("p", {}, refusal) : [
      h("div", { class: "row" },
        h("label", {}, "seed ", seed), h("button", { onclick: () => next(-1), aria_label: "Previous seed" }, "\u2039"), h("button", { class: "main", id: "next", onclick: () => next(1) }, "Next seed"),
        h("label", {}, "temperature ", temperature, " ", warmth), labels,
        h("span", { class: "spring" }),
        h("button", { onclick: () => save("png", "png") }, "PNG"), h("button", { onclick: () => save("npy", "npy") }, "npy")),
      error, grid, words]);

  return {
    element,
    async open(link) {
      if (refusal) return;
      if (link.seed !== undefined) seed.value = link.seed;
      if (link.t !== undefined) { temperature.value = link.t; warmth.textContent = number(Number(temperature.value), 1); }
      if (labels) labels.querySelector("select").value = app.label ?? "";
      await draw();
    },
    refresh: () => (refusal ? null : draw()),
    fields: () => ({ seed: seed.value, t: temperature.value === "1" ? null : temperature.value }),
  };
}
