// Requests to the API: keys, problems, a busy or a lost server. All addresses are relative.

import { readNpy, writeNpy } from "./npy.js";

// The API refused: `message` is its own words.
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || `The server answered ${status}.`);
    this.status = status;
    this.items = body.items || [];
  }
}

// The server does not answer; the page says so and looks for it.
export class Gone extends Error {}

const BUSY_TRIES = 6;
const LOOK_MS = 1000;
const KEY = "vae-serve.key";

export const server = {
  key: sessionStorage.getItem(KEY) || "",
  tell: () => {}, // told {state: "busy" | "gone" | "back" | "locked", words}
  lastCall: null, // for "Copy as code"
  onCall: () => {},
};

export function setKey(key) {
  server.key = key.trim();
  sessionStorage.setItem(KEY, server.key);
}

let looking = false;

async function lookForServer() {
  if (looking) return;
  looking = true;
  server.tell({ state: "gone", words: "The server does not answer. Your work is kept; this page goes on as soon as it is back." });
  for (;;) {
    await pause(LOOK_MS);
    const answer = await fetch("livez").catch(() => null);
    const ready = answer && answer.ok ? await fetch("readyz").catch(() => null) : null;
    if (ready && ready.ok) break;
  }
  looking = false;
  server.tell({ state: "back", words: "" });
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("", "AbortError"));
    });
  });
}

async function send(path, options) {
  const headers = { ...options.headers };
  if (server.key) headers.Authorization = `Bearer ${server.key}`;
  try {
    return await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    lookForServer();
    throw new Gone("The server does not answer.");
  }
}

// Ask for a path; wait and try again while the server is busy.
export async function ask(path, options = {}) {
  for (let tries = 1; ; tries += 1) {
    const response = await send(path, options);
    if (response.ok) {
      if (tries > 1) server.tell({ state: "idle", words: "" });
      return response;
    }
    const body = await response.json().catch(() => ({}));
    if (response.status === 401) server.tell({ state: "locked", words: body.detail });
    if (response.status !== 503 || tries === BUSY_TRIES) throw new Problem(response.status, body);
    const seconds = Number(response.headers.get("Retry-After")) || 1;
    server.tell({ state: "busy", words: `${body.detail} Trying again in ${seconds} s.` });
    await pause(seconds * 1000, options.signal);
  }
}

export const pathOf = (model) => `v1/models/${model.name}/versions/${model.version}`;

// Call an operation of a model.
// query: parameters; null ones are left out. picture: {blob, name}. pictures: many.
// latents: rows of numbers. as: json, npy, blob or response. note: offer this call as code.
export async function operate(model, operation, { query = {}, picture, pictures, latents, as = "json", signal, note = true } = {}) {
  const parameters = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== false);
  const options = { signal, headers: {} };
  if (pictures) {
    options.body = new FormData();
    for (const one of pictures) options.body.append("images", one.blob, one.name);
  } else if (picture) {
    options.body = picture.blob;
    options.headers["Content-Type"] = picture.blob.type || "application/octet-stream";
  } else if (latents) {
    options.body = writeNpy([latents.length, ...model.latent_shape], latents.flat());
    options.headers["Content-Type"] = "application/x-npy";
  }
  if (options.body) options.method = "POST";
  if (note) {
    server.lastCall = { model, operation, query: parameters, picture: picture || pictures?.[0], latents };
    server.onCall();
  }
  if (as === "npy") parameters.push(["format", "npy"]);
  const response = await ask(`${pathOf(model)}/${operation}?${new URLSearchParams([...parameters, ...(as === "json" ? [["format", "json"]] : [])])}`, options);
  if (as === "json") return response.json();
  if (as === "npy") return readNpy(await response.arrayBuffer());
  return as === "blob" ? response.blob() : response;
}

// The lines of a streamed answer as they come.
export async function* lines(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const part of parts) if (part) yield JSON.parse(part);
  }
}
