// Draw & score: a picture, what the model makes of it, and how probable the model holds it.

import { classBars, costs, heldOut, posterior } from "../charts.js";
import { attempt, count, errorPlace, h, help, nats, number, percent } from "../dom.js";
import { tiles } from "../gallery.js";
import { atModelSize, pictureInput } from "../input.js";
import { likelihoodPanel } from "../likelihood.js";
import { readLatent, round, writeLatent } from "../link.js";
import { canvasOf, pngOf } from "../pictures.js";
import { operate } from "../server.js";
import { errorMap, pixelMap } from "../maps.js";

export function drawView(app) {
  const { model } = app;
  const error = errorPlace();
  const input = pictureInput(app, take, error);
  const examples = h("div", { class: "examples" });
  const reading = {
    invert: h("input", { type: "checkbox", id: "invert", onchange: () => score() }),
    centre: h("input", { type: "checkbox", id: "centre", onchange: () => score() }),
  };
  const seen = canvasOf(model.image_shape, { aria_label: "The picture as the model sees it" });
  const again = canvasOf(model.image_shape, { aria_label: "Reconstruction" });
  const difference = canvasOf(model.image_shape, { class: "pixels map", aria_label: "Error of the reconstruction" });
  const figure = (canvas, ...caption) => h("figure", {}, canvas, h("figcaption", {}, ...caption));
  const surprise = figure(canvasOf(model.image_shape, { class: "pixels map", aria_label: "Surprise of the model at each pixel" }), "");
  surprise.hidden = true;
  const legend = h("span", { class: "quiet" });
  const steps = h("p", { class: "quiet steps", aria_live: "polite" });
  const warnings = h("ul", { class: "warnings", aria_live: "polite" });
  const verdict = h("div", { class: "verdict-body", aria_live: "polite" });
  const alarm = h("div", {});
  const classes = h("div", {});
  const latents = h("div", { class: "panel wide" });
  const likelihood = likelihoodPanel(app, () => ({ picture: app.picture, query: query(), elbo: lastElbo }));
  let controller = null;
  let lastElbo = null;
  let found = new Map();

  const query = () => ({ invert: reading.invert.checked, centre: reading.centre.checked });

  async function take(picture, { keepReading = false } = {}) {
    app.picture = picture;
    if (!keepReading) reading.invert.checked = reading.centre.checked = false;
    await score();
  }

  async function score() {
    const { picture } = app;
    if (!picture) return;
    controller?.abort();
    const mine = new AbortController(); // a later run has another
    controller = mine;
    const { signal } = mine;
    likelihood.clear();
    found = new Map();
    showWarnings();
    verdict.setAttribute("aria-busy", "true");
    markExamples();
    await attempt(error, async () => {
      const call = (operation, more, options) => (app.refuses(operation) ? null : operate(model, operation, { query: { ...query(), ...more }, picture, signal, note: false, ...options }));
      const elbo = Promise.resolve(call("elbo", { num_samples: 100, seed: 1, check: true, pixels: app.hasParameter("elbo", "pixels") }, { note: true }));
      const anomaly = elbo.then(() => call("anomaly", { seed: 1, map: "error" })); // the verdict comes first
      const parts = [
        elbo.then((answer) => showScore(answer, signal)),
        Promise.all([call("reconstruct", { with_error: true }), anomaly]).then((answers) => showPictures(answers, signal)),
        Promise.resolve(call("encode")).then((answer) => showPosterior(answer, signal)),
        Promise.resolve(call("classify", { seed: 1 })).then(showClasses),
      ];
      try {
        await Promise.all(parts);
      } catch (failure) {
        mine.abort();
        throw failure;
      }
    });
    if (controller !== mine) return;
    verdict.removeAttribute("aria-busy");
    if (signal.aborted) return;
    app.changed();
    likelihood.start();
  }

  function note(answer) {
    for (const { code, message } of answer.warnings) found.set(code, message);
    showWarnings();
    steps.textContent = `Steps: ${answer.preprocessing[0].join(", ") || "none"}.`;
  }

  function showWarnings() {
    const shown = [...found.values()].join("\n");
    if (shown === warnings.dataset.shown) return; // a button stays while it is pressed
    warnings.dataset.shown = shown;
    warnings.replaceChildren(...[...found].map(([code, message]) => h("li", {}, message, " ", fixOf(code, message))));
  }

  function fixOf(code, message) {
    if (code === "looks_inverted") {
      const gain = message.match(/ELBO by ([\d,]+) nats/)?.[1];
      return h("button", { class: "fix", onclick: () => { reading.invert.checked = !reading.invert.checked; score(); } }, gain ? `Invert it: +${gain} nats` : "Invert it");
    }
    if (code === "below_references") return h("button", { class: "fix", onclick: () => app.go("compare") }, "Which model knows it?");
    if (code === "centring") return h("button", { class: "fix", onclick: () => { reading.centre.checked = true; score(); } }, "Centre it");
    return null;
  }

  // A drawing beside the middle is the commonest fault: say what centring gains.
  async function tryCentring(result, signal) {
    const { picture } = app;
    if (picture.source === "example" || reading.centre.checked || found.has("constant") || !(result.percentile < 25)) return;
    const answer = await operate(model, "elbo", { query: { ...query(), centre: true, num_samples: 100, seed: 1 }, picture, signal, note: false });
    const gain = answer.results[0].elbo_nats - result.elbo_nats;
    if (gain > 5 * answer.results[0].standard_error_nats && !signal.aborted) {
      found.set("centring", `Centring the picture raises the ELBO by ${number(gain, 0)} nats.`);
      showWarnings();
    }
  }

  async function showScore(answer, signal) {
    if (!answer) {
      verdict.replaceChildren(h("p", {}, app.refuses("elbo")));
      return;
    }
    note(answer);
    performance.mark("verdict");
    const [result] = answer.results;
    lastElbo = result.elbo_nats;
    const { quantiles } = app;
    verdict.replaceChildren(
      h("p", { class: "sentence", id: "sentence" }, sentence(result)),
      quantiles ? heldOut(quantiles, result.elbo_nats) : "",
      h("dl", { class: "facts" },
        h("dt", {}, "ELBO"), h("dd", {}, h("span", { class: "num" }, `${nats(result.elbo_nats)}${result.standard_error_nats === null ? "" : ` \u00b1 ${number(result.standard_error_nats)}`}`), help("A guaranteed lower bound on log p(x): how well the picture can be rebuilt from its latents, minus what the latents cost.", "elbo")),
        h("dt", {}, "pixels given latents"), h("dd", {}, h("span", { class: "num" }, nats(result.expected_log_likelihood_nats)), help("log p(x|z), averaged over the latents that the encoder finds for the picture.", "elbo")),
        h("dt", {}, "\u2212 KL"), h("dd", {}, h("span", { class: "num" }, nats(-result.kl_nats)), help("Minus the divergence of the picture's latents from the prior: the price of saying which latents. Both rows add up to the ELBO.", "elbo")),
        h("dt", {}, "bits per dim"), h("dd", {}, result.bits_per_dim === null ? h("span", { class: "why" }, result.bits_per_dim_reason) : h("span", { class: "num" }, number(result.bits_per_dim, 3)), help("The same bound per pixel and channel, in bits. Lower is better. It compares models of the same size and the same levels only.", "elbo"))),
      result.expected_log_likelihood_nats < 0 && result.kl_nats > 0 ? costs(-result.expected_log_likelihood_nats, result.kl_nats) : "");
    pixelMap(surprise, surprise.firstChild, result.pixel_log_likelihood_nats);
    await tryCentring(result, signal);
  }

  function sentence(result) {
    const { percentile, reference_n: n } = result;
    if (percentile === null) return `${nats(result.elbo_nats)}. ${result.percentile_reason}`;
    if (percentile <= 101 / (n + 1)) return `Less typical than each of ${count(n)} held-out pictures.`;
    if (percentile < 10) return `Less typical than ${percent(100 - percentile)} of held-out pictures.`;
    return `More typical than ${percent(percentile)} of held-out pictures.`;
  }

  async function showPictures([answer, odd], signal) {
    const own = await atModelSize(app, app.picture.blob);
    if (signal.aborted) return;
    for (const canvas of [seen, again, difference]) canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
    if (own) seen.getContext("2d").drawImage(own, 0, 0);
    showAlarm(odd);
    if (!answer) {
      legend.textContent = app.refuses("reconstruct");
      return;
    }
    note(answer);
    again.getContext("2d").drawImage(await createImageBitmap(pngOf(answer.images[0])), 0, 0);
    await errorMap({ app, seen, again, difference, legend, answer, map: odd?.results[0].map, exchanged: reading.invert.checked });
  }

  function showAlarm(answer) {
    if (!answer) {
      alarm.replaceChildren(h("p", { class: "quiet" }, `No alarms: ${app.refuses("anomaly")}`));
      return;
    }
    const [result] = answer.results;
    const words = result.is_anomalous
      ? `Alarm: odd at the ${number(100 * answer.alpha, 0)} % level, most by its ${result.decided_by.replaceAll("_", " ")}.`
      : "No alarm: good pictures look like this.";
    alarm.replaceChildren(h("p", { class: result.is_anomalous ? "alarm" : "fine" }, words, " ",
      h("span", { class: "num" }, `p = ${result.p_value < 0.001 ? result.p_value.toPrecision(1) : number(result.p_value, 3)}`),
      help(`Share of ${count(answer.reference_n)} held-out good pictures that are at least as odd. At most ${number(100 * answer.alpha, 0)} % of good pictures raise a false alarm.`, "anomaly")));
  }

  function showPosterior(answer, signal) {
    if (!answer) {
      latents.replaceChildren(h("h3", {}, "Latents"), h("p", { class: "quiet" }, app.refuses("encode")));
      return;
    }
    if (signal.aborted) return;
    const mean = answer.mean[0].flat(Infinity);
    const std = answer.std?.[0].flat(Infinity) ?? null;
    app.encoded = { picture: app.picture, mean, std, label: answer.label_used?.[0] ?? null };
    app.latent = round(mean);
    const order = app.dimensions.slice(0, 120);
    latents.replaceChildren(
      h("h3", {}, `${mean.length} latents, the most used first`, help("The encoder turns the picture into a normal distribution of each latent. Bars: mean and two standard deviations; the shaded band is the prior. Narrow bars away from 0 carry information.", "encode"),
        h("button", { class: "aside", onclick: () => app.go("latents") }, "Play with them \u2192")),
      posterior(mean, std, order, app.isStandard));
  }

  function showClasses(answer) {
    classes.replaceChildren(...(answer ? [
      h("h3", {}, "Class: ", h("strong", {}, answer.results[0].label), help(`q(y|x) of each label, by ${answer.method === "classifier" ? "the model's own classifier" : answer.method}.`, "classify")),
      classBars(answer.labels, answer.results[0].probabilities)] : []));
  }

  function markExamples() {
    for (const [place, button] of [...examples.querySelectorAll("button")].entries()) {
      button.setAttribute("aria-pressed", String(app.gallery?.items[place].picture === app.picture));
    }
  }

  async function choose(item) {
    await input.show(item.picture.blob);
    await take(item.picture);
  }

  app.forget = () => {
    controller?.abort();
    likelihood.clear();
    app.picture = null;
    found = new Map();
    showWarnings();
    for (const place of [verdict, alarm, classes, steps, latents]) place.replaceChildren();
    for (const canvas of [seen, again, difference]) canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
    verdict.replaceChildren(h("p", { class: "sentence" }, "Draw something."));
  };

  const element = h("div", { class: "draw" },
    h("section", { class: "panel" }, input.element, examples),
    h("section", { class: "panel stage" },
      h("div", { class: "figures" }, figure(seen, "seen by the model"), figure(again, "reconstruction"), figure(difference, "error"), surprise),
      legend, steps,
      h("div", { class: "row" },
        h("label", {}, reading.invert, " Invert"), h("label", {}, reading.centre, " Centre")),
      warnings, error, classes),
    h("section", { class: "panel verdict" }, verdict, alarm, likelihood.element),
    latents);

  return {
    element,
    async open(link) {
      input.start();
      reading.invert.checked = link.i === "1";
      reading.centre.checked = link.o === "1";
      const { items, note: words, source } = await app.pictures();
      examples.replaceChildren(h("p", { class: "quiet" }, words), tiles(items, choose), source ? h("p", { class: "quiet source" }, source) : "");
      const latent = link.x === undefined && link.z ? readLatent(link.z, app.size) : null;
      const asked = items.find(({ picture }) => String(picture.index) === link.x);
      if (asked) app.picture = asked.picture;
      else if (latent) {
        await attempt(error, async () => {
          const answer = await operate(model, "decode", { query: { label: app.labelOf() }, latents: [latent], note: false });
          app.picture = { blob: pngOf(answer.images[0]), name: "from-link.png", source: "link" };
          app.notify("A link holds a picture as its latent: this is its reconstruction.");
        });
      }
      app.picture ||= items[0]?.picture || null;
      if (!app.picture) { app.forget(); return; }
      await input.show(app.picture.blob);
      await score();
    },
    close() { input.stop(); controller?.abort(); likelihood.clear(); },
    refresh: () => score(),
    fields() {
      const { picture } = app;
      if (!picture) return {};
      const options = { i: reading.invert.checked ? 1 : null, o: reading.centre.checked ? 1 : null };
      if (picture.source === "example" || picture.source === "sample") return { x: picture.index, ...options };
      return app.encoded?.picture === picture ? { z: writeLatent(app.latent), y: app.encoded.label } : {};
    },
  };
}
