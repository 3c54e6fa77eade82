"""Workers behind one port: replaced, restarted and stopped without a lost request."""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.api.metrics import REFRESH_SECONDS
from tests.app.load import load
from tests.app.server_process import Served, serving

pytestmark = pytest.mark.slow


def workers_of(served: Served) -> list[int]:
    tasks = Path(f"/proc/{served.process.pid}/task").iterdir()
    return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]


def until(true: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def metric(served: Served, name: str, **labels: str) -> float:
    """The sum of a metric's samples with these labels."""
    text = httpx.get(f"{served.url}/metrics", timeout=60).text
    samples = [
        sample for family in text_string_to_metric_families(text) for sample in family.samples
    ]
    found = [s.value for s in samples if s.name == name and labels.items() <= s.labels.items()]
    return sum(found)


def pss(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.findall(r"^Pss: +(\d+)", text, re.MULTILINE)[0])


@pytest.fixture(scope="module")
def four(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    log = tmp_path_factory.mktemp("four") / "log"
    with serving(repository, log, "--workers", "4", "--drain-seconds", "0.5") as served:
        until(lambda: '"listening"' in log.read_text())
        yield served
        served.signal()
        assert served.wait() == 0


def test_workers_share_the_memory_of_models_and_libraries(four: Served) -> None:
    assert len(workers_of(four)) == 4
    supervisor = int(re.findall(r"Rss: +(\d+)", _rollup(four.process.pid))[0])
    every = sum(map(pss, [four.process.pid, *workers_of(four)]))
    assert every < 2 * supervisor


def _rollup(pid: int) -> str:
    return Path(f"/proc/{pid}/smaps_rollup").read_text()


def test_a_killed_worker_is_replaced_while_the_others_serve(four: Served) -> None:
    before = workers_of(four)
    with load(four.url) as running:
        running.until(20)
        os.kill(before[0], signal.SIGKILL)
        until(lambda: len(workers_of(four)) == 4 and before[0] not in workers_of(four), 10)
        running.until(40)
    assert len(running.failures) <= 8  # one for each client that it may have held
    assert set(before[1:]) < set(workers_of(four))
    assert "killed by SIGKILL" in four.log.read_text()


def test_metrics_are_those_of_all_workers_and_none_of_a_dead_one(four: Served) -> None:
    def answered() -> float:
        return metric(four, "vae_requests_total", operation="sample", status="200")

    time.sleep(2 * REFRESH_SECONDS)  # the counts of other workers are a second old
    before = answered()
    with load(four.url) as running:
        running.until(30)
    until(lambda: answered() == before + running.answered)
    assert metric(four, "vae_build_info") == 1
    until(lambda: metric(four, "vae_requests_in_flight") == 1)  # this one; others are a second old
    worker = workers_of(four)[1]
    os.kill(worker, signal.SIGKILL)
    until(lambda: worker not in workers_of(four) and len(workers_of(four)) == 4)
    until(lambda: metric(four, "vae_requests_in_flight") == 1)
    assert answered() == before + running.answered


def test_a_restart_under_load_fails_no_request_and_reads_settings_anew(four: Served) -> None:
    before = workers_of(four)
    with load(four.url) as running:
        running.until(20)
        four.signal(signal.SIGHUP)
        until(lambda: '"restarted"' in four.log.read_text(), 60)
        until(lambda: not set(before) & set(workers_of(four)), 60)
        running.until(20)
    assert (running.failures, running.refused) == ([], 0)
    assert running.closed
    assert len(workers_of(four)) == 4


@pytest.mark.parametrize("workers", ["1", "4"])
def test_sigterm_under_load_fails_no_request_and_exits_with_0(
    repository: Path, tmp_path: Path, workers: str
) -> None:
    flags = ("--workers", workers, "--drain-seconds", "0.5")
    with serving(repository, tmp_path / "log", *flags) as served, load(served.url) as running:
        running.until(20)
        served.signal()
        running.until(2)
        assert served.wait() == 0
    assert running.failures == []
    assert running.closed
    assert running.refused


def test_workers_stop_when_their_supervisor_has_ended(repository: Path, tmp_path: Path) -> None:
    flags = ("--workers", "2", "--drain-seconds", "0")
    with serving(repository, tmp_path / "log", *flags) as served:
        until(lambda: '"listening"' in served.log.read_text())
        workers = workers_of(served)
        served.signal(signal.SIGKILL)
        served.wait()
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
