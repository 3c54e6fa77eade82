"""Models change under load: real servers, real clients, and no request that fails."""

import http.client
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import httpx
import pytest

from app.api.keys import hash_key
from tests.app.changing_repository import put, put_broken
from tests.app.server_process import Served, serving

pytestmark = pytest.mark.slow

NEWEST, FIRST = "/v1/models/a/sample?seed=3&format=npy", "/v1/models/a/versions/1/sample?seed=3"
ADMIN = {"Authorization": "Bearer root"}
EXPLICIT = ("--model-control", "explicit", "--admin-keys-sha256", hash_key("root"))


@dataclass
class Client:
    """One client, its connection, and what it was answered."""

    address: tuple[str, int]
    failures: list[str] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    """Of the answers of the newest version, in order."""
    bodies: set[bytes] = field(default_factory=set)
    """Of the first version."""

    def run(self, stop: threading.Event) -> None:
        connection = http.client.HTTPConnection(*self.address, timeout=60)
        while not stop.is_set():
            for path in (NEWEST, FIRST):
                try:
                    connection.request("GET", path)
                    answer = connection.getresponse()
                    body = answer.read()
                except (OSError, http.client.HTTPException) as error:
                    self.failures.append(repr(error))
                    connection.close()
                    continue
                if answer.status != 200:
                    self.failures.append(body.decode())
                elif path == NEWEST:
                    self.versions.append(str(answer.getheader("x-model-version")))
                else:
                    self.bodies.add(body)
        connection.close()


@contextmanager
def clients_of(url: str, count: int = 6) -> Iterator[list[Client]]:
    host, port = url.removeprefix("http://").split(":")
    clients, stop = [Client((host, int(port))) for _ in range(count)], threading.Event()
    threads = [threading.Thread(target=client.run, args=(stop,)) for client in clients]
    for thread in threads:
        thread.start()
    try:
        yield clients
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout=60)


def until(condition: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)


def states(served: Served) -> set[tuple[int, str]]:
    listed = served.client.get("/v1/models").json()["models"]
    return {(entry["version"], entry["status"]) for entry in listed}


@pytest.fixture
def models(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    put(tmp_path / "models", "a", 1, seed=1)
    return tmp_path / "models"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_no_request_fails_while_versions_come_break_and_go(
    models: Path, tmp_path: Path, workers: str
) -> None:
    log = tmp_path / "log"
    flags = ("--model-control", "poll", "--model-poll-seconds", "0.1", "--workers", workers)
    with serving(models, log, *flags) as served, clients_of(served.url) as clients:

        def all_see(version: str) -> bool:
            return all(client.versions and client.versions[-1] == version for client in clients)

        until(lambda: all_see("1"), log)
        put(models, "a", 2, seed=2)
        until(lambda: all_see("2"), log)
        put_broken(models, "a", 3)
        until(lambda: (3, "broken") in states(served), log)
        shutil.rmtree(models / "a" / "2")
        until(lambda: all_see("1"), log)
        shutil.rmtree(models / "a" / "3")
        put(models, "a", 4, seed=4)
        until(lambda: all_see("4"), log)
        until(lambda: states(served) == {(1, "ready"), (4, "ready")}, log)
    assert [failure for client in clients for failure in client.failures] == []
    for client in clients:
        assert [version for version, _ in groupby(client.versions)] == ["1", "2", "1", "4"]
    assert len(set.union(*(client.bodies for client in clients))) == 1


def answers(served: Served, path: str, count: int = 24) -> set[int]:
    """Statuses of requests on connections of their own, which all workers get some of."""
    return {httpx.get(served.url + path).status_code for _ in range(count)}


def test_commands_reach_every_worker_and_those_that_start_later(
    models: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    put(models, "b", 1)
    with serving(models, log, "--workers", "2", *EXPLICIT) as served:
        until(lambda: '"listening"' in log.read_text(), log)  # both of them
        answer = served.client.post("/v1/models/a/unload", headers=ADMIN)
        assert answer.status_code == 200, answer.text
        assert answer.json()["workers"] == {"done": 2, "total": 2}
        assert answers(served, NEWEST) == {404}
        assert answers(served, "/v1/models/b/sample") == {200}
        served.signal(signal.SIGHUP)
        until(lambda: '"restarted"' in log.read_text(), log)
        assert answers(served, NEWEST) == {404}  # a restart keeps the commands
        put(models, "a", 2, seed=2)
        answer = served.client.post("/v1/models/a/versions/2/load", headers=ADMIN)
        assert answer.status_code == 200, answer.text
        assert answer.json()["workers"]["total"] >= 2  # replaced ones drain
        assert answers(served, NEWEST) == {200}
        assert answers(served, FIRST) == {404}
        served.signal()
        assert served.wait() == 0
    assert "Traceback" not in log.read_text()


def test_commands_at_once_do_the_work_once_and_no_request_fails(
    models: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with serving(models, log, *EXPLICIT) as served, clients_of(served.url) as clients:
        put(models, "a", 2, seed=2)
        found: list[httpx.Response] = []

        def load() -> None:
            found.append(httpx.post(f"{served.url}/v1/models/a/load", headers=ADMIN, timeout=60))

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        until(lambda: all(client.versions[-1:] == ["2"] for client in clients), log)
    assert [answer.status_code for answer in found] == [200] * 4
    assert log.read_text().count('"bundle loaded"') == 1
    assert [failure for client in clients for failure in client.failures] == []
