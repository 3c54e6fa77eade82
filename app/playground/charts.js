// Charts in SVG. Colours come from the style sheet.

import { clamp, count, h, nats, number, s } from "./dom.js";

const frame = (width, height, label, ...children) =>
  s("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, class: "chart" }, ...children);

const text = (x, y, words, anchor = "middle", kind = "") => s("text", { x, y, "text-anchor": anchor, class: kind }, words);

// Density of held-out ELBOs from their 101 quantiles, with "you are here".
export function heldOut(quantiles, value) {
  const [width, height, floor] = [340, 96, 70];
  const [low, high] = [quantiles[1], quantiles[100]];
  const margin = 0.06 * (high - low);
  const x = (nat) => 8 + ((clamp(nat, low - margin, high + margin) - low + margin) / (high - low + 2 * margin)) * (width - 16);
  const bins = 28;
  const below = (nat) => {
    const place = quantiles.findIndex((quantile) => quantile > nat);
    if (place === -1) return 100;
    if (place === 0) return 0;
    return place - 1 + (nat - quantiles[place - 1]) / (quantiles[place] - quantiles[place - 1]);
  };
  const edges = Array.from({ length: bins + 1 }, (_, i) => low + (i * (high - low)) / bins);
  const masses = edges.slice(1).map((edge, i) => below(edge) - below(edges[i]));
  const most = Math.max(...masses);
  const bars = masses.map((mass, i) => s("rect", {
    x: x(edges[i]) + 0.5, width: Math.max(1, x(edges[i + 1]) - x(edges[i]) - 1),
    y: floor - (mass / most) * 50, height: (mass / most) * 50, class: edges[i + 1] <= value ? "bar passed" : "bar",
  }));
  const here = x(value);
  const side = here < 60 ? "start" : here > width - 60 ? "end" : "middle";
  const off = value < low - margin ? "\u2190 " : "";
  return frame(width, height, `Held-out pictures from ${nats(low, 0)} to ${nats(high, 0)}; this one has ${nats(value)}`,
    ...bars,
    s("line", { x1: 8, x2: width - 8, y1: floor, y2: floor, class: "axis" }),
    s("line", { x1: here, x2: here, y1: 16, y2: floor + 4, class: "here" }),
    text(here, 11, `${off}you are here`, side, "here-label"),
    text(x(low), height - 8, number(low, 0), "start", "quiet"),
    text(x(high), height - 8, `${number(high, 0)} nats`, "end", "quiet"));
}

// What the picture costs: nats of its pixels given its latents, and of its latents.
export function costs(pixels, latents) {
  const [width, height] = [340, 34];
  const total = pixels + latents;
  const split = (width - 2) * (pixels / total);
  return frame(width, height, `${nats(pixels)} for the pixels, ${nats(latents)} for the latents`,
    s("rect", { x: 0, y: 0, width: Math.max(0, split - 1), height: 14, rx: 3, class: "cost-pixels" }),
    s("rect", { x: split + 1, y: 0, width: width - split - 1, height: 14, rx: 3, class: "cost-latents" }),
    text(0, 29, `pixels ${number(pixels)}`, "start", "quiet"),
    text(width, 29, `latents ${number(latents)}`, "end", "quiet"));
}

// Bars of classes in their order, the most probable one marked.
export function classBars(labels, probabilities) {
  const best = probabilities.indexOf(Math.max(...probabilities));
  const shown = labels.map((label, i) => [label, probabilities[i], i]).filter((_, i) => labels.length <= 12 || i === best || probabilities[i] > 0.01);
  return h("div", { class: "classes" }, shown.map(([label, p, i]) => h("div", { class: i === best ? "best" : "" },
    h("span", {}, label),
    s("svg", { viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" },
      s("rect", { x: 0, y: 0, width: 100, height: 8, class: "track" }), s("rect", { x: 0, y: 0, width: 100 * p, height: 8, class: "bar" })),
    h("span", { class: "num" }, p < 0.0005 ? "0" : number(p, 3)))));
}

// q(z|x) of each dimension over the prior: mean and two standard deviations.
export function posterior(mean, std, order, isStandard) {
  const [width, height, middle] = [640, 130, 65];
  const reach = Math.max(3, ...mean.map((m, i) => Math.abs(m) + 2 * (std ? std[i] : 0)));
  const y = (value) => middle - (value / reach) * (middle - 6);
  const step = (width - 40) / order.length;
  const wide = Math.max(1.5, Math.min(14, step - 2));
  const marks = order.map((dimension, place) => {
    const x = 36 + (place + 0.5) * step;
    const spread = std ? 2 * std[dimension] : 0;
    return s("g", {},
      s("title", {}, `z${dimension}: ${number(mean[dimension], 2)}${std ? ` \u00b1 ${number(std[dimension], 2)}` : ""}`),
      s("rect", { x: x - wide / 2, width: wide, y: y(mean[dimension] + spread), height: Math.max(1, y(-spread) - y(spread)), rx: 2, class: "q" }),
      s("rect", { x: x - wide / 2, width: wide, y: y(mean[dimension]) - 1, height: 2, class: "q-mean" }));
  });
  return frame(width, height, "Posterior of each latent dimension over the prior",
    isStandard ? s("rect", { x: 36, width: width - 40, y: y(2), height: y(-2) - y(2), class: "prior" }) : null,
    s("line", { x1: 36, x2: width - 4, y1: middle, y2: middle, class: "axis" }),
    ...[2, -2].map((value) => text(28, y(value) + 4, number(value, 0), "end", "quiet")), text(28, middle + 4, "0", "end", "quiet"),
    ...marks);
}

// The two curves behind a slider: q(z|x) over the prior N(0, 1).
export function curves(low, high, mean, std, isStandard) {
  const [width, height] = [240, 26];
  const path = (loc, scale, tallest) => {
    const points = Array.from({ length: 81 }, (_, i) => {
      const value = low + ((high - low) * i) / 80;
      const density = Math.exp(-0.5 * ((value - loc) / scale) ** 2);
      return `${(i * width) / 80},${(height - density * tallest).toFixed(1)}`;
    });
    return `M0,${height} L${points.join(" ")} L${width},${height} Z`;
  };
  return s("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    isStandard ? s("path", { d: path(0, 1, 14), class: "prior" }) : null,
    std === null ? null : s("path", { d: path(mean, Math.max(std, (high - low) / 160), 25), class: "q" }));
}

// The running estimate of log p(x) as it tightens.
export function tightening(points, final, elbo, most) {
  const [width, height, left, bottom] = [340, 170, 44, 146];
  const values = points.flatMap((p) => [p.estimate_nats, ...(p.bound_interval_nats[0] === null ? [] : p.bound_interval_nats)]);
  const recent = points.slice(-8).map((p) => p.lower_bound_95_nats);
  const interval = final?.log_px_interval_nats?.[0] ? final.log_px_interval_nats : [];
  const all = [...values, ...recent, ...interval, ...(elbo === null ? [] : [elbo])].filter(Number.isFinite);
  if (!all.length) return null;
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const room = Math.max(1, 0.08 * (high - low));
  const y = (value) => 10 + ((high + room - clamp(value, low - room, high + room)) / (high - low + 2 * room)) * (bottom - 14);
  const [first, last] = [Math.log(points[0].num_samples), Math.log(Math.max(most, points.at(-1).num_samples))];
  const x = (samples) => left + ((Math.log(samples) - first) / Math.max(1e-9, last - first)) * (width - left - 26);
  const line = (field, kind) => s("polyline", { class: kind, points: points.filter((p) => Number.isFinite(p[field])).map((p) => `${x(p.num_samples).toFixed(1)},${y(p[field]).toFixed(1)}`).join(" ") });
  const sure = points.filter((p) => p.bound_interval_nats[0] !== null);
  const band = [...sure.map((p) => [x(p.num_samples), y(p.bound_interval_nats[1])]), ...sure.toReversed().map((p) => [x(p.num_samples), y(p.bound_interval_nats[0])])];
  const ticks = high - low < 0.3 ? [(low + high) / 2] : [low, (low + high) / 2, high];
  return frame(width, height, `Running estimate of log p(x): ${nats(points.at(-1).estimate_nats)} after ${count(points.at(-1).num_samples)} draws`,
    ...ticks.map((tick) => s("g", {}, s("line", { x1: left, x2: width - 8, y1: y(tick), y2: y(tick), class: "grid" }), text(left - 6, y(tick) + 4, number(tick, high - low < 10 ? 1 : 0), "end", "quiet"))),
    band.length ? s("polygon", { class: "band", points: band.map((point) => point.map((v) => v.toFixed(1)).join(",")).join(" ") }) : null,
    elbo === null ? null : s("line", { x1: left, x2: width - 8, y1: y(elbo), y2: y(elbo), class: "elbo" }),
    line("lower_bound_95_nats", "lower"), line("estimate_nats", "estimate"),
    s("circle", { cx: x(points.at(-1).num_samples), cy: y(points.at(-1).estimate_nats), r: 3.5, class: "estimate-dot" }),
    interval.length ? s("line", { x1: width - 14, x2: width - 14, y1: y(interval[1]), y2: y(interval[0]), class: "interval" }) : null,
    text(left, height - 6, `${count(points[0].num_samples)} draws`, "start", "quiet"),
    text(width - 8, height - 6, count(Math.max(most, points.at(-1).num_samples)), "end", "quiet"));
}

// One horizontal bar from 0, with its value.
export function bar(value, most, words) {
  return h("div", { class: "bar-line" },
    s("svg", { viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" },
      s("rect", { x: 0, y: 0, width: 100, height: 8, class: "track" }), s("rect", { x: 0, y: 0, width: clamp((100 * value) / most, 0, 100), height: 8, class: "bar" })),
    h("span", { class: "num" }, words));
}
