// Morph: up to four pictures at the corners of a pad, and all that lies between them.

import { attempt, clamp, errorPlace, h, help, newest } from "../dom.js";
import { tiles } from "../gallery.js";
import { arc, decode, decodeOnto, labelSelect, latentOf, mix } from "../latent_tools.js";
import { readLatent, round, writeLatent } from "../link.js";
import { canvasOf, download, paint } from "../pictures.js";
import { operate } from "../server.js";

const FRAMES = 48;
const STRIP = 16;
const FRAME_MS = 50;
const PLACES = ["top left", "top right", "bottom left", "bottom right"];

export function morphView(app) {
  const { model } = app;
  const [, height, width] = model.image_shape;
  const error = errorPlace();
  const canvas = canvasOf(model.image_shape, { id: "decoded", aria_label: "The picture between" });
  const pad = h("div", { class: "pad", tabIndex: 0, role: "application", aria_label: "Pad between the corners. Arrow keys move the point." });
  const knob = h("i", { class: "knob" });
  const corners = PLACES.map((place, i) => {
    const own = canvasOf(model.image_shape);
    return { latent: null, canvas: own, button: h("button", { class: "corner", aria_label: `Corner ${place}: choose another picture`, onclick: () => choose(i) }, own) };
  });
  const picker = h("div", { class: "picker" });
  const path = h("select", { id: "path", onchange: () => move() }, h("option", { value: "linear" }, "straight"), h("option", { value: "spherical" }, "along the sphere"));
  const loopButton = h("button", { class: "main", onclick: () => attempt(error, loop) }, "Loop");
  let at = [0.5, 0.5];
  let timer = 0;

  const between = (...given) => (path.value === "spherical" ? arc : mix)(...given);
  const used = () => corners.filter(({ latent }) => latent);
  function latentAt([x, y]) {
    const [a, b, c, d] = corners.map(({ latent }) => latent);
    const top = b ? between(a, b, x) : a;
    if (!c && !d) return round(top);
    const bottom = c && d ? between(c, d, x) : c || d;
    return round(between(top, bottom, y));
  }

  const show = newest(async (place, signal) => {
    await decodeOnto(app, canvas, latentAt(place), { signal });
    app.changed();
  });
  function move(to = at) {
    stop();
    at = to;
    knob.style.left = `${100 * at[0]}%`;
    knob.style.top = `${100 * at[1]}%`;
    if (corners[0].latent) attempt(error, () => show(at));
  }

  function stop() {
    clearInterval(timer);
    timer = 0;
    loopButton.textContent = "Loop";
  }

  // All frames by one call; then they play without the server.
  const around = (i) => [0.5 - 0.5 * Math.cos((2 * Math.PI * i) / FRAMES), 0.5 - 0.5 * Math.cos((2 * Math.PI * (i + FRAMES / 4)) / FRAMES)];
  async function loop() {
    if (timer) { stop(); return; }
    const bytes = await decode(app, Array.from({ length: FRAMES }, (_, i) => latentAt(around(i))), { note: false });
    let frame = 0;
    loopButton.textContent = "Stop";
    timer = setInterval(() => {
      frame = (frame + 1) % FRAMES;
      paint(canvas, bytes, model.image_shape, { item: frame });
      const [x, y] = around(frame);
      knob.style.left = `${100 * x}%`;
      knob.style.top = `${100 * y}%`;
    }, FRAME_MS);
  }

  const strip = () => attempt(error, async () => {
    const latents = Array.from({ length: STRIP }, (_, i) => latentAt(around((i * FRAMES) / STRIP)));
    download(await operate(model, "decode", { query: { format: "png", columns: STRIP, label: app.labelOf() }, latents, as: "blob" }), `${model.name}-morph.png`);
  });
  const webp = () => attempt(error, async () => {
    const [from, to] = used();
    if (!to) throw new Error("An animation needs two corners.");
    const query = { format: "webp", steps: 24, path: path.value, label: app.labelOf() };
    download(await operate(model, "interpolate", { query, latents: [from.latent, to.latent], as: "blob" }), `${model.name}-morph.webp`);
  });

  async function setCorner(corner, latent) {
    corner.latent = latent;
    corner.button.classList.toggle("empty", !latent);
    const context = corner.canvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    if (latent) paint(corner.canvas, await decode(app, [latent], { note: false }), model.image_shape);
  }

  async function choose(i) {
    const { items } = await app.pictures();
    const set = (latent) => attempt(error, async () => {
      await setCorner(corners[i], latent);
      picker.replaceChildren();
      move();
      corners[i].button.focus();
    });
    picker.replaceChildren(h("p", { class: "quiet" }, `Choose the ${PLACES[i]} corner:`),
      tiles(items, async (item) => set(await latentOf(app, item))),
      h("div", { class: "row" },
        app.latent ? h("button", { onclick: () => set(app.latent) }, "The latent of Draw or Latents") : null,
        i > 0 ? h("button", { onclick: () => set(null) }, "Leave it empty") : null,
        h("button", { onclick: () => picker.replaceChildren() }, "Cancel")));
  }

  let held = false;
  const to = (event) => {
    const box = pad.getBoundingClientRect();
    move([clamp((event.clientX - box.left) / box.width, 0, 1), clamp((event.clientY - box.top) / box.height, 0, 1)]);
  };
  pad.addEventListener("pointerdown", (event) => { held = true; pad.setPointerCapture(event.pointerId); to(event); });
  pad.addEventListener("pointermove", (event) => { if (held) to(event); });
  for (const end of ["pointerup", "pointercancel"]) pad.addEventListener(end, () => { held = false; });
  pad.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (!moves[event.key]) return;
    event.preventDefault();
    move(at.map((value, axis) => clamp(value + 0.05 * moves[event.key][axis], 0, 1)));
  });
  pad.append(canvas, knob);
  if (!app.hasOption("interpolate", "path=spherical")) path.lastChild.disabled = true;

  const saves = { strip: h("button", { onclick: strip }, "PNG strip"), webp: h("button", { onclick: webp, title: "An animation between the first two corners" }, "WebP") };
  saves.webp.disabled = Boolean(app.refuses("interpolate"));
  const element = h("section", { class: "panel morph" },
    h("h3", {}, "Between up to four pictures", help("Each corner is a latent. The pad mixes them, and the decoder shows what lies between. Along the sphere keeps the latents as far from 0 as the model's own.", "interpolate")),
    h("div", { class: "row" }, labelSelect(app, () => move()), h("label", {}, "path ", path), loopButton, h("span", { class: "spring" }), saves.strip, saves.webp),
    error,
    h("div", { class: "square" }, corners[0].button, corners[1].button, pad, corners[2].button, corners[3].button),
    picker);

  return {
    element,
    async open(link) {
      if (link.path === "spherical" && !path.lastChild.disabled) path.value = "spherical";
      const asked = link.c?.split(";").map((text) => readLatent(text, app.size));
      if (asked?.[0]) for (const [i, corner] of corners.entries()) await setCorner(corner, asked[i] ?? null);
      else if (!corners[0].latent) {
        const { items } = await app.pictures();
        for (const [i, corner] of corners.entries()) await setCorner(corner, items[i] ? await latentOf(app, items[i]) : null);
      }
      if (!corners[0].latent) throw new Error("There are no pictures to put at the corners.");
      const place = link.p?.split(",").map(Number);
      move(place?.length === 2 && place.every(Number.isFinite) ? place : at);
    },
    close: stop,
    refresh: () => move(),
    fields: () => ({
      c: corners.map(({ latent }) => (latent ? writeLatent(latent) : "")).join(";"),
      p: at.map((value) => value.toFixed(2)).join(","), path: path.value === "linear" ? null : path.value, y: app.labelOf(),
    }),
  };
}
