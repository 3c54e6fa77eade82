// Decoding of latents, and the controls that views of latents share.

import { h } from "./dom.js";
import { round } from "./link.js";
import { paint } from "./pictures.js";
import { operate } from "./server.js";

// Decode rows of latents into bytes (N, C, H, W).
export async function decode(app, latents, { signal, note = true } = {}) {
  const answer = await operate(app.model, "decode", { query: { dtype: "uint8", label: app.labelOf() }, latents: latents.map(round), as: "npy", signal, note });
  return answer.data;
}

// Decode one latent onto a canvas.
export async function decodeOnto(app, canvas, latent, options) {
  paint(canvas, await decode(app, [latent], options), app.model.image_shape);
}

// The label that conditions the decoder; nothing for a model without labels.
export function labelSelect(app, onchange, { any = false } = {}) {
  if (!app.model.labels.length) return null;
  const select = h("select", { onchange: () => { app.label = select.value || null; onchange(); } },
    any ? h("option", { value: "" }, "any") : null, app.model.labels.map((label) => h("option", { value: label }, label)));
  select.value = app.label ?? (any ? "" : app.model.labels[0]);
  return h("label", {}, "label ", select);
}

// The latent of an item of the gallery.
export async function latentOf(app, item) {
  if (!item.latent) {
    const { mean, label } = await app.encode(item.picture);
    item.latent = mean;
    item.label ??= label;
  }
  return round(item.latent.flat(Infinity));
}

export const mix = (a, b, t) => a.map((value, i) => (1 - t) * value + t * b[i]);

// The great arc between the directions while the norm changes linearly, as the API's `path=spherical`.
export function arc(a, b, t) {
  const [p, q] = [Math.hypot(...a), Math.hypot(...b)];
  if (p < 1e-9 || q < 1e-9) return mix(a, b, t);
  const cosine = Math.min(1, Math.max(-1, a.reduce((sum, value, i) => sum + value * b[i], 0) / (p * q)));
  const angle = Math.acos(cosine);
  if (Math.sin(angle) < 1e-6) return mix(a, b, t);
  const norm = (1 - t) * p + t * q;
  const [u, v] = [Math.sin((1 - t) * angle) / Math.sin(angle), Math.sin(t * angle) / Math.sin(angle)];
  return a.map((value, i) => norm * (u * (value / p) + v * (b[i] / q)));
}
