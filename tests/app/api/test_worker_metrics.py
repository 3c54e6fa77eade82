"""Metrics of several workers, each counting in one folder."""

import asyncio
from pathlib import Path

import pytest
from prometheus_client import values

from app.api import metrics
from app.api.metrics import Metrics
from app.api.worker_metrics import FOLDER_VARIABLE, count_as_worker, forget_worker


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))


def worker(number: int) -> Metrics:
    count_as_worker(number)
    return Metrics()


def lines(found: Metrics) -> list[str]:
    return found.text().decode().splitlines()


def test_counts_are_summed_and_a_dead_worker_has_no_gauges() -> None:
    first, second = worker(0), worker(1)
    for each in (first, second):
        each.items.labels("sample", "m").inc(2)
        each.in_flight += 1
        each.bundles.labels("ready").set(5)
        each.watch_queue(lambda: 1.5, lambda: 1)
        each.refresh()
    for each in (first, second):
        text = lines(each)
        assert 'vae_items_total{model="m",operation="sample"} 4.0' in text
        assert "vae_requests_in_flight 2.0" in text
        assert "vae_queue_cost 3.0" in text
        assert 'vae_bundles{status="ready"} 5.0' in text
        assert len([line for line in text if line.startswith("vae_build_info")]) == 1
    forget_worker(0)
    text = lines(second)
    assert "vae_requests_in_flight 1.0" in text
    assert 'vae_items_total{model="m",operation="sample"} 4.0' in text
    replacement = worker(0)
    replacement.items.labels("sample", "m").inc()
    assert 'vae_items_total{model="m",operation="sample"} 5.0' in lines(second)


@pytest.mark.anyio
async def test_a_workers_gauges_are_kept_fresh_for_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metrics, "REFRESH_SECONDS", 0.001)
    looks = asyncio.Semaphore(0)
    found = worker(0)
    found.watch_queue(lambda: 0, lambda: looks.release() or 0)  # type: ignore[func-returns-value]
    keeping = asyncio.create_task(found.keep_fresh())
    async with asyncio.timeout(60):
        for _ in range(3):
            await looks.acquire()
    keeping.cancel()


@pytest.mark.anyio
async def test_one_process_reads_its_gauges_at_each_scrape_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE)
    monkeypatch.setattr(metrics, "REFRESH_SECONDS", 0.001)
    found, jobs = Metrics(), iter(range(1000))
    found.watch_queue(lambda: 2.0, lambda: next(jobs))
    keeping = asyncio.create_task(found.keep_fresh())
    await asyncio.sleep(0.05)
    keeping.cancel()
    assert "vae_queue_cost 2.0" in lines(found)
    assert next(jobs) == 1


@pytest.mark.anyio
async def test_tallies_are_emptied_though_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE)
    found = Metrics()
    found.count_request("encode", "m", status=200, body_type=None, seconds=0.1)
    keeping = asyncio.create_task(found.keep_fresh())
    await asyncio.sleep(0.01)
    keeping.cancel()
    assert 'vae_request_seconds_count{model="m",operation="encode"} 1.0' in lines(found)
