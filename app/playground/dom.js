// Elements of HTML and SVG, numbers in words, and errors where they belong.

import { Gone } from "./server.js";

const SVG = "http://www.w3.org/2000/svg";

export const $ = (id) => document.getElementById(id);

function fill(element, properties, children, isSvg) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (!isSvg && name in element && name !== "list") element[name] = value;
    else element.setAttribute(name === "class" || isSvg ? name : name.replace("_", "-"), value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// An element of HTML; `class` is its class, `onclick` a listener, `aria_label` an attribute.
export function h(tag, properties = {}, ...children) {
  const { class: className, ...rest } = properties;
  const element = document.createElement(tag);
  if (className) element.className = className;
  return fill(element, rest, children, false);
}

// An element of SVG.
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children, true);
}

export function number(value, digits = 1) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "none";
  const text = Math.abs(value) >= 10000 ? value.toLocaleString("en", { maximumFractionDigits: 0 }) : value.toFixed(digits);
  return text.replace("-", "\u2212");
}
export const nats = (value, digits = 1) => `${number(value, digits)} nats`;
export const count = (value) => value.toLocaleString("en");
export const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

// Percent in words: never 0 or 100 where a picture stands between.
export function percent(value) {
  if (value < 1) return "less than 1\u00a0%";
  return value > 99 && value < 100 ? "99\u00a0%" : `${Math.round(value)}\u00a0%`;
}

// Run an action; its failure is shown in `place`, in the API's own words.
export async function attempt(place, action) {
  place.textContent = "";
  try {
    return await action();
  } catch (error) {
    if (error.name === "AbortError" || error instanceof Gone) return undefined;
    place.textContent = error.message;
    if (!error.status) console.error(error);
    return undefined;
  }
}

export const errorPlace = () => h("p", { class: "error", role: "alert" });

// The newest value wins: one action at a time, values in between are dropped, slow ones aborted.
export function newest(action, patience = 150) {
  let running = null;
  let since = 0;
  let waiting = null;
  return async (value) => {
    if (running) {
      waiting = [value];
      if (performance.now() - since > patience) running.abort();
      return;
    }
    for (let next = [value]; next; next = waiting) {
      waiting = null;
      running = new AbortController();
      since = performance.now();
      try {
        await action(next[0], running.signal);
      } catch (error) {
        if (error.name !== "AbortError") {
          waiting = null;
          throw error;
        }
      } finally {
        running = null;
      }
    }
  };
}

// What a word means, on request, with a link to the API's documentation.
export function help(words, operation) {
  const link = operation ? h("a", { href: `docs#/${operation}/${operation}` }, `${operation} in the API`) : null;
  const text = h("span", { class: "meaning", hidden: true }, words, " ", link);
  const button = h("button", {
    class: "help", type: "button", aria_expanded: "false", aria_label: "What is this?", title: "What is this?",
    onclick: () => {
      text.hidden = !text.hidden;
      button.setAttribute("aria-expanded", String(!text.hidden));
    },
  }, "?");
  return [button, text];
}

export const swatch = (kind) => h("i", { class: `swatch ${kind}` });
