"""Disturbances: clients that leave, requests that fail, load, a killed worker, SIGTERM, a reload.

Each row says what failed, how long it took, and what should be. Answers are compared byte for byte.
"""

import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from rich.table import Table

from app.settings import PRETRAINED
from benchmarks import bundle
from benchmarks.crowd import Crowd, outcomes
from benchmarks.media import npy, png
from benchmarks.servers import (
    Connection,
    Exchange,
    Server,
    ask_once,
    free_port,
    resident_bytes,
    start,
    vae_serve,
    wait_until_ready,
)
from benchmarks.sides import latent, picture
from benchmarks.timing import duration, table

AT = "/v1/models/mnist"
WORKER_BYTES = 50 * 2**20
"""A child with more memory is a worker; helpers of multiprocessing have less."""
LIMIT_SECONDS = 120.0

Row = tuple[str, str, str, str]
IMAGE = png(picture())
ENCODE = Exchange("POST", f"{AT}/encode?format=json", IMAGE, "image/png")


def run(*, quick: bool) -> Iterator[Table]:
    """Disturb servers, one row for each disturbance."""
    seconds = 5.0 if quick else 20.0
    made = table(
        "Disturbances: the mnist bundle",
        "disturbance",
        *("failed", "took", "should be"),
    )
    with served() as server:
        made.add_row(*_leaving(server))
        made.add_row(*_cancelled(server, rounds=5 if quick else 30))
        made.add_row(*_failing(server))
        made.add_row(*_same_under_load(server, seconds))
    made.add_row(*_killed(seconds))
    for workers in (1, 4):
        made.add_row(*_terminated(workers))
    made.add_row(*_reloaded(seconds))
    yield made


@contextmanager
def served(repository: Path = PRETRAINED, **settings: object) -> Iterator[Server]:
    """`vae serve` with some settings, on one thread."""
    port = free_port()
    command, environment = vae_serve(port, repository, **settings)
    server = start("vae-serve", command, port=port, environment=environment)
    try:
        wait_until_ready(server, "/readyz")
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()


def _leaving(server: Server) -> Row:
    """100 clients ask for long work and leave."""
    long = Exchange("POST", f"{AT}/log-likelihood?num_samples=2000&seed=1", IMAGE, "image/png")
    idle = _seconds(server, ENCODE)
    connections = [Connection(server.port) for _ in range(100)]
    for connection in connections:
        connection.send(long.wire())
    time.sleep(0.5)
    for connection in connections:
        connection.abort()
    left_at = time.monotonic()
    while (took := _seconds(server, ENCODE)) > 2 * idle + 0.05:
        if time.monotonic() > left_at + LIMIT_SECONDS:
            break
    failed = "none" if took <= 2 * idle + 0.05 else f"an encode still takes {duration(took)}"
    took = time.monotonic() - left_at
    return ("100 clients that leave", failed, f"{duration(took)} until idle", "a chunk's time")


def _seconds(server: Server, exchange: Exchange) -> float:
    started_at = time.perf_counter()
    status, answer = ask_once(server.port, exchange)
    if status != 200:
        raise RuntimeError(f"A request was answered {status}: {answer[:300]!r}")
    return time.perf_counter() - started_at


def _cancelled(server: Server, *, rounds: int) -> Row:
    """The second of three batched requests is cancelled, sooner or later."""
    asked = [
        Exchange("POST", f"{AT}/elbo?num_samples=200&seed={seed}", IMAGE, "image/png")
        for seed in (1, 2, 3)
    ]
    alone = [ask_once(server.port, exchange) for exchange in asked]
    started_at = time.monotonic()
    wrong = 0
    for index in range(rounds):
        connections = [Connection(server.port) for _ in asked]
        got: dict[int, tuple[int, bytes]] = {}
        threads = _each(connections, asked, got)
        time.sleep(0.002 * index)
        connections[1].abort()
        for thread in threads:
            thread.join()
        wrong += sum(got.get(one) != alone[one] for one in (0, 2))
    return (
        f"a cancelled one among three batched, {rounds} times",
        f"{wrong} of {2 * rounds} neighbours",
        duration(time.monotonic() - started_at),
        "0",
    )


