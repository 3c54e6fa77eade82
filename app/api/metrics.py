"""Prometheus metrics of one app, in a registry of its own; it measures nothing itself.

Labels hold only names that this service gives: anything else is "unknown" or "other".
"""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from app.wire.bodies import content_type
from app.wire.media_types import BODY_TYPES
from models import __version__

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
UNKNOWN = "unknown"

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
PERCENTILES = (0.1, 1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 99.9, 100)


class Metrics:
    """All metrics of the service."""

    def __init__(self) -> None:
        """Register them in a registry of their own."""
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "vae_requests_total",
            "Requests answered; media_type is the body's.",
            ["operation", "model", "status", "media_type"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "vae_request_seconds",
            "From a request's arrival to its answer's end.",
            ["operation", "model"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.queue_seconds = Histogram(
            "vae_queue_seconds",
            "From admission to the first chunk of compute.",
            ["operation"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.compute_seconds = Histogram(
            "vae_compute_seconds",
            "Compute of one request.",
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
            "vae_queue_cost", "Cost units admitted and not yet done.", registry=self.registry
        )
        self.queue_jobs = Gauge(
            "vae_queue_jobs", "Jobs admitted and not yet done.", registry=self.registry
        )
        self.bundles = Gauge(
            "vae_bundles", "Bundles of the repository.", ["status"], registry=self.registry
        )
        build = Gauge("vae_build_info", "Always 1.", ["version"], registry=self.registry)
        build.labels(__version__).set(1)

    def watch_queue(self, cost: Callable[[], float], jobs: Callable[[], float]) -> None:
        """Read the queue's gauges when they are asked for."""
        self.queue_cost.set_function(cost)
        self.queue_jobs.set_function(jobs)

    def count_request(
        self, operation: str, model: str, *, status: int, body_type: str | None, seconds: float
    ) -> None:
        """One answered request."""
        media_type = media_type_label(body_type)
        self.requests.labels(operation, model, str(status), media_type).inc()
        self.seconds.labels(operation, model).observe(seconds)

    def count_percentiles(self, model: str, percentiles: Iterable[float | None]) -> None:
        """The percentiles of a request's images that have one."""
        histogram = self.elbo_percentiles.labels(model)
        for percentile in percentiles:
            if percentile is not None:
                histogram.observe(percentile)

    def text(self) -> bytes:
        """Prometheus's text format."""
        return generate_latest(self.registry)


def media_type_label(header: str | None) -> str:
    """A known media type, "none" or "other"."""
    media_type = content_type(header)
    if not media_type:
        return "none"
    return media_type if media_type in BODY_TYPES else "other"
