// Folder: many files, the odd ones first.

import { attempt, count, errorPlace, h, help, number } from "../dom.js";
import { download, toBlob, canvasFrom } from "../pictures.js";
import { operate } from "../server.js";

const BATCH = 25;
const MOST = 1000;
const SHOWN = 200;
const IS_PICTURE = /\.(png|jpe?g|webp|gif|bmp|tiff?|p[gpbn]m|pfm)$/i;

export function folderView(app) {
  const { model } = app;
  const error = errorPlace();
  const byAnomaly = !app.refuses("anomaly");
  const refusal = byAnomaly ? null : app.refuses("elbo");
  const progress = h("progress", { max: 1, value: 0, hidden: true, aria_label: "Pictures that are scored" });
  const words = h("p", { class: "quiet", aria_live: "polite" });
  const table = h("div", { class: "scroll" });
  const cancel = h("button", { hidden: true, onclick: () => controller?.abort() }, "Cancel");
  const save = h("button", { hidden: true, onclick: () => download(new Blob([csv()], { type: "text/csv" }), `${model.name}-scores.csv`) }, "CSV");
  let controller = null;
  let rows = [];
  let failed = [];

  async function score(files) {
    const pictures = files.filter(({ type, name }) => type?.startsWith("image/") || IS_PICTURE.test(name));
    if (!pictures.length) {
      error.textContent = "No pictures in there: PNG, JPEG, WebP, GIF, BMP, TIFF and PNM are read.";
      return;
    }
    controller?.abort();
    controller = new AbortController();
    const { signal } = controller;
    const taken = pictures.slice(0, MOST);
    rows = [];
    failed = [];
    progress.hidden = cancel.hidden = false;
    progress.max = taken.length;
    const left = files.length - taken.length;
    await attempt(error, async () => {
      for (let first = 0; first < taken.length; first += BATCH) {
        await batch(taken.slice(first, first + BATCH), first, signal);
        progress.value = Math.min(taken.length, first + BATCH);
        words.textContent = `${count(progress.value)} of ${count(taken.length)}`;
        show();
      }
    });
    progress.hidden = cancel.hidden = true;
    save.hidden = !rows.length;
    const odd = rows.filter((row) => row.is_anomalous).length;
    words.textContent = [
      signal.aborted ? `Cancelled: ${count(rows.length)} of ${count(taken.length)} scored.` : `${count(rows.length)} scored.`,
      byAnomaly ? `${count(odd)} raise an alarm.` : `No alarms: ${app.refuses("anomaly")} Lowest ELBO first.`,
      failed.length ? `${count(failed.length)} cannot be read.` : "", left ? `${count(left)} left out.` : ""].join(" ");
    show();
  }

  // Files at fault are named by the API, left out, and the others sent again.
  async function batch(files, first, signal) {
    let sent = files.map((file, i) => ({ file, item: first + i }));
    while (sent.length) {
      try {
        const query = { seed: 1, first_item: sent[0].item, num_samples: byAnomaly ? null : 100 };
        const answer = await operate(model, byAnomaly ? "anomaly" : "elbo", { query, signal, pictures: sent.map(({ file }) => ({ blob: file.blob || file, name: file.name })), note: first === 0 });
        answer.results.forEach((result, i) => rows.push({ ...result, file: sent[i].file }));
        return;
      } catch (problem) {
        const faults = new Map((problem.items || []).map(({ index, reason }) => [index, reason]));
        if (!faults.size) throw problem;
        sent.forEach(({ file }, i) => { if (faults.has(i)) failed.push({ file, reason: faults.get(i) }); });
        sent = sent.filter((_, i) => !faults.has(i));
      }
    }
  }

  const order = () => rows.toSorted((a, b) => (byAnomaly ? a.p_value - b.p_value : a.elbo_nats - b.elbo_nats));

  function show() {
    const sorted = order();
    table.replaceChildren(h("table", {},
      h("thead", {}, h("tr", {}, ["", "file", byAnomaly ? "p-value" : "ELBO, nats", "", byAnomaly ? "most by its" : "percentile"].map((title) => h("th", { scope: "col" }, title)))),
      h("tbody", {}, sorted.slice(0, SHOWN).map(row), failed.map(({ file, reason }) => h("tr", { class: "failed" }, h("td", {}), h("td", {}, file.name), h("td", { colSpan: 3 }, reason))))),
    sorted.length > SHOWN ? h("p", { class: "quiet" }, `The first ${SHOWN}; the CSV has all.`) : "");
  }

  function row(result) {
    const { file } = result;
    file.src ||= URL.createObjectURL(file.blob || file);
    return h("tr", { class: result.is_anomalous ? "odd" : "" },
      h("td", {}, h("img", { src: file.src, alt: "", class: "pixels", loading: "lazy" })),
      h("td", {}, h("button", { class: "plain", onclick: () => { app.picture = { blob: file.blob || file, name: file.name, source: "file" }; app.go("draw"); } }, file.name)),
      h("td", { class: "num" }, byAnomaly ? number(result.p_value, 4) : number(result.elbo_nats, 1)),
      h("td", {}, result.is_anomalous ? "odd" : ""),
      h("td", { class: "quiet" }, byAnomaly ? result.decided_by.replaceAll("_", " ") : number(result.percentile, 1)));
  }

  function csv() {
    const names = Object.keys(rows[0]).filter((name) => name !== "file" && !Array.isArray(rows[0][name]));
    const cell = (value) => (value === null || value === undefined ? "" : /[",\n\r]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : String(value));
    return [["file", ...names], ...order().map((one) => [one.file.name, ...names.map((name) => one[name])])].map((line) => line.map(cell).join(",")).join("\n") + "\n";
  }

  // The held-out examples, and some of them upside down and in negative: something to find.
  async function tryOut() {
    const { items } = await app.pictures();
    const good = items.map(({ picture }) => ({ name: picture.name, blob: picture.blob, type: "image/png" }));
    const odd = await Promise.all(good.slice(0, 4).map(async ({ name, blob }) => {
      const canvas = await canvasFrom(blob, model.image_shape);
      const context = canvas.getContext("2d");
      context.globalCompositeOperation = "difference";
      context.fillStyle = "#fff";
      context.fillRect(0, 0, canvas.width, canvas.height);
      return { name: `negative-of-${name}`, blob: await toBlob(canvas), type: "image/png" };
    }));
    await score([...good, ...odd]);
  }

  // Files of a drop, those of folders too.
  async function filesOf(transfer) {
    const found = [];
    const walk = async (entry) => {
      if (entry.isFile) found.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
      else {
        const reader = entry.createReader();
        for (;;) {
          const part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
          if (!part.length) return;
          for (const one of part) await walk(one);
        }
      }
    };
    for (const entry of [...transfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean)) await walk(entry);
    return found;
  }

  const chooser = (id, more) => h("input", { type: "file", multiple: true, id, class: "unseen", onchange: (event) => score([...event.target.files]), ...more });
  const drop = h("div", {
    class: "drop field",
    ondragover: (event) => { event.preventDefault(); drop.classList.add("over"); },
    ondragleave: () => drop.classList.remove("over"),
    ondrop: (event) => {
      event.preventDefault();
      drop.classList.remove("over");
      attempt(error, async () => score(await filesOf(event.dataTransfer)));
    },
  }, h("p", {}, `Drop 50 to ${count(MOST)} pictures or a folder here.`),
  h("div", { class: "row" }, h("label", { class: "button", htmlFor: "files" }, "Files", chooser("files", {})),
    h("label", { class: "button", htmlFor: "folder" }, "Folder", chooser("folder", { webkitdirectory: true })),
    h("button", { onclick: () => attempt(error, tryOut) }, "Try it with the examples")));

  const element = h("section", { class: "panel folder" },
    h("h3", {}, "The odd ones of a folder", help("The p-value is the share of held-out good pictures that are at least as odd. Of good pictures, at most 1 % raise an alarm.", byAnomaly ? "anomaly" : "elbo")),
    refusal ? h("p", {}, refusal) : [drop, h("div", { class: "row" }, progress, words, h("span", { class: "spring" }), cancel, save), error, table]);
  return { element, open: () => {}, refresh: () => {}, close: () => controller?.abort(), fields: () => ({}) };
}
