// Latents: a slider for each dimension that the model uses, decoded live.

import { curves } from "../charts.js";
import { attempt, count, errorPlace, h, help, newest, number } from "../dom.js";
import { decode, decodeOnto, labelSelect } from "../latent_tools.js";
import { readLatent, round, writeLatent } from "../link.js";
import { canvasOf, paint, toBlob } from "../pictures.js";
import { operate } from "../server.js";

const FIRST = 16;
const STRIP = 11;
const REACH = 4;

export function latentsView(app) {
  const { model } = app;
  const [, height, width] = model.image_shape;
  const error = errorPlace();
  const canvas = canvasOf(model.image_shape, { aria_label: "Decoded picture", id: "decoded" });
  const strip = h("canvas", { width: STRIP * (width + 1) - 1, height, class: "pixels strip", id: "strip", aria_label: "Traversal of one dimension" });
  const stripWords = h("p", { class: "quiet" });
  const speed = h("span", { class: "quiet num", id: "speed" });
  const list = h("div", {});
  const sliders = new Map(); // by dimension
  const locked = new Set();
  const posterior = { mean: null, std: null };
  let latent = new Array(app.size).fill(0);
  let chosen = app.dimensions[0];
  let seed = 0;
  const discrete = app.refuses("encode") && !app.isStandard;
  strip.hidden = Boolean(discrete);

  const show = newest(async (given, signal) => {
    const began = performance.now();
    await decodeOnto(app, canvas, given, { signal });
    speed.textContent = `decoded in ${number(performance.now() - began, 0)} ms`;
    app.changed();
  });
  const traverse = newest(async (dimension, signal) => {
    const low = -3;
    const rows = Array.from({ length: STRIP }, (_, i) => latent.map((value, d) => (d === dimension ? low + (i * 6) / (STRIP - 1) : value)));
    const bytes = await decode(app, rows, { signal, note: false });
    rows.forEach((_, item) => paint(strip, bytes, model.image_shape, { item, x: item * (width + 1) }));
    stripWords.textContent = `Latent ${dimension} from \u22123 to 3, all others as they are`;
  });
  const decoded = () => attempt(error, () => show(latent));
  const traversed = () => (discrete ? null : attempt(error, () => traverse(chosen)));

  function set(dimension, value) {
    latent = latent.with(dimension, Math.round(value * 1000) / 1000);
    const row = sliders.get(dimension);
    if (row) {
      row.range.value = latent[dimension];
      row.value.textContent = number(latent[dimension], 2);
    }
  }

  // Take a whole latent; locked dimensions keep their values.
  function take(values) {
    round(values).forEach((value, dimension) => { if (!locked.has(dimension)) set(dimension, value); });
    app.latent = latent;
    decoded();
    traversed();
  }

  const home = (dimension) => posterior.mean?.[dimension] ?? 0;

  function slider(dimension) {
    const std = posterior.std?.[dimension] ?? null;
    const reach = Math.max(REACH, Math.ceil(Math.abs(home(dimension)) + 0.5));
    const range = h("input", {
      type: "range", min: -reach, max: reach, step: 0.01, value: latent[dimension], aria_label: `Latent ${dimension}`,
      oninput: () => { set(dimension, Number(range.value)); app.latent = latent; decoded(); },
      onchange: () => { chosen = dimension; traversed(); },
      onfocus: () => { if (chosen !== dimension) { chosen = dimension; traversed(); } },
      ondblclick: () => { set(dimension, home(dimension)); app.latent = latent; decoded(); },
    });
    range.value = latent[dimension];
    const value = h("span", { class: "num" }, number(latent[dimension], 2));
    const lock = h("button", {
      class: "lock", aria_pressed: String(locked.has(dimension)), title: "Lock: draws and resets leave it", aria_label: `Lock latent ${dimension}`,
      onclick: () => {
        if (!locked.delete(dimension)) locked.add(dimension);
        lock.setAttribute("aria-pressed", String(locked.has(dimension)));
      },
    }, h("span", { class: "lock-icon" }));
    sliders.set(dimension, { range, value });
    const kl = app.usage[dimension];
    return h("div", { class: "slider" },
      h("span", { class: "quiet", title: kl === null ? "" : `${number(kl, 2)} nats over held-out pictures` }, `z${dimension}`),
      h("div", { class: "track" }, curves(-reach, reach, home(dimension), std, app.isStandard), range), value, lock);
  }

  function build() {
    sliders.clear();
    const inactive = app.dimensions.filter((dimension) => !app.active.includes(dimension));
    const more = app.active.slice(FIRST);
    const part = (words, dimensions) => (dimensions.length ? h("details", {}, h("summary", {}, words), h("div", { class: "sliders" }, dimensions.slice(0, 256).map(slider))) : null);
    list.replaceChildren(h("div", { class: "sliders" }, app.active.slice(0, FIRST).map(slider)),
      ...[part(`${count(more.length)} more that it uses`, more), part(`${count(inactive.length)} that it hardly uses`, inactive)].filter(Boolean));
  }

  async function fromPicture() {
    const found = await app.encode(app.picture);
    app.encoded = found;
    Object.assign(posterior, { mean: round(found.mean), std: found.std });
    if (found.label) setLabel(found.label);
    build();
    take(posterior.mean);
  }

  async function draw() {
    seed += 1;
    const answer = await operate(model, "encode", { query: { num_samples: 1, seed, label: app.labelOf() }, picture: app.picture, note: false });
    take(answer.samples[0][0].flat(Infinity));
  }

  async function fromPrior() {
    seed += 1;
    const answer = await operate(model, "sample", { query: { n: 1, seed, label: app.labelOf() }, note: false });
    take(answer.latents[0].flat(Infinity));
  }

  async function score() {
    app.picture = { blob: await toBlob(canvas), name: "decoded.png", source: "drawn" };
    app.encoded = null;
    await app.go("draw");
  }

  const labels = labelSelect(app, () => { decoded(); traversed(); });
  function setLabel(label) {
    app.label = label;
    if (labels) labels.querySelector("select").value = label;
  }

  const act = (words, action, title) => h("button", { title, onclick: () => attempt(error, action) }, words);
  const buttons = {
    mean: act("Posterior mean", fromPicture, "Reset to the mean of q(z|x) of the picture in Draw & score"),
    draw: act("Draw from posterior", draw, "A draw of q(z|x): another way that the model sees the same picture"),
    prior: act("Draw from prior", fromPrior, "A new picture"),
    zero: act("All 0", async () => take(new Array(app.size).fill(0)), "The middle of the prior"),
  };
  buttons.prior.disabled = Boolean(app.refuses("sample"));

  const components = discrete ? h("div", { class: "row" }, Array.from({ length: Math.min(app.size, 64) }, (_, i) => h("button", {
    onclick: () => take(latent.map((_, d) => (d === i ? 1 : 0))),
  }, `component ${i}`))) : null;

  const element = h("div", { class: "latents" },
    h("section", { class: "panel stage sticky" }, h("div", { class: "big" }, canvas),
      h("div", { class: "row" }, speed, labels, act("Score it", score, "Take this picture to Draw & score")),
      strip, stripWords, error),
    h("section", { class: "panel" },
      h("h3", {}, discrete ? "Components" : "Latents, the most used first", help("Each latent is a number that the decoder reads. Grey: the prior. Blue: what the encoder says of the picture, q(z|x). Drag; double-click to go back; lock what draws should leave.", "decode")),
      discrete ? components : [h("div", { class: "row" }, ...Object.values(buttons)), list]));

  return {
    element,
    async open(link) {
      const asked = readLatent(link.z, app.size);
      const canEncode = app.picture && !app.refuses("encode");
      buttons.mean.disabled = buttons.draw.disabled = !canEncode;
      if (asked) {
        const own = app.encoded && String(round(app.encoded.mean)) === String(asked);
        Object.assign(posterior, own ? { mean: asked, std: app.encoded.std } : { mean: null, std: null });
        locked.clear();
        build();
        if (app.label) setLabel(app.label);
        take(asked);
      } else if (canEncode) await fromPicture();
      else {
        const { items } = await app.pictures();
        app.picture = items[0]?.picture ?? null;
        buttons.mean.disabled = buttons.draw.disabled = !app.picture || Boolean(app.refuses("encode"));
        if (!buttons.mean.disabled) await fromPicture();
        else {
          build();
          take(items[0]?.latent?.flat(Infinity) ?? latent.map((_, d) => (discrete && d === 0 ? 1 : 0)));
        }
      }
    },
    refresh: async () => { decoded(); traversed(); },
    fields: () => ({ z: writeLatent(latent), y: app.labelOf() }),
  };
}
