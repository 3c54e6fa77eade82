// log p(x), live: the streamed estimate as it tightens.

import { tightening } from "./charts.js";
import { attempt, count, errorPlace, h, help, nats, number, swatch } from "./dom.js";
import { lines, operate } from "./server.js";

const FIRST_DRAWS = 2000;
const REFINED_DRAWS = 1000;
const MORE_DRAWS = 10000;

// A panel for one view; `describe()` gives {picture, query, elbo} of what is shown.
export function likelihoodPanel(app, describe) {
  const error = errorPlace();
  const chart = h("div", { class: "chart-place" });
  const words = h("dl", { class: "facts" });
  const state = h("p", { class: "quiet", aria_live: "polite" });
  const buttons = {
    refine: h("button", { onclick: () => start({ inference: "refined", num_samples: REFINED_DRAWS }) }, "Refine"),
    more: h("button", { onclick: () => start({ num_samples: MORE_DRAWS }) }, `${count(MORE_DRAWS)} draws`),
    stop: h("button", { disabled: true, onclick: stop }, "Stop"),
  };
  let controller = null;
  let points = [];

  function stop() {
    controller?.abort();
    controller = null;
    buttons.stop.disabled = true;
    state.textContent = points.length ? `Stopped after ${count(points.at(-1).num_samples)} draws. No work is left on the server.` : "Stopped. No work is left on the server.";
  }

  async function start(asked = { num_samples: FIRST_DRAWS }) {
    controller?.abort();
    const mine = new AbortController();
    controller = mine;
    points = [];
    const { picture, query, elbo } = describe();
    buttons.stop.disabled = false;
    words.replaceChildren();
    if (asked.inference) chart.replaceChildren();
    state.textContent = asked.inference ? "Fitting normals to the posterior of this picture\u2026" : "Drawing\u2026";
    await attempt(error, async () => {
      const response = await operate(app.model, "log-likelihood", {
        query: { ...query, ...asked, seed: 1, format: "ndjson" }, picture, as: "response", signal: mine.signal,
      });
      for await (const line of lines(response)) {
        if (mine.signal.aborted) return;
        if (line.results) finish(line.results[0], elbo, asked);
        else if (line.detail) throw new Error(line.detail);
        else draw(line, elbo, asked);
      }
    });
    if (controller === mine) {
      controller = null;
      buttons.stop.disabled = true;
      if (error.textContent) state.textContent = "";
    }
  }

  function draw(line, elbo, asked) {
    points.push(line);
    state.textContent = `${count(line.num_samples)} of ${count(asked.num_samples)} draws`;
    chart.replaceChildren(tightening(points, null, elbo, asked.num_samples) || "");
    fill(line, null);
  }

  function finish(result, elbo, asked) {
    if (points.length && result.num_samples > points.at(-1).num_samples) points.push(result);
    if (points.length) chart.replaceChildren(tightening(points, result, elbo, asked.num_samples) || "");
    state.textContent = result.inference === "refined"
      ? `Refined: ${count(result.num_samples)} draws of normals fitted to this picture. The encoder loses ${nats(result.amortisation_gap_nats)} against them.`
      : `${count(result.num_samples)} draws of the encoder's q(z|x).`;
    fill(result, result);
  }

  function fill(line, result) {
    const [low, high] = result?.log_px_interval_nats || [null, null];
    const rows = [
      [[swatch("estimate"), "estimate"], `${nats(line.estimate_nats, 2)} \u00b1 ${number(line.standard_error_nats, 2)}`, help("The logarithm of the mean importance weight. In expectation it is below log p(x), and rises with the draws.", "log-likelihood")],
      [[swatch("lower"), "guaranteed"], `above ${nats(line.lower_bound_95_nats, 2)}`, help("log p(x) is above this with 95 % confidence, whatever the weights look like and wherever you stop.", "log-likelihood")],
    ];
    if (result) rows.push([[swatch("interval"), "log p(x)"], low === null ? "no interval" : `${number(low, 2)} to ${nats(high, 2)}`, low === null ? [h("span", { class: "why" }, result.reason || "")] : help("A 95 % interval of log p(x) itself, if no mode of the posterior was missed. Shown only where the weights look regular.", "log-likelihood")]);
    rows.push(["effective draws", `${number(line.effective_sample_size, 0)} of ${count(line.num_samples)}`, help("How many equal weights the draws are worth. Far fewer than the draws: a few of them decide the estimate. Refine helps.", "log-likelihood")]);
    words.replaceChildren(...rows.flatMap(([name, value, more]) => [h("dt", {}, name), h("dd", {}, h("span", { class: "num" }, value), more)]));
  }

  function clear() {
    controller?.abort();
    controller = null;
    points = [];
    for (const place of [chart, words, state, error]) place.replaceChildren();
    buttons.stop.disabled = true;
  }

  const refusal = app.refuses("log-likelihood");
  buttons.refine.disabled = !app.model.prior || app.model.posterior.kind === "enumerated";
  const element = h("section", { class: "panel likelihood" },
    h("h3", {}, "log p(x), live", help("How probable the model holds this picture, in nats. The ELBO is only a lower bound; importance sampling closes the gap, and says how far it can be trusted.", "log-likelihood")),
    refusal ? h("p", { class: "quiet" }, refusal) : [h("div", { class: "row" }, buttons.refine, buttons.more, buttons.stop), state, error, chart, words]);
  return { element, start: refusal ? () => {} : start, clear };
}
