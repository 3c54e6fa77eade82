// Where a reconstruction fails: signed errors, and log p(x|z) of each pixel.

import { canvasFrom, greyOf, pngOf } from "./pictures.js";
import { h, number } from "./dom.js";

// The seen picture and its signed error.
// The API gives |x - reconstruction| (the map of `anomaly`); the sign is that of the browser's own
// reading of the picture, and of binary pixels the only one that fits.
export async function errorMap({ app, seen, again, difference, legend, map, exchanged }) {
  const { image, image_shape: shape } = app.model;
  const ours = greyOf(seen).map((value) => (exchanged ? 1 - value : value));
  const theirs = greyOf(again);
  const size = map ? greyOf(await canvasFrom(pngOf(map), shape)) : null;
  const x = ours.map((value, i) => {
    if (!size) return value;
    const [up, down] = [theirs[i] + size[i], theirs[i] - size[i]];
    if (image.levels === 2) return Math.abs(up - 1) < Math.abs(down) ? 1 : 0;
    return Math.abs(up - value) < Math.abs(down - value) ? up : down;
  });
  const context = difference.getContext("2d");
  const pixels = new ImageData(difference.width, difference.height);
  x.forEach((value, i) => {
    const lack = value - theirs[i];
    pixels.data.set([...(lack > 0 ? [214, 74, 42] : [42, 110, 230]), 255 * Math.min(1, Math.abs(lack) ** 0.7)], 4 * i); // small errors are seen, too
  });
  context.putImageData(pixels, 0, 0);
  if (shape[0] === 1) showSeen(seen, x);
  else if (exchanged) exchangeColours(seen);
  legend.replaceChildren(h("i", { class: "swatch lacks" }), "darker than the picture ", h("i", { class: "swatch adds" }), "brighter than it");
}

function showSeen(canvas, x) {
  const pixels = new ImageData(canvas.width, canvas.height);
  x.forEach((value, i) => {
    const grey = Math.round(255 * Math.min(1, Math.max(0, value)));
    pixels.data.set([grey, grey, grey, 255], 4 * i);
  });
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

function exchangeColours(canvas) {
  const context = canvas.getContext("2d");
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  for (let i = 0; i < pixels.data.length; i += 1) if (i % 4 < 3) pixels.data[i] = 255 - pixels.data[i];
  context.putImageData(pixels, 0, 0);
}

// How surprised the model is by each pixel: -log p(x|z), where the service gives it.
export function pixelMap(figure, canvas, rows) {
  figure.hidden = !rows;
  if (!rows) return;
  const costs = rows.flat(Infinity).map((nat) => Math.max(0, -nat));
  const most = Math.max(...costs, 1e-9);
  const pixels = new ImageData(canvas.width, canvas.height);
  costs.forEach((cost, i) => pixels.data.set([150, 60, 190, 255 * Math.sqrt(cost / most)], 4 * i));
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  figure.lastChild.textContent = `surprise, up to ${number(most)} nats a pixel`;
}
