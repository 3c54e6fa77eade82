"""Prometheus metrics of one app.

Label values are names that this service gives; what a caller invents is "unknown" or "other".
"""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from app.wire.media_types import BODY_TYPES, bare_media_type
from models import __version__

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
UNKNOWN = "unknown"

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
PERCENTILES = (0.1, 1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 99.9, 100)


class Metrics:
    """All metrics of the service."""

    def __init__(self) -> None:
        """Register the metrics in a registry of their own."""
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "vae_requests_total",
            "Requests answered; media_type is the request body's.",
            ["operation", "model", "status", "media_type"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "vae_request_seconds",
            "Seconds from a request's arrival to its answer's end.",
            ["operation", "model"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.queue_seconds = Histogram(
            "vae_queue_seconds",
            "Seconds that a request waited in the queue.",
            ["operation"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.compute_seconds = Histogram(
            "vae_compute_seconds",
            "Seconds of compute of one request.",
            ["operation", "model"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.items = Counter(
            "vae_items_total",
            "Images, latents, samples or steps answered.",
            ["operation", "model"],
            registry=self.registry,
        )
        self.elbo_percentiles = Histogram(
            "vae_elbo_percentile",
            "Percentile of each scored image's ELBO among held-out data: uniform unless inputs "
            "drift.",
            ["model"],
            buckets=PERCENTILES,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "vae_requests_in_flight", "Requests not yet answered.", registry=self.registry
        )
        self.queue_cost = Gauge(
            "vae_queue_cost",
            "Cost units of the requests waiting or computing.",
            registry=self.registry,
        )
        self.queue_jobs = Gauge(
            "vae_queue_jobs", "Requests waiting or computing.", registry=self.registry
        )
        self.bundles = Gauge(
            "vae_bundles",
            "Bundles in the model repository, ready or broken.",
            ["status"],
            registry=self.registry,
        )
        build = Gauge(
            "vae_build_info",
            "Version of the service; the value is 1.",
            ["version"],
            registry=self.registry,
        )
        build.labels(__version__).set(1)

    def watch_queue(self, cost: Callable[[], float], jobs: Callable[[], float]) -> None:
        """Read the queue's size at each scrape."""
        self.queue_cost.set_function(cost)
        self.queue_jobs.set_function(jobs)

    def count_request(
        self, operation: str, model: str, *, status: int, body_type: str | None, seconds: float
    ) -> None:
        """Count one answered request and its seconds."""
        media_type = media_type_label(body_type)
        self.requests.labels(operation, model, str(status), media_type).inc()
        self.seconds.labels(operation, model).observe(seconds)

    def count_percentiles(self, model: str, percentiles: Iterable[float | None]) -> None:
        """Count the percentiles of a request's images; None where an image has none."""
        histogram = self.elbo_percentiles.labels(model)
        for percentile in percentiles:
            if percentile is not None:
                histogram.observe(percentile)

    def text(self) -> bytes:
        """The metrics in Prometheus's text format."""
        return generate_latest(self.registry)


def media_type_label(header: str | None) -> str:
    """Label of a Content-Type header: a media type that is read here, "none" or "other"."""
    media_type = bare_media_type(header)
    if not media_type:
        return "none"
    return media_type if media_type in BODY_TYPES else "other"
