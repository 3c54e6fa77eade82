// Copy as code: the last call as curl, Python and command, right as it stands.

import { h } from "./dom.js";
import { writeNpy } from "./npy.js";
import { download } from "./pictures.js";
import { server } from "./server.js";

const SUFFIX = { encode: "npz", decode: "png", sample: "png", reconstruct: "png", interpolate: "webp" };
const SHELL_SAFE = /^[\w@%+=:,./-]+$/;
const quote = (text) => (SHELL_SAFE.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
const root = () => new URL(".", location.href).href.replace(/\/$/, "");

function curl({ model, operation, query, picture, latents }) {
  const parameters = written(operation, query);
  const text = new URLSearchParams(parameters).toString();
  const url = `${root()}/v1/models/${model.name}/versions/${model.version}/${operation}${text ? `?${text}` : ""}`;
  const parts = ["curl"];
  if (query.some(([, value]) => value === "ndjson")) parts.push("-N");
  if (server.key) parts.push('-H "Authorization: Bearer $VAE_API_KEY"');
  if (picture) parts.push(`-F images=@${quote(picture.name)}`);
  if (latents) parts.push("--data-binary @latents.npy -H 'Content-Type: application/x-npy'");
  parts.push(quote(url));
  if (["decode", "sample", "interpolate"].includes(operation)) parts.push(`-o ${fileOf(operation, parameters)}`);
  return parts.join(" ");
}

function fileOf(operation, query) {
  const format = Object.fromEntries(query).format;
  return `${operation}.${["png", "npy", "webp"].includes(format) ? format : SUFFIX[operation] || "json"}`;
}

// Parameters beside those that say how an answer is written.
const asked = (query) => query.filter(([name]) => !["format", "dtype", "columns", "encoding"].includes(name));

// The page decodes into an array; in a shell it is a picture.
const written = (operation, query) => (operation === "decode" ? [...asked(query), ["format", "png"]] : query);

function python({ model, operation, query, picture, latents }) {
  const literal = ([, value]) => (value === true ? "True" : typeof value === "number" || /^-?\d+(\.\d+)?$/.test(value) ? String(value) : JSON.stringify(value));
  const name = (word) => word.replace("-", "_");
  const isStream = query.some(([, value]) => value === "ndjson");
  const parameters = asked(query).filter(([word]) => !(operation === "sample" && word === "n")).map((pair) => `${pair[0]}=${pair[0] === "label" ? JSON.stringify(pair[1]) : literal(pair)}`);
  const first = picture ? JSON.stringify(picture.name) : latents ? (operation === "interpolate" ? 'latents="latents.npy"' : '"latents.npy"') : String(Object.fromEntries(query).n ?? 1);
  const key = server.key ? ', api_key=os.environ["VAE_API_KEY"]' : "";
  const call = `client.${isStream ? "stream_" : ""}${name(operation)}(${[first, ...parameters].join(", ")})`;
  const uses = isStream ? `for line in ${call}:\n    print(line.estimate_nats, line.standard_error_nats)` : SUFFIX[operation] && operation !== "encode" ? `answer = ${call}\nanswer.to_pil()[0].save("${operation}.png")` : `answer = ${call}\nprint(answer.arrays)`;
  return `${server.key ? "import os\n\n" : ""}from vae_client import VAEClient\n\nclient = VAEClient("${root()}", model="${model.name}", version=${model.version}${key})\n${uses}`;
}

function command({ model, operation, query, picture, latents }) {
  const flags = asked(query).filter(([name]) => name !== "check").map(([name, value]) => `--${name.replaceAll("_", "-")}${value === true ? "" : ` ${quote(String(value))}`}`);
  const isStream = query.some(([, value]) => value === "ndjson");
  const input = picture ? quote(picture.name) : latents ? "latents.npy" : "";
  const out = SUFFIX[operation] ? `-o ${fileOf(operation, written(operation, query))}` : isStream ? "--stream" : "--json";
  return ["vae", operation, input, ...flags, `--model ${model.name} --version ${model.version}`, `--url ${root()}`, out].filter(Boolean).join(" ");
}

// Show the last call in a dialog.
export function openCode(dialog) {
  const call = server.lastCall;
  if (!call) return;
  const needs = call.latents
    ? h("button", { onclick: () => download(writeNpy([call.latents.length, ...call.model.latent_shape], call.latents.flat()), "latents.npy") }, "Save latents.npy")
    : call.picture ? h("button", { onclick: () => download(call.picture.blob, call.picture.name) }, `Save ${call.picture.name}`) : null;
  const block = (title, text) => h("div", { class: "code" },
    h("div", { class: "row" }, h("h3", {}, title), h("span", { class: "spring" }), h("button", {
      onclick: async (event) => {
        await navigator.clipboard?.writeText(text).catch(() => {});
        event.target.textContent = "Copied";
      },
    }, "Copy")), h("pre", { tabIndex: 0 }, text));
  dialog.replaceChildren(
    h("div", { class: "row" }, h("h2", {}, "The last call as code"), h("span", { class: "spring" }), h("button", { onclick: () => dialog.close() }, "Close")),
    needs ? h("p", {}, "It reads a file beside it: ", needs) : "",
    block("curl", curl(call)), block("Python", python(call)), block("Command", command(call)));
  dialog.showModal();
}
