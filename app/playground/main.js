// The page: models, views, links and notices.

import { openCode } from "./code.js";
import { $, attempt, count, h } from "./dom.js";
import { gallery } from "./gallery.js";
import { makeLink, readLink } from "./link.js";
import { ask, operate, pathOf, server, setKey } from "./server.js";
import { compareView } from "./views/compare.js";
import { drawView } from "./views/draw.js";
import { folderView } from "./views/folder.js";
import { latentsView } from "./views/latents.js";
import { mapView } from "./views/map.js";
import { morphView } from "./views/morph.js";
import { samplesView } from "./views/samples.js";

const VIEWS = {
  draw: ["Draw", drawView, " & score"],
  latents: ["Latents", latentsView],
  map: ["Map", mapView],
  morph: ["Morph", morphView],
  samples: ["Samples", samplesView],
  compare: ["Compare", compareView],
  folder: ["Folder", folderView],
};
// What an operation needs, for the reason why a model lacks it.
const NEEDS = {
  encode: ["encoder"], reconstruct: ["encoder"], interpolate: ["encoder"], classify: ["classes"], sample: ["likelihood", "prior"],
  elbo: ["posterior", "likelihood", "prior"], "log-likelihood": ["posterior", "likelihood", "prior"],
  anomaly: ["encoder", "posterior", "likelihood", "prior", "good_pictures"],
};
const INACTIVE_NATS = 0.01;

const app = {
  models: [],
  model: null, // its description
  picture: null, // {blob, name, source, index}
  latent: null,
  label: null,
  encoded: null, // {picture, mean, std, label} of the last picture that was encoded
  gallery: null,
  describe,
  refuses(operation) {
    if (app.model.operations.some(({ name }) => name === operation)) return null;
    const need = NEEDS[operation]?.find((name) => app.model.lacks[name]);
    return need ? sentence(app.model.lacks[need]) : `${app.model.name} has no ${operation}.`;
  },
  hasParameter: (operation, name) => app.model.operations.some((one) => one.name === operation && name in one.parameters.properties),
  hasOption: (operation, option) => app.model.operations.some((one) => one.name === operation && !one.unavailable_options.includes(option)),
  labelOf: () => (app.model.labels.length ? app.label ?? app.model.labels[0] : null),
  pictures: () => (gallerySoon ||= gallery(app.model).then((found) => (app.gallery = found))),
  encode,
  go,
  changed: () => writeLink(false),
  forget() { app.picture = null; },
  notify,
};

// A reason of the API, which begins in the middle of one: "it was trained without labels".
const sentence = (reason) => `${reason[0].toUpperCase()}${reason.slice(1).replaceAll("`", "")}.`;

const descriptions = new Map();
const opened = new Map(); // views of the chosen model
let gallerySoon = null;
let view = null;
let viewName = "draw";
let isOpening = false;

async function describe({ name, version }) {
  const place = `${name}@${version}`;
  if (!descriptions.has(place)) descriptions.set(place, await (await ask(pathOf({ name, version }))).json());
  return descriptions.get(place);
}

// {mean, std, label} of a picture: posterior of its latents.
async function encode(picture, signal) {
  if (app.encoded?.picture === picture) return app.encoded;
  const answer = await operate(app.model, "encode", { picture, signal, note: false });
  const label = answer.label_used?.[0] ?? null;
  return { picture, mean: answer.mean[0].flat(Infinity), std: answer.std?.[0].flat(Infinity) ?? null, label };
}

function notify(words, action = null) {
  $("notice").className = words ? "shown" : "";
  $("notice").replaceChildren(...(words ? [h("span", {}, words), action, h("button", { class: "close", aria_label: "Close", onclick: () => notify("") }, "\u00d7")].filter(Boolean) : []));
}

server.tell = ({ state, words }) => {
  notify(words);
  $("notice").classList.toggle("trouble", state === "gone" || state === "busy");
  if (state === "locked") {
    $("locked").hidden = false;
    if (!server.key) notify("This service asks for an API key. It stays in this tab, and in no address.");
    $("key").focus();
  }
  if (state === "back") start(true);
};
server.onCall = () => { $("code").disabled = false; };

// Read the models again; after a loss, the view goes on where it was.
async function start(isBack = false) {
  await attempt($("notice"), async () => {
    const { models, reason } = await (await ask("v1/models")).json();
    const broken = models.filter(({ status }) => status === "broken").map((m) => `${m.name}${m.version ? ` ${m.version}` : ""}: ${m.reason}`);
    app.models = models.filter(({ status }) => status === "ready");
    $("model").replaceChildren(...app.models.map((m) => h("option", { value: `${m.name}@${m.version}` }, `${m.name} v${m.version}`)));
    if (!app.models.length) {
      $("view").replaceChildren(h("p", { class: "error", role: "alert" }, `No model is served. ${reason}`));
      return;
    }
    if (broken.length) notify(`Not served: ${broken.join("; ")}`);
    descriptions.clear();
    if (isBack && view && app.models.some((m) => m.digest === app.model.digest)) await view.refresh();
    else await apply();
  });
}

