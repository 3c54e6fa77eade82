"""Metrics of the engine and of the process: what ran together, was turned away, ended early."""

import asyncio
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.types import Receive

from app.api import process_metrics
from app.api.metrics import Metrics
from app.api.process_metrics import ProcessMetrics
from app.errors import Reason
from app.settings import PRETRAINED, Settings
from tests.app.api.raw_http import POST, exchange, listening
from tests.app.conftest import ClientFactory
from tests.app.pictures import binary, encoded, npy
from tests.app.server_process import ROOT

pytestmark = pytest.mark.anyio

PNG = {"content": encoded(binary()[0]), "headers": {"Content-Type": "image/png"}}


def value(metrics: Metrics, name: str, **labels: str) -> float:
    found = metrics.registry.get_sample_value(name, labels)
    assert found is not None, (name, labels)
    return found


async def test_calls_of_networks_are_counted_with_their_rows_and_requests(
    open_client: ClientFactory,
) -> None:
    async with open_client() as client:
        metrics = client.app.state.service.metrics  # type: ignore[attr-defined]
        answers = await asyncio.gather(*(client.post("/v1/encode", **PNG) for _ in range(5)))
        assert [answer.status_code for answer in answers] == [200] * 5
        await client.get("/v1/sample", params={"n": 3})
    labels = {"pass": "encode"}
    assert value(metrics, "vae_batch_rows_sum", **labels) == 5
    assert value(metrics, "vae_batch_requests_sum", **labels) == 5
    assert 1 <= value(metrics, "vae_batch_rows_count", **labels) <= 5
    assert value(metrics, "vae_batch_rows_sum", **{"pass": "sample"}) == 3


def test_a_pass_is_named_after_its_function() -> None:
    code = "\n".join(path.read_text() for path in (ROOT / "app/compute").glob("*.py"))
    code += "\n".join(path.read_text() for path in (ROOT / "models/estimators").glob("*.py"))
    metrics = Metrics()
    for name in set(re.findall(r"yield Pass\((\w+),", code)):
        metrics.count_pass(name, 1, 1)
    text = metrics.text().decode()
    found = set(re.findall(r'vae_batch_rows_count\{pass="(\w+)"\}', text))
    assert {"encode", "decode", "reconstruct", "sample", "log_likelihood"} <= found


@pytest.mark.parametrize(
    ("settings", "headers", "reason"),
    [
        ({"max_queue_requests": 1}, {}, "queue"),
        ({}, {"X-Request-Timeout-Seconds": "5"}, "deadline"),
        ({}, {}, "busy"),
    ],
)
async def test_refusals_of_the_engine_are_counted_by_reason(
    settings: dict[str, Any],
    headers: dict[str, str],
    reason: Reason,
    open_client: ClientFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_client(max_wait_seconds=20, **settings) as client:
        service = client.app.state.service  # type: ignore[attr-defined]
        monkeypatch.setattr(service.scheduler, "_jobs", {1})
        monkeypatch.setattr(service.scheduler, "_expected", 30.0)
        monkeypatch.setattr(service.scheduler, "expected_wait", lambda expected: 30.0)
        refused = await client.post(
            "/v1/encode", content=PNG["content"], headers={**PNG["headers"], **headers}
        )  # type: ignore[dict-item]
        monkeypatch.undo()
    assert refused.status_code == 503
    assert value(service.metrics, "vae_rejections_total", reason=reason) == 1


async def test_a_server_that_stops_or_loads_says_which(open_client: ClientFactory) -> None:
    async with open_client() as client:
        service = client.app.state.service  # type: ignore[attr-defined]
        service.scheduler._stopping = True
        await client.post("/v1/encode", **PNG)
        service.registry._done.clear()
        service.registry.published += 1
        await client.post("/v1/encode", **PNG)
        service.registry._done.set()
    assert value(service.metrics, "vae_rejections_total", reason="draining") == 1
    assert value(service.metrics, "vae_rejections_total", reason="loading") == 1


async def test_what_the_connection_refuses_is_counted_as_refused_not_as_a_client_that_left(
    open_client: ClientFactory,
) -> None:
    from app.api.protocol import serving_protocol

    async with open_client() as client:
        metrics = client.app.state.service.metrics  # type: ignore[attr-defined]
        settings = Settings(max_buffered_bytes=100, client_timeout_seconds=0.4)
        protocol = serving_protocol(settings, metrics.count_rejection)
        async with listening(client.app, protocol=protocol) as port:  # type: ignore[attr-defined]
            head = POST + b"Content-Length: 101\r\n\r\n"
            assert (await exchange(port, head, b"x" * 101, pause=0.05)).statuses == [503]
            assert (await exchange(port, head, b"x" * 10)).statuses == [408]
            assert (await exchange(port, b"no HTTP\r\n\r\n")).statuses == [400]
            await asyncio.sleep(0.1)
        text = metrics.text().decode()
    assert value(metrics, "vae_rejections_total", reason="buffered") == 1
    assert value(metrics, "vae_rejections_total", reason="slow_client") == 1
    assert sorted(re.findall(r'vae_requests_total\{.*status="(\d+)".*\}', text)) == ["408", "503"]
    assert value(metrics, "vae_cancellations_total", cause="client", stage="read") == 0


def leaving(*messages: dict[str, Any]) -> Receive:
    """A client that sends these messages, and leaves."""
    queue = list(messages)

    async def receive() -> dict[str, Any]:
        return queue.pop(0) if queue else {"type": "http.disconnect"}

    return receive


async def test_requests_that_end_early_are_counted_by_cause_and_stage(
    open_client: ClientFactory,
) -> None:
    async with open_client(model_repository=PRETRAINED) as client:
        app = client.app  # type: ignore[attr-defined]
        metrics = app.state.service.metrics
        path = "/v1/models/mnist/log-likelihood"
        body = npy(np.zeros((4, 1, 28, 28), np.uint8))
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"num_samples=10000",
            "headers": [(b"content-type", b"application/x-npy")],
        }
        half = {"type": "http.request", "body": body[:9], "more_body": True}
        whole = {"type": "http.request", "body": body}

        async def send(message: Any) -> None:
            assert message["type"] != "http.response.start" or message["status"] == 499

        await app(dict(scope), leaving(half), send)
        await app(dict(scope), leaving(whole), send)
        late = await client.post(
            path,
            content=body,
            params={"num_samples": 10_000},
            headers={"Content-Type": "application/x-npy", "X-Request-Timeout-Seconds": "0.3"},
        )
        assert late.status_code in (503, 504)  # by what the engine has measured
    assert value(metrics, "vae_cancellations_total", cause="client", stage="read") == 1
    ran = [
        value(metrics, "vae_cancellations_total", cause="client", stage=stage)
        for stage in ("queue", "compute")
    ]
    assert sum(ran) == 1


