"""Prometheus metrics of one app.

Label values are names that this service gives; what a caller invents is "unknown" or "other".
"""

import asyncio
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from app.api.process_metrics import ProcessMetrics
from app.api.tally import CounterTally, HistogramTally
from app.api.worker_metrics import is_worker, sum_of_workers
from app.errors import Reason
from app.serving.snapshot import ModelState
from app.wire.media_types import BODY_TYPES, canonical_media_type
from models import __version__

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
UNKNOWN = "unknown"
MAX_CHILDREN = 1024
"""Metrics of one set of labels that are kept at hand."""
REFRESH_SECONDS = 1.0

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
REQUESTS = (1, 2, 4, 8, 16, 32, 64, 128)
CANCELLED = {499: "client", 504: "deadline"}
"""Statuses of requests that ended early, and why."""
Stage = Literal["read", "queue", "compute", "render"]
STAGES = get_args(Stage)
PERCENTILES = (0.1, 1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 99.9, 100)


class Metrics:
    """All metrics of the service."""

    def __init__(self) -> None:
        """Register the metrics in a registry of their own."""
        self.registry = CollectorRegistry()
        self._refreshes: list[Callable[[], None]] = []
        counter = partial(Counter, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry, multiprocess_mode="livesum")
        histogram = partial(Histogram, registry=self.registry)
        self.requests = counter(
            "vae_requests_total",
            "Requests answered; media_type is the request body's.",
            ["operation", "model", "status", "media_type"],
        )
        self.seconds = histogram(
            "vae_request_seconds",
            "Seconds from a request's arrival to its answer's end.",
            ["operation", "model"],
            buckets=SECONDS,
        )
        words = "Seconds that a request waited in the queue."
        self.queue_seconds = histogram("vae_queue_seconds", words, ["operation"], buckets=SECONDS)
        words = "Seconds of compute of one request."
        self.compute_seconds = histogram(
            "vae_compute_seconds", words, ["operation", "model"], buckets=SECONDS
        )
        words = "Images, latents, samples or steps answered."
        self.items = counter("vae_items_total", words, ["operation", "model"])
        self.elbo_percentiles = histogram(
            "vae_elbo_percentile",
            "Percentile of each scored image's ELBO among held-out data: uniform unless inputs "
            "drift.",
            ["model"],
            buckets=PERCENTILES,
        )
        self.drift_p_value = gauge(
            "vae_drift_p_value",
            "p-value of the last full window of anomaly's pictures: below 0.001 they are unlike "
            "the good ones. The least of all workers.",
            ["model", "version"],
            multiprocess_mode="livemin",
        )
        self._tallies: list[CounterTally | HistogramTally] = []
        self._of_requests: dict[
            tuple[str, str, int, str | None], tuple[CounterTally, HistogramTally]
        ] = {}
        self._of_compute: dict[
            tuple[str, str], tuple[CounterTally, HistogramTally, HistogramTally]
        ] = {}
        self._count_engine(counter, histogram)
        self.in_flight = 0
        in_flight = gauge("vae_requests_in_flight", "Requests not yet answered.")
        self._refreshes.append(lambda: in_flight.set(self.in_flight))
        words = "Cost units of the requests waiting or computing."
        self.queue_cost = gauge("vae_queue_cost", words)
        self.queue_jobs = gauge("vae_queue_jobs", "Requests waiting or computing.")
        words = "Bundles in the model repository, ready or broken."
        self.bundles = gauge("vae_bundles", words, ["status"], multiprocess_mode="livemostrecent")
        words = "Workers in which a version of a model is in a state."
        self.model_state = gauge("vae_model_state", words, ["model", "version", "state"])
        self._states: set[tuple[str, str, str]] = set()
        words = "Version of the service; the value is 1."
        build = gauge("vae_build_info", words, ["version"], multiprocess_mode="livemax")
        build.labels(__version__).set(1)
        gauge("vae_workers", "Processes that serve.").set(1)
        self._refreshes.append(ProcessMetrics(self.registry).refresh)

    def _count_engine(
        self, counter: Callable[..., Counter], histogram: Callable[..., Histogram]
    ) -> None:
        words = "Rows of one call of a network."
        self.batch_rows = histogram("vae_batch_rows", words, ["pass"], buckets=ROWS)
        words = "Requests that shared one call of a network."
        self.batch_requests = histogram("vae_batch_requests", words, ["pass"], buckets=REQUESTS)
        words = "Requests turned away for no fault of their own, by reason."
        rejections = counter("vae_rejections_total", words, ["reason"])
        self._rejections = {reason: rejections.labels(reason) for reason in get_args(Reason)}
        words = "Requests whose client left, or whose deadline passed, by how far they had come."
        cancellations = counter("vae_cancellations_total", words, ["cause", "stage"])
        self._cancellations = {
            (status, stage): cancellations.labels(cause, stage)
            for status, cause in CANCELLED.items()
            for stage in STAGES
        }
        self._of_passes: dict[str, tuple[Histogram, Histogram]] = {}

    def watch_queue(self, cost: Callable[[], float], jobs: Callable[[], float]) -> None:
        """Read the queue's size at each scrape."""

        def refresh() -> None:
            self.queue_cost.set(cost())
            self.queue_jobs.set(jobs())

        self._refreshes.append(refresh)

    def refresh(self) -> None:
        """Bring the gauges up to date whose values are read elsewhere."""
        for refresh in self._refreshes:
            refresh()

    async def keep_fresh(self) -> None:
        """Empty the tallies again and again, and refresh a worker's gauges.

        Another worker may be asked for them.
        """
        while True:
            self.flush()
            if is_worker():  # the kernel may take milliseconds for a value
                await asyncio.to_thread(self.refresh)
            await asyncio.sleep(REFRESH_SECONDS)

    def show_states(self, states: Collection[ModelState]) -> None:
        """Show the state of every version, and how many bundles are ready or broken."""
        for status in ("ready", "broken"):
            self.bundles.labels(status).set(sum(known.state == status for known in states))
        current = {(known.name, str(known.version or ""), known.state) for known in states}
        for labels in self._states | current:
            self.model_state.labels(*labels).set(labels in current)
        self._states |= current

    def count_request(
        self, operation: str, model: str, *, status: int, body_type: str | None, seconds: float
    ) -> None:
        """Count one answered request and its seconds."""
        key = operation, model, status, body_type
        children = self._of_requests.get(key)
        if children is None:
            media_type = media_type_label(body_type)
            counter = self.requests.labels(operation, model, str(status), media_type)
            histogram = self.seconds.labels(operation, model)
            if len(self._of_requests) >= MAX_CHILDREN:  # body_type is the caller's own text
                counter.inc()
                histogram.observe(seconds)
                return
            children = self._counted(counter), self._observed(histogram)
            self._of_requests[key] = children
        counted, lasted = children
        counted.count += 1
        lasted.observe(seconds)

    def count_compute(
        self,
        operation: str,
        model: str,
        items: int,
        queue_seconds: float,
        compute_seconds: float,
    ) -> None:
        """Count the items of one answer, and its seconds of queue and compute."""
        children = self._of_compute.get((operation, model))
        if children is None:
            children = self._of_compute[operation, model] = (
                self._counted(self.items.labels(operation, model)),
                self._observed(self.queue_seconds.labels(operation)),
                self._observed(self.compute_seconds.labels(operation, model)),
            )
        counted, waited, computed = children
        counted.count += items
        waited.observe(queue_seconds)
        computed.observe(compute_seconds)

    def _counted(self, child: Counter) -> CounterTally:
        tally = CounterTally(child)
        self._tallies.append(tally)
        return tally

    def _observed(self, child: Histogram) -> HistogramTally:
        tally = HistogramTally(child)
        self._tallies.append(tally)
        return tally

    def flush(self) -> None:
        """Hand over what the tallies hold; on the event loop."""
        for tally in self._tallies:
            tally.flush()

    def count_pass(self, name: str, requests: int, rows: int) -> None:
        """Count one call of a network, by its function's name; on whatever thread."""
        children = self._of_passes.get(name)
        if children is None:
            label = name.strip("_").removesuffix("_rows")
            children = self.batch_rows.labels(label), self.batch_requests.labels(label)
            self._of_passes[name] = children
        children[0].observe(rows)
        children[1].observe(requests)

    def count_rejection(self, reason: Reason | None) -> None:
        """Count a request that was turned away; None is a fault of the request."""
        if reason is not None:
            self._rejections[reason].inc()

    def count_cancellation(self, status: int, stage: Stage) -> None:
        """Count a request that ended early, by the status that says why."""
        if status in CANCELLED:
            self._cancellations[status, stage].inc()

    def count_percentiles(self, model: str, percentiles: Iterable[float | None]) -> None:
        """Count the percentiles of a request's images; None where an image has none."""
        histogram = self.elbo_percentiles.labels(model)
        for percentile in percentiles:
            if percentile is not None:
                histogram.observe(percentile)

    def show_drift(self, model: str, version: int, p_value: float) -> None:
        """Show the test of a version's last full window."""
        self.drift_p_value.labels(model, str(version)).set(p_value)

    def text(self) -> bytes:
        """The metrics in Prometheus's text format, as of the last `flush`; those of all workers."""
        self.refresh()
        return generate_latest(sum_of_workers() if is_worker() else self.registry)


def media_type_label(header: str | None) -> str:
    """Label of a Content-Type header: a media type that is read here, "none" or "other"."""
    media_type = canonical_media_type(header)
    if not media_type:
        return "none"
    return media_type if media_type in BODY_TYPES else "other"
