// Map: a plane of the latent space, decoded under the pointer. Held-out pictures lie in it by their
// means, where the bundle has them; else it goes through three pictures of one's choice.

import { attempt, clamp, count, errorPlace, h, help, newest, number } from "../dom.js";
import { tiles } from "../gallery.js";
import { decode, decodeOnto, labelSelect, latentOf } from "../latent_tools.js";
import { round, writeLatent } from "../link.js";
import { canvasOf, paint } from "../pictures.js";
import { ask, pathOf } from "../server.js";

const GRID = [12, 8];
const hue = (index, number_of) => `hsl(${Math.round((360 * index) / Math.max(1, number_of))} 68% 55%)`;

export function mapView(app) {
  const { model } = app;
  const [, height, width] = model.image_shape;
  const error = errorPlace();
  const canvas = h("canvas", { class: "plane", tabIndex: 0, id: "plane", aria_label: "Plane of latents. Arrow keys move the point that is decoded; plus and minus zoom." });
  const decoded = canvasOf(model.image_shape, { id: "decoded", aria_label: "Picture decoded under the pointer" });
  const words = h("p", { class: "quiet" });
  const place = h("p", { class: "quiet num" });
  const legend = h("div", { class: "legend" });
  const picker = h("div", {});
  const behind = h("canvas", { width: GRID[0] * width, height: GRID[1] * height });
  const withGrid = h("input", { type: "checkbox", onchange: () => { sketch(); fillGrid(); } });
  const modes = h("div", { class: "row" });
  let plane = null; // {mean, axes, points, labels, names}
  let map = null;
  let view = { x: 0, y: 0, scale: 1 }; // middle, and plane units of half the height
  let point = [0, 0];
  let gridOf = null; // the view that the grid behind was decoded for
  let chosen = [];
  let frame = 0;

  const latentAt = ([x, y]) => round(plane.mean.map((value, i) => value + x * plane.axes[0][i] + y * plane.axes[1][i]));
  const toScreen = ([x, y]) => [canvas.width / 2 + ((x - view.x) / view.scale) * (canvas.height / 2), canvas.height / 2 - ((y - view.y) / view.scale) * (canvas.height / 2)];
  const toPlane = (event) => {
    const box = canvas.getBoundingClientRect();
    const half = box.height / 2;
    return [view.x + ((event.clientX - box.left - box.width / 2) / half) * view.scale, view.y - ((event.clientY - box.top - half) / half) * view.scale];
  };

  const show = newest(async (at, signal) => {
    await decodeOnto(app, decoded, latentAt(at), { signal });
    app.changed();
  });
  const gridded = newest(async (given, signal) => {
    const ratio = canvas.width / canvas.height;
    const rows = [];
    for (let j = 0; j < GRID[1]; j += 1) {
      for (let i = 0; i < GRID[0]; i += 1) {
        rows.push(latentAt([given.x + (((i + 0.5) / GRID[0]) * 2 - 1) * given.scale * ratio, given.y - (((j + 0.5) / GRID[1]) * 2 - 1) * given.scale]));
      }
    }
    const bytes = await decode(app, rows, { signal, note: false });
    rows.forEach((_, item) => paint(behind, bytes, model.image_shape, { item, x: (item % GRID[0]) * width, y: Math.floor(item / GRID[0]) * height }));
    gridOf = { ...given };
    sketch();
  }, 1000);

  function move(at) {
    point = at;
    const near = nearest(at);
    place.textContent = `(${number(at[0], 2)}, ${number(at[1], 2)})${near ? ` \u00b7 nearest: ${near}` : ""}`;
    sketch();
    attempt(error, () => show(point));
  }

  function nearest([x, y]) {
    let best = null;
    let least = Infinity;
    plane.points.forEach(([px, py], i) => {
      const far = (px - x) ** 2 + (py - y) ** 2;
      if (far < least) [least, best] = [far, i];
    });
    const label = best === null ? null : plane.labels[best];
    return label === null || label === undefined ? null : plane.names[label] ?? String(label);
  }

  function sketch() {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(paintPlane);
  }

  function paintPlane() {
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (withGrid.checked && gridOf) {
      const ratio = canvas.width / canvas.height;
      const [left, top] = toScreen([gridOf.x - gridOf.scale * ratio, gridOf.y + gridOf.scale]);
      const [right, bottom] = toScreen([gridOf.x + gridOf.scale * ratio, gridOf.y - gridOf.scale]);
      context.imageSmoothingEnabled = false;
      context.drawImage(behind, left, top, right - left, bottom - top);
    }
    const size = Math.max(2, canvas.height / (plane.points.length > 3 ? 190 : 45));
    plane.points.forEach((at, i) => {
      const [x, y] = toScreen(at);
      context.fillStyle = plane.labels[i] === null || plane.labels[i] === undefined ? "#8a8f99" : hue(plane.labels[i], plane.names.length);
      context.fillRect(x - size / 2, y - size / 2, size, size);
    });
    const [x, y] = toScreen(point);
    for (const [colour, wide] of [["#fff", 5], ["#111", 2]]) { // seen on any ground
      context.strokeStyle = colour;
      context.lineWidth = wide * devicePixelRatio;
      context.beginPath();
      context.arc(x, y, 7 * devicePixelRatio, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  const fillGrid = () => (withGrid.checked ? attempt(error, () => gridded({ ...view })) : null);

  function zoom(factor, at = [view.x, view.y]) {
    const scale = clamp(view.scale * factor, 0.02, 50);
    const share = scale / view.scale;
    view = { x: at[0] + (view.x - at[0]) * share, y: at[1] + (view.y - at[1]) * share, scale };
    sketch();
    fillGrid();
  }

  const pointers = new Map();
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, event);
    if (event.pointerType !== "mouse") move(toPlane(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!plane) return;
    const before = pointers.get(event.pointerId);
    if (before && pointers.size === 2) {
      const [other] = [...pointers.values()].filter((one) => one.pointerId !== event.pointerId);
      const span = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
      zoom(span(before) / Math.max(1, span(event)), toPlane(other));
    } else if (before && event.pointerType === "mouse") {
      const half = canvas.getBoundingClientRect().height / 2;
      view = { ...view, x: view.x - ((event.clientX - before.clientX) / half) * view.scale, y: view.y + ((event.clientY - before.clientY) / half) * view.scale };
      sketch();
    } else if (event.pointerType === "mouse" || before) move(toPlane(event));
    if (before) pointers.set(event.pointerId, event);
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => { if (pointers.delete(event.pointerId)) fillGrid(); });
  canvas.addEventListener("wheel", (event) => {
    if (document.activeElement !== canvas && !event.ctrlKey) return; // the page scrolls until the map is chosen
    event.preventDefault();
    zoom(1.0015 ** event.deltaY, toPlane(event));
  }, { passive: false });
  canvas.addEventListener("dblclick", (event) => zoom(0.6, toPlane(event)));
  canvas.addEventListener("keydown", (event) => {
    const step = view.scale / 20;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    if (moves[event.key]) move([point[0] + moves[event.key][0], point[1] + moves[event.key][1]]);
    else if (event.key === "+" || event.key === "=") zoom(0.8);
    else if (event.key === "-") zoom(1.25);
    else return;
    event.preventDefault();
  });
  const resized = new ResizeObserver(() => {
    canvas.width = canvas.clientWidth * devicePixelRatio;
    canvas.height = canvas.clientHeight * devicePixelRatio;
    if (plane) sketch();
  });

  // The view that holds all points.
  function look() {
    const spread = (axis) => plane.points.map((at) => at[axis]);
    const [xs, ys] = [spread(0), spread(1)];
    const [left, right, low, high] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const ratio = (canvas.width || 3) / (canvas.height || 2);
    view = { x: (left + right) / 2, y: (low + high) / 2, scale: 1.1 * Math.max((high - low) / 2, (right - left) / 2 / ratio, 0.1) };
  }

  function setPlane(found, explained, start) {
    plane = found;
    gridOf = null;
    look();
    words.textContent = explained;
    legend.replaceChildren(...plane.names.filter((_, i) => plane.labels.includes(i)).map((name) => h("span", {}, colourOf(plane.names.indexOf(name)), name)));
    move(start ?? [view.x, view.y]);
    fillGrid();
  }

  function colourOf(index) {
    const dot = h("i", { class: "dot" });
    dot.style.background = hue(index, plane.names.length);
    return dot;
  }

  const heldOutPlane = (start) => setPlane(
    { mean: map.mean, axes: map.axes, points: map.points, labels: map.labels, names: map.label_names || [] },
    `${count(map.points.length)} held-out pictures by the means of their latents, in the two directions in which these differ most: ${number(100 * (map.explained[0] + map.explained[1]), 0)} % of their variance. Pictures are decoded from the plane itself.`, start);

  async function threePlane(items) {
    chosen = items;
    const [a, b, c] = [await latentOf(app, items[0]), await latentOf(app, items[1]), await latentOf(app, items[2])];
    const minus = (one) => one.map((value, i) => value - a[i]);
    setPlane({ mean: a, axes: [minus(b), minus(c)], points: [[0, 0], [1, 0], [0, 1]], labels: [0, 1, 2], names: items.map((item, i) => item.label ?? `picture ${i + 1}`) },
      "The plane through three pictures: choose others below. Their points are marked.", null);
    withGrid.checked = true;
    fillGrid();
    await showPicker();
  }

  async function showPicker() {
    const { items } = await app.pictures();
    picker.replaceChildren(tiles(items, (item) => attempt(error, () => threePlane([...chosen.filter((one) => one !== item).slice(-2), item])), { pressed: (item) => chosen.includes(item) }));
  }

  async function three() {
    const { items } = await app.pictures();
    if (items.length < 3) throw new Error("There are no three pictures to choose from.");
    await threePlane(chosen.length === 3 ? chosen : items.slice(0, 3));
  }

  const element = h("div", { class: "mapping" },
    h("section", { class: "panel" },
      h("h3", {}, "A plane through the latent space", help("Every point of the plane is a latent. Move over it to see what the decoder makes of it; drag to pan; click, then use the wheel or + and \u2212 to zoom.", "decode")),
      modes, error, canvas,
      h("div", { class: "row" }, h("button", { onclick: () => zoom(0.7), aria_label: "Zoom in" }, "+"), h("button", { onclick: () => zoom(1.4), aria_label: "Zoom out" }, "\u2212"),
        h("button", { onclick: () => { look(); sketch(); fillGrid(); } }, "All"), h("label", {}, withGrid, " decoded grid behind"), labelSelect(app, () => { move(point); fillGrid(); })),
      legend, words, picker),
    h("section", { class: "panel stage" }, h("div", { class: "big" }, decoded), place,
      h("button", { onclick: () => app.go("latents", { z: writeLatent(latentAt(point)) }) }, "Open in Latents \u2192")));

  return {
    element,
    async open(link) {
      resized.observe(canvas);
      map = model.capabilities.includes("map") ? await (await ask(`${pathOf(model)}/map`)).json() : null;
      const start = link.p ? link.p.split(",").map(Number) : null;
      modes.replaceChildren(
        h("button", { disabled: !map, onclick: () => { picker.replaceChildren(); heldOutPlane(null); } }, "Held-out pictures"),
        h("button", { onclick: () => attempt(error, three) }, "Through three pictures"),
        map ? "" : h("span", { class: "quiet" }, `No map: ${model.lacks.map ?? "this bundle has none."}`));
      if (map) heldOutPlane(start);
      else await three();
    },
    close: () => resized.disconnect(),
    refresh: () => { move(point); fillGrid(); },
    fields: () => (plane && map && plane.mean === map.mean ? { p: point.map((value) => number(value, 2).replace("\u2212", "-")).join(",") } : {}),
  };
}
