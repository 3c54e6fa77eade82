// The start page. All its requests go to /v1.
"use strict";

const $ = (id) => document.getElementById(id);

let picture = null; // the scored picture

async function call(path, options = {}) {
  const headers = { ...options.headers };
  if ($("key").value) headers.Authorization = `Bearer ${$("key").value}`;
  const response = await fetch(path, { ...options, headers });
  if (response.status === 401) $("locked").hidden = false;
  if (!response.ok) {
    const problem = await response.json().catch(() => ({}));
    throw new Error(problem.detail || `${response.status} ${response.statusText}`);
  }
  return response;
}

// Run an action, and show its failure on the page.
async function attempt(action) {
  $("error").textContent = "";
  try {
    await action();
  } catch (error) {
    $("error").textContent = error.message;
  }
}

function modelPath() {
  if (!$("model").value) throw new Error("Choose a model first.");
  return `v1/models/${$("model").value}`;
}

function show(image, blob) {
  URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(blob);
}

async function listModels() {
  const { models, reason } = await (await call("v1/models")).json();
  const ready = models.filter((model) => model.status === "ready");
  const names = [...new Set(ready.map((model) => model.name))];
  $("model").replaceChildren(...names.map((name) => new Option(name, name)));
  const chosen = ready.find((model) => model.default);
  if (!chosen) $("model").prepend(new Option("choose a model", ""));
  $("model").value = chosen ? chosen.name : "";
  const broken = models.filter((model) => model.status === "broken");
  const faults = broken.map((m) => `${[m.name, m.version].filter((part) => part !== null).join(" ")}: ${m.reason}`);
  if (!names.length) faults.unshift(`No model is served. ${reason}`);
  $("error").textContent = faults.join("\n");
  if (chosen) await choose();
  else if (names.length) $("about").textContent = "There is no default model. Choose one.";
}

// Names of the operations that the chosen model offers.
let offered = new Set();

async function choose() {
  const model = await (await call(modelPath())).json();
  offered = new Set(model.operations.map((operation) => operation.name));
  const takesLabels = model.capabilities.includes("labels");
  $("labelled").hidden = !takesLabels;
  $("label").replaceChildren(new Option("any", ""));
  if (takesLabels) $("label").append(...model.labels.map((name) => new Option(name, name)));
  const [channels, height, width] = model.image_shape;
  $("about").textContent =
    `${model.name}, version ${model.version}: ${width} × ${height} pixels, ` +
    `${channels === 1 ? "grey" : "colour"}, ${model.latent_shape.join(" × ")} latents, ` +
    `likelihood ${model.likelihood.kind.replaceAll("_", " ")}.`;
  for (const id of ["draw", "own"]) $(id).disabled = !offered.has("sample");
  if (offered.has("sample")) await draw();
  else $("samples").removeAttribute("src");
  if (picture) await score(picture);
}

async function draw() {
  $("warmth").textContent = $("temperature").value;
  const query = new URLSearchParams({ seed: $("seed").value, temperature: $("temperature").value });
  if ($("label").value) query.set("label", $("label").value);
  const response = await call(`${modelPath()}/sample?${query}`, { headers: { Accept: "image/png" } });
  show($("samples"), await response.blob());
}

async function score(given) {
  picture = given;
  show($("given"), picture);
  modelPath(); // without a model it says so
  $("reconstruction").removeAttribute("src");
  $("steps").textContent = "Scoring…";
  $("scores").replaceChildren();
  $("warnings").replaceChildren();
  const body = new FormData();
  body.append("images", picture, "picture");
  const query = new URLSearchParams({ invert: $("invert").checked });
  const post = { method: "POST", body };
  const rows = [];
  const warnings = new Map();
  try {
    if (offered.has("reconstruct")) {
      const answer = await (await call(`${modelPath()}/reconstruct?${query}`, post)).json();
      const bytes = Uint8Array.from(atob(answer.images[0]), (letter) => letter.charCodeAt(0));
      show($("reconstruction"), new Blob([bytes], { type: "image/png" }));
      collect(warnings, answer);
    }
    if (offered.has("classify")) {
      const answer = await (await call(`${modelPath()}/classify?${query}&seed=1`, post)).json();
      rows.push(classRow(answer));
      collect(warnings, answer);
      showSteps(answer);
    }
    if (offered.has("elbo")) {
      const answer = await (await call(`${modelPath()}/elbo?${query}&seed=1&check=true`, post)).json();
      rows.push(...scoreRows(answer.results[0]));
      collect(warnings, answer);
      showSteps(answer);
    }
  } catch (error) {
    $("steps").textContent = "";
    throw error;
  }
  $("scores").replaceChildren(...rows.map((cells) => {
    const row = document.createElement("tr");
    for (const cell of cells) row.insertCell().textContent = cell;
    return row;
  }));
}

// One entry for each code: the answers of two operations may say the same.
function collect(found, { warnings }) {
  for (const { code, message } of warnings) found.set(code, message);
  $("warnings").replaceChildren(...[...found.values()].map((message) => {
    const line = document.createElement("li");
    line.textContent = message;
    return line;
  }));
}

function showSteps({ preprocessing: [steps] }) {
  $("steps").textContent = `Preprocessing: ${steps.join(", ") || "none"}.`;
}

function classRow({ method, results: [{ label, probabilities }] }) {
  return ["class", label, `probability ${number(Math.max(...probabilities), 3)}, by ${method}`];
}

function scoreRows(result) {
  return [
    ["ELBO", nats(result.elbo_nats), `± ${nats(result.standard_error_nats)} (${result.num_samples} samples); a lower bound on log p(x), higher is better`],
    ["expected log-likelihood", nats(result.expected_log_likelihood_nats), "log p(x|z), averaged over latents z of the picture"],
    ["− KL", nats(-result.kl_nats), "minus KL(q(z|x) || p(z)), the picture's latents against the prior; this row and the one above add up to the ELBO"],
    ["bits per dim", number(result.bits_per_dim, 3), result.bits_per_dim_reason || "−ELBO per pixel and channel, in bits; an upper bound, lower is better"],
    ["percentile", number(result.percentile, 1), result.percentile_reason || `% of ${result.reference_n} test images have an ELBO that is not higher; a high one does not mean that a picture is normal`],
  ];
}

const number = (value, digits) => (value === null ? "none" : value.toFixed(digits));
const nats = (value) => `${number(value, 2)} nats`;

async function takeSample() {
  const seed = Math.floor(Math.random() * 2 ** 32);
  const response = await call(`${modelPath()}/sample?n=1&seed=${seed}&format=png`);
  await score(await response.blob());
}

$("model").addEventListener("change", () => attempt(choose));
$("key").addEventListener("change", () => attempt(listModels));
$("draw").addEventListener("click", () => attempt(async () => {
  $("seed").value = Number($("seed").value) + 1;
  await draw();
}));
for (const id of ["seed", "temperature", "label"]) $(id).addEventListener("change", () => attempt(draw));
$("temperature").addEventListener("input", () => { $("warmth").textContent = $("temperature").value; });
$("own").addEventListener("click", () => attempt(takeSample));
$("file").addEventListener("change", () => attempt(async () => {
  const [file] = $("file").files;
  if (file) await score(file);
}));
$("invert").addEventListener("change", () => attempt(async () => {
  if (picture) await score(picture);
}));
attempt(listModels);
