// The picture to look at: drawn with mouse, pen, finger or keys, dropped, pasted, photographed, or taken.

import { attempt, h } from "./dom.js";
import { canvasFrom, canvasOf, fitInto, toBlob } from "./pictures.js";

const TYPES = "image/png,image/jpeg,image/webp,image/gif,image/bmp,image/tiff,.pgm,.ppm,.pbm,.pnm,.pfm";

// `take(picture)` is told each new picture; `place` shows errors.
export function pictureInput(app, take, place) {
  const [channels, height, width] = app.model.image_shape;
  const { fit, background } = app.model.image;
  const [paper, pen] = background > 0 ? ["#fff", "#000"] : ["#000", "#fff"];
  const canvas = canvasOf(app.model.image_shape, {
    class: "pixels sheet", tabIndex: 0,
    aria_label: "Drawing sheet. Draw with a pointer; or move with the arrow keys, and hold Shift to draw.",
  });
  const context = canvas.getContext("2d");
  const colour = h("input", { type: "color", value: "#c03060", aria_label: "Colour of the pen" });
  const cursor = { x: width / 2, y: height / 2 };
  let last = null;
  let rubbing = false;

  function clear() {
    context.fillStyle = paper;
    context.fillRect(0, 0, width, height);
  }

  function stroke(to) {
    context.lineCap = context.lineJoin = "round";
    context.lineWidth = Math.max(1, Math.min(width, height) / (rubbing ? 7 : 11));
    context.strokeStyle = rubbing ? paper : channels === 3 ? colour.value : pen;
    context.beginPath();
    context.moveTo(last.x, last.y);
    context.lineTo(to.x + 0.001, to.y);
    context.stroke();
    last = to;
  }

  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return { x: ((event.clientX - box.left) / box.width) * width, y: ((event.clientY - box.top) / box.height) * height };
  };
  const finish = async () => take({ blob: await toBlob(canvas), name: "drawing.png", source: "drawn" });

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    last = at(event);
    stroke(last);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (last) for (const one of event.getCoalescedEvents?.() || [event]) stroke(at(one));
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, () => {
      if (last) finish();
      last = null;
    });
  }
  const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  canvas.addEventListener("keydown", (event) => {
    if (!MOVES[event.key]) return;
    event.preventDefault();
    const [dx, dy] = MOVES[event.key];
    last = { ...cursor };
    cursor.x = Math.min(width - 0.5, Math.max(0.5, cursor.x + dx));
    cursor.y = Math.min(height - 0.5, Math.max(0.5, cursor.y + dy));
    if (event.shiftKey) stroke({ ...cursor });
    last = null;
  });
  canvas.addEventListener("keyup", (event) => {
    if (event.key === "Shift" && document.activeElement === canvas) finish();
  });

  async function show(blob) {
    clear();
    const bitmap = await createImageBitmap(blob).catch(() => null); // the service reads more formats than browsers
    if (bitmap) fitInto(canvas, bitmap, fit);
  }

  async function takeFile(file) {
    if (!file) return;
    await show(file);
    take({ blob: file, name: file.name || "pasted.png", source: "file" });
  }

  const onPaste = (event) => {
    const file = [...(event.clipboardData?.files || [])][0];
    if (file) takeFile(file);
  };
  const file = h("input", { type: "file", accept: TYPES, id: "file", class: "unseen", onchange: () => takeFile(file.files[0]) });
  const rubber = h("button", {
    aria_pressed: "false", title: "Erase parts", onclick: () => {
      rubbing = !rubbing;
      rubber.setAttribute("aria-pressed", String(rubbing));
    },
  }, "Eraser");

  const sheet = h("div", {
    class: "drop",
    ondragover: (event) => { event.preventDefault(); sheet.classList.add("over"); },
    ondragleave: () => sheet.classList.remove("over"),
    ondrop: (event) => {
      event.preventDefault();
      sheet.classList.remove("over");
      takeFile(event.dataTransfer.files[0]);
    },
  }, canvas);

  const video = h("video", { autoplay: true, playsInline: true, muted: true });
  const camera = h("div", { class: "camera", hidden: true }, video,
    h("div", { class: "row" }, h("button", { class: "main", onclick: snap }, "Take it"), h("button", { onclick: endCamera }, "Cancel")));

  function endCamera() {
    for (const track of video.srcObject?.getTracks() || []) track.stop();
    video.srcObject = null;
    camera.hidden = true;
    sheet.hidden = false;
  }

  async function snap() {
    const side = Math.min(video.videoWidth, video.videoHeight);
    const photo = h("canvas", { width: side, height: side });
    photo.getContext("2d").drawImage(video, (video.videoWidth - side) / 2, (video.videoHeight - side) / 2, side, side, 0, 0, side, side);
    endCamera();
    const blob = await toBlob(photo);
    await show(blob);
    take({ blob, name: "photo.png", source: "file" });
  }

  const webcam = h("button", {
    onclick: () => attempt(place, async () => {
      try {
        video.srcObject = await navigator.mediaDevices.getUserMedia({ video: true });
      } catch {
        place.textContent = "The browser gives this page no camera. Allow it, or choose a file.";
        return;
      }
      camera.hidden = false;
      sheet.hidden = true;
    }),
  }, "Camera");
  webcam.hidden = !navigator.mediaDevices?.getUserMedia;

  clear();
  const element = h("div", { class: "input" }, sheet, camera,
    h("div", { class: "row" },
      h("button", { onclick: () => { clear(); app.forget(); canvas.focus(); }, title: "Empty the sheet" }, "Clear"),
      rubber, channels === 3 ? colour : null,
      h("label", { class: "button", htmlFor: "file", title: "Or drop or paste one" }, "File", file), webcam));
  return {
    element, show,
    start: () => document.addEventListener("paste", onPaste),
    stop: () => { document.removeEventListener("paste", onPaste); endCamera(); },
  };
}

// The picture at the model's size, for what the browser can read.
export const atModelSize = (app, blob) => canvasFrom(blob, app.model.image_shape, app.model.image.fit).catch(() => null);
