// Pictures to begin with: held-out examples of the bundle, or samples where it has none.

import { h } from "./dom.js";
import { dataUrl, pngOf } from "./pictures.js";
import { ask, operate, pathOf } from "./server.js";

const SHOWN = 16;

// One of each label in turn, so that a row of them shows all kinds.
function mixed(examples) {
  const byLabel = new Map();
  for (const one of examples) byLabel.set(one.label, [...(byLabel.get(one.label) || []), one]);
  const queues = [...byLabel.values()];
  const order = [];
  while (order.length < examples.length) for (const queue of queues) if (queue.length) order.push(queue.shift());
  return order;
}

// {note, source, items: [{src, label, picture, latent}]} of a model.
export async function gallery(model) {
  if (model.capabilities.includes("examples")) {
    const found = await (await ask(`${pathOf(model)}/examples`)).json();
    const items = mixed(found.examples).map(({ index, label, png }) => ({
      src: dataUrl(png), label: label ?? null, latent: null,
      picture: { blob: pngOf(png), name: `example-${index}.png`, source: "example", index },
    }));
    return { note: "Held-out pictures", source: found.source, items };
  }
  if (!model.operations.some(({ name }) => name === "sample")) return { note: "This bundle has no examples, and the model draws none.", items: [] };
  const drawn = await operate(model, "sample", { query: { n: SHOWN, seed: 1 }, note: false });
  const items = drawn.images.map((png, index) => ({
    src: dataUrl(png), label: drawn.label_used?.[index] ?? null, latent: drawn.latents[index],
    picture: { blob: pngOf(png), name: `sample-${index}.png`, source: "sample", index },
  }));
  return { note: "Drawn from the model: this bundle has no held-out pictures", items };
}

// A row of tiles to choose from.
export function tiles(items, choose, { pressed = () => false, shown = SHOWN } = {}) {
  return h("div", { class: "tiles" }, items.slice(0, shown).map((item, place) => h("button", {
    class: "tile", title: item.label === null ? `Picture ${place + 1}` : `Picture ${place + 1}: ${item.label}`,
    aria_pressed: String(pressed(item)), onclick: () => choose(item),
  }, h("img", { src: item.src, alt: item.label === null ? `picture ${place + 1}` : String(item.label), class: "pixels" }))));
}