def _failing(server: Server) -> Row:
    """One of 32 requests makes numbers that are not finite."""
    good = Exchange("POST", f"{AT}/decode?format=npy", npy(latent(40)), "application/x-npy")
    huge = npy(np.full((1, 40), 3e38, np.float32))
    bad = Exchange("POST", good.target, huge, good.content_type)
    alone = ask_once(server.port, good)
    refused = ask_once(server.port, bad)
    started_at = time.monotonic()
    asked = [bad if index == 17 else good for index in range(32)]
    got: dict[int, tuple[int, bytes]] = {}
    for thread in _each([Connection(server.port) for _ in asked], asked, got):
        thread.join()
    took = time.monotonic() - started_at
    wrong = sum(got.get(index) != alone for index in range(32) if index != 17)
    status = got.get(17, (0, b""))[0]
    return (
        f"a failing one among 32 (alone {refused[0]}, here {status})",
        f"{wrong} of 31 neighbours",
        duration(took),
        "0",
    )


def _each(
    connections: Sequence[Connection],
    asked: Sequence[Exchange],
    got: dict[int, tuple[int, bytes]],
) -> list[threading.Thread]:
    """Ask at the same time, each on a thread; answers go into `got` by index."""

    def ask(index: int) -> None:
        with suppress(OSError):
            got[index] = connections[index].ask(asked[index].wire())

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(len(asked))]
    for thread in threads:
        thread.start()
    return threads


def _same_under_load(server: Server, seconds: float) -> Row:
    """Seeded requests of every kind, alone and among many."""
    given, by = (IMAGE, "image/png"), "seed=7"
    kinds = [
        Exchange("POST", f"{AT}/encode?{by}&num_samples=3", *given),
        Exchange("POST", f"{AT}/reconstruct?{by}&output=sample", *given),
        Exchange("POST", f"{AT}/elbo?{by}", *given),
        Exchange("POST", f"{AT}/log-likelihood?{by}&num_samples=300", *given),
        Exchange("POST", f"{AT}/decode?{by}", npy(latent(40)), "application/x-npy"),
        Exchange("GET", f"{AT}/sample?{by}&n=5"),
    ]
    alone = [ask_once(server.port, exchange) for exchange in kinds]
    compared = wrong = 0
    started_at = time.monotonic()
    loads = [Crowd(server.port, exchange, clients=3, per_second=20) for exchange in kinds]
    for load in loads:
        load.__enter__()
    while time.monotonic() < started_at + seconds:
        for exchange, expected in zip(kinds, alone, strict=True):
            compared += 1
            wrong += ask_once(server.port, exchange) != expected
    for load, expected in zip(loads, alone, strict=True):
        load.__exit__(None, None, None)
        compared += len(load.replies)
        wrong += sum((reply.outcome, reply.body) != expected for reply in load.replies)
    took = duration(time.monotonic() - started_at)
    return ("the same seed, alone and under load", f"{wrong} of {compared}", took, "0")


def workers_of(server: Server) -> list[int]:
    """Process ids of the workers."""
    return [pid for pid in server.family()[1:] if resident_bytes(pid) > WORKER_BYTES]


