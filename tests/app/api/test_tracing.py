"""Traces against a real OTLP receiver: a span of each request, with those of its stages."""

import asyncio
import builtins
import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from app.api import tracing
from app.api.record import Record
from app.api.trace_context import read_trace_id
from app.api.tracing import make_tracing, route
from tests.app.conftest import ClientFactory
from tests.app.pictures import binary, encoded
from tests.app.server_process import serving

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="needs the extra otel")

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

pytestmark = pytest.mark.anyio

PNG: dict[str, Any] = {
    "content": encoded(binary()[0]),
    "headers": {"Content-Type": "image/png"},
}
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SERVER_KIND, ERROR_CODE = 2, 2


class Receiver(ThreadingHTTPServer):
    """Takes spans as OTLP over HTTP, in protobuf."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans: list[Any] = []
        self.resource: dict[str, Any] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def named(self, name: str) -> Any:
        (found,) = [span for span in self.spans if span.name == name]
        return found


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        assert self.path == "/v1/traces"
        body = self.rfile.read(int(self.headers["Content-Length"]))
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.server.resource |= attributes_of(group.resource)
            for scope in group.scope_spans:
                self.server.spans += scope.spans
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


def attributes_of(owner: Any) -> dict[str, Any]:
    return {
        pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in owner.attributes
    }


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.url)
        yield server
        server.shutdown()
        thread.join()


async def test_a_request_has_a_span_and_its_stages_lie_within(
    open_client: ClientFactory, receiver: Receiver
) -> None:
    async with open_client() as client:
        headers = {**PNG["headers"], "User-Agent": "tests", "X-Request-ID": "abc"}
        path = "/v1/models/mnist/encode"
        both = [client.post(path, content=PNG["content"], headers=headers) for _ in range(2)]
        assert [answer.status_code for answer in await asyncio.gather(*both)] == [200, 200]
        await client.get("/livez")
        await client.get("/metrics")
    assert receiver.resource["service.name"] == "vae-serve"
    name = "POST /v1/models/{model}/encode"
    roots = [span for span in receiver.spans if span.name == name]
    assert len(roots) == 2
    assert roots[0].trace_id != roots[1].trace_id
    root = roots[0]
    assert (root.kind, root.parent_span_id) == (SERVER_KIND, b"")
    expected = {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "http.route": "/v1/models/{model}/encode",
        "url.path": path,
        "user_agent.original": "tests",
        "vae.request_id": "abc",
        "vae.operation": "encode",
        "vae.model": "mnist",
        "vae.items": 1,
    }
    assert attributes_of(root).items() >= expected.items()
    children = [span for span in receiver.spans if span.parent_span_id == root.span_id]
    assert {child.name for child in children} == {"parse", "read", "queue", "compute", "render"}
    for child in children:
        assert child.trace_id == root.trace_id
        assert root.start_time_unix_nano <= child.start_time_unix_nano
        assert child.start_time_unix_nano <= child.end_time_unix_nano <= root.end_time_unix_nano
    (compute,) = [child for child in children if child.name == "compute"]
    assert attributes_of(compute)["vae.chunks"] == 1
    assert 1 <= attributes_of(compute)["vae.batch_requests"] <= 2
    assert {span.name for span in receiver.spans} - {child.name for child in children} == {name}


async def test_the_callers_trace_goes_on_and_is_named_in_log_and_problem(
    open_client: ClientFactory, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "app.access")
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "a=b"}
    async with open_client() as client:
        refused = await client.get("/v1/sample?n=0", headers=headers)
        own = await client.get("/v1/sample?n=0")
        unsampled = {"traceparent": f"00-{TRACE}-{SPAN}-00"}
        assert (await client.get("/v1/sample", headers=unsampled)).status_code == 200
    assert refused.json()["trace_id"] == TRACE
    lines = [record.fields for record in caplog.records if record.name == "app.access"]  # type: ignore[attr-defined]
    assert lines[0]["trace_id"] == TRACE
    theirs, ours = [span for span in receiver.spans if span.name == "GET /v1/sample"]
    assert theirs.trace_id.hex() == TRACE
    assert theirs.parent_span_id.hex() == SPAN
    assert theirs.trace_state == "a=b"
    assert ours.trace_id.hex() == own.json()["trace_id"] == lines[1]["trace_id"]


async def test_a_failure_and_a_refusal_are_errors_with_their_reason(
    open_client: ClientFactory, receiver: Receiver
) -> None:
    async with open_client() as client:
        client.app.state.service.scheduler._stopping = True  # type: ignore[attr-defined]
        assert (await client.post("/v1/encode", **PNG)).status_code == 503
        client.app.state.service.scheduler._stopping = False  # type: ignore[attr-defined]
        assert (await client.get("/nowhere")).status_code == 404
    span = receiver.named("POST /v1/encode")
    assert span.status.code == ERROR_CODE
    assert attributes_of(span)["vae.rejection"] == "draining"
    assert attributes_of(span)["error.type"] == "503"
    assert receiver.named("GET unknown").status.code != ERROR_CODE


@pytest.mark.slow
def test_a_server_sends_its_spans_before_it_ends(
    repository: Path, tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "pictures")
    log = tmp_path / "log"
    with serving(repository, log, "--workers", "2", "--drain-seconds", "0") as server:
        assert server.client.post("/v1/encode", **PNG).status_code == 200
        server.client.close()
        server.signal()
        assert server.wait() == 0
    assert receiver.resource["service.name"] == "pictures"
    assert receiver.named("POST /v1/encode")
    assert "trace_id" in log.read_text()


@pytest.mark.slow
def test_a_collector_that_does_not_answer_keeps_no_server_from_stopping(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    log = tmp_path / "log"
    with serving(repository, log, "--drain-seconds", "0") as server:
        assert server.client.post("/v1/encode", **PNG).status_code == 200
        server.client.close()
        server.signal()
        assert server.wait() == 0
    assert [json.loads(line) for line in log.read_text().splitlines()]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", " "),
        ("OTEL_SDK_DISABLED", "TRUE"),
        ("OTEL_TRACES_EXPORTER", "none"),
    ],
)
def test_there_is_no_tracing_unless_it_is_asked_for(
    name: str, value: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert make_tracing() is None


def test_missing_packages_are_named_with_the_command_that_installs_them(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("opentelemetry.exporter"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    assert make_tracing() is None
    monkeypatch.undo()
    (line,) = caplog.records
    assert line.fields["variable"] == "OTEL_EXPORTER_OTLP_ENDPOINT"  # type: ignore[attr-defined]
    assert "otel" in line.fields["fix"]  # type: ignore[attr-defined]


def test_the_last_spans_are_waited_for_a_little_while(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "STOP_SECONDS", 0.05)
    found = make_tracing()
    assert found is not None
    held, real = threading.Event(), found._processor.shutdown
    monkeypatch.setattr(found._processor, "shutdown", lambda: held.wait(20))
    found.stop()
    held.set()
    real()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/encode", "/v1/encode"),
        ("/v1/models/a/encode", "/v1/models/{model}/encode"),
        ("/v1/models/a/versions/1/encode", "/v1/models/{model}/versions/{version}/encode"),
        ("/v2/models/a.encode/infer", "/v2/models/{model}/infer"),
        ("/v2/models/a.encode/versions/1/infer", "/v2/models/{model}/versions/{version}/infer"),
        ("/encode", None),
    ],
)
def test_a_route_is_a_template(path: str, expected: str | None) -> None:
    record = Record("id")
    record.operation = "encode"
    assert route(record, {"path": path}) == expected


@pytest.mark.parametrize(
    ("traceparent", "expected"),
    [
        (f"00-{TRACE}-{SPAN}-01", TRACE),
        (f"cc-{TRACE}-{SPAN}-01-what.the.future.adds", TRACE),
        (f"ff-{TRACE}-{SPAN}-01", ""),
        (f"00-{'0' * 32}-{SPAN}-01", ""),
        (f"00-{TRACE}-{'0' * 16}-01", ""),
        (f"00-{TRACE.upper()}-{SPAN}-01", ""),
        ("nonsense", ""),
    ],
)
def test_a_trace_id_is_read_from_a_header_that_is_whole(traceparent: str, expected: str) -> None:
    assert read_trace_id(traceparent.encode()) == expected
