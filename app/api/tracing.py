"""OpenTelemetry traces: a span of each request, and spans of what was done for it.

They are made when the request has ended, from its record's times, so that requests pay nothing for
them while they run. The standard variables (`OTEL_*`) say where spans go and which are kept.
"""

import logging
import os
import threading
import time
from collections.abc import Mapping
from typing import Any, cast

from starlette.types import Scope

from app.api.inference_names import INFERENCE_PATHS
from app.api.problems import is_open_inference
from app.api.record import Record
from app.api.redaction import redact_path
from app.api.routing import MODEL_PATHS
from app.operations.table import OPERATIONS
from models import __version__

log = logging.getLogger("app.tracing")

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
STOP_SECONDS = 3.0
"""How long the last spans may take on their way when the server stops."""


class Tracing:
    """Makes the spans of requests that have ended, and sends them in batches."""

    def __init__(self) -> None:
        """Prepare the exporter.

        Raises:
            ImportError: The packages of the extra `otel` are missing.
        """
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        ours = Resource({"service.name": "vae-serve", "service.version": __version__})
        self._ids = _Ids()
        provider = TracerProvider(
            resource=ours.merge(OTELResourceDetector().detect()),
            id_generator=cast(Any, self._ids),  # an interface of the extra
            shutdown_on_exit=False,
        )
        self._processor = BatchSpanProcessor(OTLPSpanExporter())
        provider.add_span_processor(self._processor)
        self._tracer = provider.get_tracer("vae-serve", __version__)

    def new_trace_id(self) -> str:
        """Id of the trace of a request that is part of none."""
        return os.urandom(16).hex()

    def add(self, record: Record, scope: Scope, status: int) -> None:
        """Make the spans of a request that ends now."""
        from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

        now, now_ns = time.perf_counter(), time.time_ns()

        def unix_ns(moment: float) -> int:
            return now_ns - int((now - moment) * 1e9)

        headers = record.headers
        self._ids.trace_id = int(record.trace_id, 16)
        span = self._tracer.start_span(
            span_name(record, scope),
            context=_parent(headers),
            kind=SpanKind.SERVER,
            attributes=attributes(record, scope, headers, status),
            start_time=unix_ns(record.started_at),
        )
        if span.is_recording():
            if status >= 500:
                span.set_status(Status(StatusCode.ERROR))
            inside = set_span_in_context(span)
            for name, began_at, ended_at in record.spans or ():
                child = self._tracer.start_span(
                    name,
                    context=inside,
                    attributes=_engine_attributes(record) if name == "compute" else None,
                    start_time=unix_ns(began_at),
                )
                child.end(unix_ns(ended_at))
        span.end(now_ns)

    def stop(self) -> None:
        """Send what is left, and wait for it a little while."""
        stopping = threading.Thread(
            target=self._processor.shutdown, daemon=True
        )  # takes up to 30 s
        stopping.start()
        stopping.join(STOP_SECONDS)


class _Ids:
    """Ids of spans at random, and of traces as the records have them: opentelemetry's interface."""

    def __init__(self) -> None:
        self.trace_id = 0

    def generate_span_id(self) -> int:
        return int.from_bytes(os.urandom(8))

    def generate_trace_id(self) -> int:
        return self.trace_id

    def is_trace_id_random(self) -> bool:
        return True


def make_tracing() -> Tracing | None:
    """Tracing as the environment asks for it; None where it does not, or cannot be had."""
    endpoint = next((name for name in ENDPOINTS if os.environ.get(name, "").strip()), None)
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    elsewhere = os.environ.get("OTEL_TRACES_EXPORTER", "").strip() not in ("", "otlp")
    if endpoint is None or disabled or elsewhere:
        return None
    try:
        return Tracing()
    except ImportError:
        fields = {"variable": endpoint, "fix": "pip install -c constraints.txt -e '.[serve,otel]'"}
        log.warning("no traces are sent: opentelemetry is not installed", extra={"fields": fields})
        return None


def span_name(record: Record, scope: Scope) -> str:
    """Method and route: few names, whatever callers send."""
    return f"{scope['method']} {route(record, scope) or record.operation}"


def route(record: Record, scope: Scope) -> str | None:
    """Template of an operation's path; None elsewhere."""
    if record.operation not in OPERATIONS:
        return None
    path: str = scope["path"]
    if is_open_inference(path):
        return f"{INFERENCE_PATHS['version' if '/versions/' in path else 'model']}/infer"
    slashes = path.count("/")
    prefix = next((one for one in MODEL_PATHS.values() if one.count("/") + 1 == slashes), None)
    return None if prefix is None else f"{prefix}/{record.operation}"


def attributes(
    record: Record, scope: Scope, headers: Mapping[bytes, bytes], status: int
) -> dict[str, Any]:
    """Attributes of a request's span, by OpenTelemetry's names where it has one."""
    client = scope.get("client")
    agent = headers.get(b"user-agent")
    found: dict[str, Any] = {
        "http.request.method": scope["method"],
        "http.response.status_code": status,
        "http.route": route(record, scope),
        "url.path": redact_path(scope["path"]),
        "url.scheme": scope.get("scheme"),
        "network.protocol.version": scope.get("http_version"),
        "client.address": client[0] if client else None,
        "user_agent.original": None if agent is None else agent.decode("latin-1"),
        "error.type": str(status) if status >= 500 else None,
        "vae.request_id": record.request_id,
        "vae.operation": record.operation,
        "vae.model": record.model,
        "vae.items": record.items or None,
        "vae.rejection": record.rejection,
    }
    return {name: value for name, value in found.items() if value is not None}


def _engine_attributes(record: Record) -> dict[str, Any]:
    timing = record.computed
    assert timing is not None  # it is set where there is a span of compute
    return {
        "vae.chunks": timing.chunks,
        "vae.batch_requests": timing.batch_requests,
        "vae.compute_seconds": timing.compute_seconds,
    }


def _parent(headers: Mapping[bytes, bytes]) -> Any:
    """The caller's span, by traceparent and tracestate."""
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    names = ("traceparent", "tracestate")
    given = {name: headers.get(name.encode(), b"").decode("latin-1") for name in names}
    carrier = {name: text for name, text in given.items() if text}
    return TraceContextTextMapPropagator().extract(carrier, context=Context())