def _killed(seconds: float) -> Row:
    """`kill -9` of one of four workers."""
    with served(workers=4) as server:
        _wait(lambda: len(workers_of(server)) == 4 and _all_answer(server))
        with Crowd(server.port, ENCODE, per_second=5) as crowd:
            time.sleep(min(2.0, seconds / 4))
            victim = workers_of(server)[0]
            killed_at = time.monotonic()
            os.kill(victim, signal.SIGKILL)
            _wait(lambda: victim not in server.family())
            back = _wait(lambda: len(workers_of(server)) == 4 and _all_answer(server))
            took = time.monotonic() - killed_at
            time.sleep(1.0)
        late = [reply for reply in crowd.failures if reply.at > killed_at + 0.5]
    return (
        "kill -9 of one of four workers",
        f"{outcomes(crowd.failures)}, {len(late)} of them asked 0.5 s later or more; of "
        f"{len(crowd.replies)}",
        f"{duration(took)} until it was back" if back else f"not back in {LIMIT_SECONDS:g} s",
        "only what it held (at most 16); 10 s",
    )


def _all_answer(server: Server) -> bool:
    """Whether 40 new connections in a row are answered 200."""
    try:
        return all(ask_once(server.port, ENCODE, timeout=5)[0] == 200 for _ in range(40))
    except OSError:
        return False


def _wait(condition: Callable[[], bool]) -> bool:
    ends_at = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < ends_at:
        if condition():
            return True
        time.sleep(0.05)
    return False


def _terminated(workers: int) -> Row:
    """SIGTERM while clients ask, as long as /readyz says that they may."""
    ready = threading.Event()
    ready.set()
    scored = f"{AT}/log-likelihood?num_samples=1000&seed=1"
    with served(workers=workers) as server:
        _wait(lambda: _all_answer(server))

        def watch() -> None:
            with suppress(OSError):
                while ask_once(server.port, Exchange("GET", "/readyz"), timeout=5)[0] == 200:
                    time.sleep(0.05)
            ready.clear()

        short = Crowd(server.port, ENCODE, per_second=5, go_on=ready.is_set)
        long = Crowd(
            server.port,
            Exchange("POST", scored, IMAGE, "image/png"),
            clients=4,
            go_on=ready.is_set,
        )
        watcher = threading.Thread(target=watch)
        watcher.start()
        with short, long:
            time.sleep(2.0)
            asked_at = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            with suppress(Exception):
                server.process.wait(timeout=LIMIT_SECONDS)
            took = time.monotonic() - asked_at
            watcher.join()
        status = server.process.poll()
    replies = short.replies + long.replies
    return (
        f"SIGTERM under load, {workers} worker{'s' * (workers > 1)}",
        f"{outcomes(short.failures + long.failures)} of {len(replies)}; exit status {status}",
        duration(took),
        "none; 0",
    )


def _reloaded(seconds: float) -> Row:
    """A new version comes into the repository, which the service polls."""
    with tempfile.TemporaryDirectory() as folder:
        repository, prepared = Path(folder) / "models", Path(folder) / "new"
        bundle.write_bundle(repository)
        bundle.write_bundle(prepared, version=2)
        exchange = Exchange("POST", f"/v1/models/{bundle.NAME}/encode", IMAGE, "image/png")
        poll = {"model_control": "poll", "model_poll_seconds": 0.5}
        with (
            served(repository, **poll) as server,
            Crowd(server.port, exchange, per_second=10) as crowd,
        ):
            time.sleep(seconds / 2)
            changed_at = time.monotonic()
            shutil.move(prepared / bundle.NAME / "2", repository / bundle.NAME / "2")
            time.sleep(seconds / 2)
        new = [one.at for one in crowd.replies if b"\r\nx-model-version: 2" in one.head]
        before = [one.seconds for one in crowd.replies if one.at < changed_at]
        during = [one.seconds for one in crowd.replies if one.at >= changed_at]
        p99 = [float(np.percentile(took or [np.nan], 99)) for took in (before, during)]
    when = f"{duration(min(new) - changed_at)} until served" if new else "never served"
    return (
        "a reload under load, polled each 0.5 s",
        f"{outcomes(crowd.failures)} of {len(crowd.replies)}",
        f"{when}; p99 {duration(p99[0])} before, {duration(p99[1])} after",
        "none; p99 at most doubled",
    )
