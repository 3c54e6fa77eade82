// Pictures: bytes, pixels and canvases.

import { h } from "./dom.js";

export const dataUrl = (base64) => `data:image/png;base64,${base64}`;

export function pngOf(base64) {
  return new Blob([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))], { type: "image/png" });
}

export const toBlob = (canvas) => new Promise((resolve) => canvas.toBlob(resolve, "image/png"));

export function download(blob, name) {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// A canvas of the model's own pixels; the style sheet enlarges it.
export function canvasOf([, height, width], properties = {}) {
  const canvas = h("canvas", { width, height, class: "pixels", ...properties });
  canvas.getContext("2d", { willReadFrequently: true });
  return canvas;
}

// Paint one picture (C, H, W) of bytes at a place of a canvas.
export function paint(canvas, bytes, [channels, height, width], { item = 0, x = 0, y = 0 } = {}) {
  const context = canvas.getContext("2d");
  const area = height * width;
  const picture = new ImageData(width, height);
  for (let pixel = 0; pixel < area; pixel += 1) {
    for (let channel = 0; channel < 3; channel += 1) {
      picture.data[4 * pixel + channel] = bytes[(item * channels + Math.min(channel, channels - 1)) * area + pixel];
    }
    picture.data[4 * pixel + 3] = 255;
  }
  context.putImageData(picture, x, y);
}

// Draw a picture into the model's frame as its image spec fits it: stretched, cropped or padded.
export function fitInto(canvas, bitmap, fit = "stretch") {
  const context = canvas.getContext("2d");
  const { width, height } = canvas;
  const across = width / bitmap.width;
  const down = height / bitmap.height;
  const scale = fit === "crop" ? Math.max(across, down) : Math.min(across, down);
  const [w, t] = fit === "stretch" ? [width, height] : [bitmap.width * scale, bitmap.height * scale];
  context.imageSmoothingQuality = "high";
  context.imageSmoothingEnabled = bitmap.width !== width || bitmap.height !== height;
  context.drawImage(bitmap, (width - w) / 2, (height - t) / 2, w, t);
}

// Grey levels 0..1 of a canvas (ITU-R BT.601).
export function greyOf(canvas) {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return Float32Array.from({ length: data.length / 4 }, (_, i) => (0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2]) / 255);
}

export async function canvasFrom(blob, shape, fit) {
  const canvas = canvasOf(shape);
  const bitmap = await createImageBitmap(blob);
  fitInto(canvas, bitmap, fit);
  return canvas;
}