// Open what the address says.
async function apply() {
  const link = readLink();
  const [name, version] = (link.m || "").split("@");
  const asked = app.models.find((m) => m.name === name && (!version || String(m.version) === version));
  const chosen = asked || app.models.find((m) => m.default) || app.models[0];
  if (link.m && !asked) notify(`${link.m} is not served here. This is ${chosen.name}.`);
  await choose(chosen);
  if (asked && link.d && !app.model.digest.startsWith(link.d)) {
    notify(`The weights of ${link.m} have changed since this link was made: pictures and numbers may differ.`);
  }
  app.label = app.model.labels.includes(link.y) ? link.y : null;
  await open(link.v in VIEWS ? link.v : "draw", link);
}

async function choose(wanted) {
  const model = await describe(wanted);
  if (app.model === model) return;
  const sameShape = String(app.model?.image_shape) === String(model.image_shape);
  const kept = app.picture && (app.picture.source === "file" || (sameShape && app.picture.source === "drawn"));
  app.model = model;
  app.size = model.latent_shape.reduce((a, b) => a * b, 1);
  app.isStandard = model.prior.kind === "standard_normal";
  const kl = model.evaluation.kl_per_dimension_nats || [];
  app.usage = Array.from({ length: app.size }, (_, i) => kl[i] ?? null);
  app.dimensions = app.usage.map((_, i) => i).sort((a, b) => (app.usage[b] ?? 0) - (app.usage[a] ?? 0));
  app.active = app.dimensions.filter((i) => app.usage[i] === null || app.usage[i] >= INACTIVE_NATS);
  app.quantiles = model.references?.elbo_nats ?? null;
  app.latent = app.label = app.encoded = app.gallery = gallerySoon = null;
  if (!kept) app.picture = null;
  view?.close?.();
  view = null;
  opened.clear();
  const [channels, height, width] = model.image_shape;
  $("model").value = `${model.name}@${model.version}`;
  $("about").textContent = `${width}\u00d7${height}${channels === 3 ? " colour" : ""} \u00b7 ${count(app.size)} latents \u00b7 ${model.likelihood.kind.replaceAll("_", " ")}`;
  document.title = `${model.name} \u00b7 vae-serve`;
}

async function open(name, link) {
  isOpening = true;
  view?.close?.();
  viewName = name;
  for (const tab of $("tabs").children) tab.setAttribute("aria-current", tab.dataset.view === name ? "page" : "false");
  if (!opened.has(name)) opened.set(name, VIEWS[name][1](app));
  view = opened.get(name);
  $("view").dataset.view = name;
  $("view").replaceChildren(view.element);
  const mine = view;
  const error = h("p", { class: "error", role: "alert" });
  await attempt(error, () => mine.open(link));
  if (error.textContent) mine.element.prepend(error);
  isOpening = false;
}

function fields() {
  const { name, version, digest } = app.model;
  return { m: `${name}@${version}`, d: digest.slice(0, 8), v: viewName, y: app.label, ...view.fields() };
}

function writeLink(isNew) {
  if (!view) return;
  const link = makeLink(fields());
  if (link === location.hash) return;
  history[isNew ? "pushState" : "replaceState"](null, "", link);
}

// Another view of the same model; `more` are fields of its link.
async function go(name, more = {}) {
  await open(name, more);
  writeLink(true);
}

for (const [name, [title, , rest]] of Object.entries(VIEWS)) {
  $("tabs").append(h("button", { onclick: () => app.model && go(name) }, title, rest ? h("span", { class: "rest" }, rest) : null));
  $("tabs").lastChild.dataset.view = name;
}
$("model").addEventListener("change", () => attempt($("notice"), async () => {
  const [name, version] = $("model").value.split("@");
  await choose(app.models.find((m) => m.name === name && String(m.version) === version));
  await go(viewName);
}));
$("key").addEventListener("change", () => {
  setKey($("key").value);
  notify("");
  start();
});
$("code").addEventListener("click", () => openCode($("dialog")));
$("link").addEventListener("click", async () => {
  writeLink(false);
  const copied = await navigator.clipboard?.writeText(location.href).then(() => true, () => false);
  $("link").textContent = copied ? "Copied" : "In the address bar";
  setTimeout(() => { $("link").textContent = "Copy link"; }, 1500);
});
addEventListener("hashchange", () => { if (app.models.length && !isOpening) apply(); });
start();