async def test_the_process_is_measured() -> None:
    metrics = Metrics()
    metrics.text()
    assert value(metrics, "process_resident_memory_bytes") > 1e6
    assert value(metrics, "vae_process_proportional_memory_bytes") > 1e6
    assert value(metrics, "process_threads") >= 1
    assert value(metrics, "process_open_fds") >= 3
    assert value(metrics, "process_start_time_seconds") > 1e9
    assert value(metrics, "process_cpu_seconds_total") > 0
    assert value(metrics, "vae_workers") == 1


def test_a_system_without_proc_has_no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.api.process_metrics.THREADS_FOLDER", "/nowhere")
    registry = Metrics().registry.__class__()
    ProcessMetrics(registry).refresh()
    assert registry.get_sample_value("process_threads") == 0


@pytest.mark.parametrize("text", [None, "Rss: 1 kB\n"])
def test_a_system_that_does_not_tell_the_proportional_memory_has_no_gauge_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None
) -> None:
    monkeypatch.setattr(process_metrics, "ROLLUP", tmp_path / "rollup")
    if text is not None:
        (tmp_path / "rollup").write_text(text)
    assert b"proportional" not in Metrics().text()


def test_the_proportional_memory_is_read_now_and_then(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rollup = tmp_path / "rollup"
    monkeypatch.setattr(process_metrics, "ROLLUP", rollup)
    rollup.write_text("00-ff ---p [rollup]\nRss:   9 kB\nPss:   2 kB\nPss_Anon:  1 kB\n")
    metrics = Metrics()
    metrics.refresh()
    rollup.write_text("Pss:   3 kB\n")
    metrics.refresh()
    assert value(metrics, "vae_process_proportional_memory_bytes") == 2048
    monkeypatch.setattr(process_metrics, "ROLLUP_SECONDS", 0.0)
    metrics = Metrics()
    for kilobytes in (3, 4):
        rollup.write_text(f"Pss:   {kilobytes} kB\n")
        metrics.refresh()
    assert value(metrics, "vae_process_proportional_memory_bytes") == 4096


def test_texts_of_callers_beyond_those_at_hand_are_counted_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.api.metrics.MAX_CHILDREN", 1)
    metrics = Metrics()
    for number in range(3):
        body_type = f"image/png; n={number}"
        metrics.count_request("encode", "m", status=200, body_type=body_type, seconds=0.5)
    assert len(metrics._of_requests) == 1
    metrics.flush()
    labels = {"operation": "encode", "model": "m"}
    assert value(metrics, "vae_request_seconds_count", **labels) == 3
