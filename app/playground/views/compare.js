// Compare: one picture by every model of its size.

import { bar } from "../charts.js";
import { attempt, errorPlace, h, help, nats, number, percent } from "../dom.js";
import { tiles } from "../gallery.js";
import { canvasOf, dataUrl, fitInto } from "../pictures.js";
import { operate } from "../server.js";

// Bits per dim of two models compare where they are of the same pixels and levels.
const kindOf = (model) => JSON.stringify([model.image_shape, model.image.levels, model.image.binarization]);

function levelsOf(model) {
  if (model.image.levels === 2) return `pixels binarised (${model.image.binarization})`;
  return `${model.image.levels} levels of grey or colour`;
}

export function compareView(app) {
  const error = errorPlace();
  const given = h("div", { class: "row given" });
  const table = h("div", { class: "compared", id: "compared" });
  let controller = null;

  async function compare() {
    controller?.abort();
    controller = new AbortController();
    const { signal } = controller;
    await attempt(error, async () => {
      const { items } = await app.pictures();
      app.picture ||= items[0]?.picture ?? null;
      if (!app.picture) throw new Error("Choose a picture in Draw & score first.");
      const canvas = canvasOf(app.model.image_shape, { class: "pixels small" });
      const bitmap = await createImageBitmap(app.picture.blob).catch(() => null);
      if (bitmap) fitInto(canvas, bitmap, app.model.image.fit);
      given.replaceChildren(canvas, h("div", {}, h("p", {}, h("strong", {}, app.picture.name)), tiles(items, (item) => { app.picture = item.picture; compare(); }, { pressed: (item) => item.picture === app.picture })));
      const all = await Promise.all(app.models.map(app.describe));
      const same = all.filter((model) => String(model.image_shape) === String(app.model.image_shape));
      const rows = await Promise.all(same.map((model) => measure(model, signal)));
      if (!signal.aborted) show(rows, all.filter((model) => !same.includes(model)));
    });
    app.changed();
  }

  async function measure(model, signal) {
    const has = (operation) => model.operations.some(({ name }) => name === operation);
    const options = { picture: app.picture, signal };
    const [score, again] = await Promise.all([
      has("elbo") ? operate(model, "elbo", { ...options, query: { num_samples: 100, seed: 1 } }) : null,
      has("reconstruct") ? operate(model, "reconstruct", { ...options, note: false }) : null]);
    return { model, result: score?.results[0] ?? null, image: again?.images[0] ?? null };
  }

  function show(rows, others) {
    const groups = Map.groupBy(rows, ({ model }) => kindOf(model));
    const worst = Math.max(...rows.map(({ result }) => result?.bits_per_dim ?? 0));
    table.replaceChildren(...[...groups.values()].flatMap((group) => {
      const sorted = group.toSorted((a, b) => (a.result?.bits_per_dim ?? Infinity) - (b.result?.bits_per_dim ?? Infinity));
      const most = Math.max(...sorted.map(({ result }) => result?.bits_per_dim ?? 0)) || worst;
      return [
        h("p", { class: "kind" }, h("strong", {}, levelsOf(group[0].model)), group.length > 1 ? ": these compare, lower is better" : ": nothing here compares with it"),
        ...sorted.map((row) => line(row, most)),
      ];
    }),
    groups.size > 1 ? h("p", { class: "quiet" }, "Bits per dim do not compare between these groups: a picture of 2 levels and one of 256 are different events, and the first needs fewer bits whatever the model.") : "",
    others.length ? h("p", { class: "quiet" }, `Not compared, for their pictures have another size: ${others.map((m) => `${m.name} (${m.image_shape[2]}\u00d7${m.image_shape[1]}${m.image_shape[0] === 3 ? " colour" : ""})`).join(", ")}.`) : "");
  }

  function line({ model, result, image }, most) {
    return h("div", { class: "compared-row" },
      image ? h("img", { src: dataUrl(image), class: "pixels", alt: `reconstruction by ${model.name}` }) : h("span", { class: "quiet" }, "no reconstruction"),
      h("div", {}, h("button", { class: "plain", onclick: () => choose(model) }, `${model.name} v${model.version}`),
        h("p", { class: "quiet" }, result ? `${nats(result.elbo_nats)}${result.percentile === null ? "" : ` \u00b7 more typical than ${percent(result.percentile)} of its held-out pictures`}` : model.lacks.likelihood || model.lacks.posterior || "no ELBO")),
      result && result.bits_per_dim !== null ? bar(result.bits_per_dim, most, `${number(result.bits_per_dim, 3)} bits/dim`) : h("span", { class: "why" }, result?.bits_per_dim_reason || ""));
  }

  function choose(model) {
    app.picture = { ...app.picture, source: "file" }; // it is kept
    location.hash = `m=${model.name}@${model.version}&v=draw`;
  }

  const element = h("section", { class: "panel compare" },
    h("h3", {}, "One picture, every model of its size", help("The ELBO as bits per pixel and channel: how many bits a code by this model would need. An upper bound, lower is better.", "elbo")),
    given, error, table);
  return { element, open: compare, refresh: compare, close: () => controller?.abort(), fields: () => (app.picture?.index !== undefined ? { x: app.picture.index } : {}) };
}
