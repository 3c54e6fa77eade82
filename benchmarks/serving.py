"""Serving: requests a second and latencies of `vae serve` beside servers of the same network.

Closed loop: each connection asks again as soon as it has its answer. One server is loaded at a
time; the others are paused (SIGSTOP) meanwhile. Servers take turns, in reverse order every second
round, and a ratio is the median of the rounds' ratios. The load generator and the server share the
cores.
Not measured: TLS, a network, slow clients. `overload.py` measures more load than a server can take.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.table import Table

from app.settings import PRETRAINED
from benchmarks import bundle
from benchmarks.load import Measured, generator, measure
from benchmarks.media import npy
from benchmarks.peers import network
from benchmarks.servers import Connection, Exchange, Server
from benchmarks.sides import (
    OURS,
    Side,
    by_hand,
    check_same,
    libraries,
    ours,
    picture,
    running,
    versions,
)
from benchmarks.timing import duration, ratio, table
from models.bundle.loading import load_bundle

WARM_UP_SECONDS = 1.0
BATCH = 32
"""Pictures in one pass of the bare encoder."""
ROWS = 1000
"""Pictures in one request of many."""

Rounds = dict[tuple[str, int], list[Measured]]


@dataclass(frozen=True)
class Effort:
    """How long to measure: connections, rounds, and seconds of each server in a round."""

    connections: tuple[int, ...] = (1, 16, 64)
    rounds: int = 5
    seconds: float = 2.0


QUICK = Effort(connections=(1, 64), rounds=1, seconds=1.0)


def run(*, quick: bool, peers_python: str) -> Iterator[Table]:
    """Start the servers of each table, measure, and stop them."""
    effort = QUICK if quick else Effort()
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "models"
        weights = bundle.write_bundle(repository)
        service = ours(repository, bundle.NAME, latents=bundle.LATENTS)
        others = libraries(peers_python, weights)
        title = f"MLP 784-200-200-50, one picture, one process; {generator()}"
        with running([service, *by_hand(weights, latents=bundle.LATENTS), *others]) as pairs:
            for case, words in _WORDS.items():
                found = _measure(case, pairs, effort)
                caption = versions(peers_python) if case == "encode" else ""
                yield _table(f"{words}: {title}", service.name, found, caption)
            yield _many_rows(pairs[0][1], weights, effort)
        two = ours(repository, bundle.NAME, latents=bundle.LATENTS, workers=2)
        with running([two, *[side for side in others if side.name == "mosec"]]) as pairs:
            found = _measure("encode", pairs, effort)
            yield _table(f"{_WORDS['encode']}, two processes; {generator()}", two.name, found)
    yield _convolutional(effort)


_WORDS = {
    "encode": "Encode, PNG to JSON",
    "decode": "Decode, npy to npy",
    "sample": "Sample, one PNG",
}


def _measure(case: str, pairs: Sequence[tuple[Side, Server]], effort: Effort) -> Rounds:
    """Every server that knows the case in every round, by name and connections."""
    pairs = [(side, server) for side, server in pairs if case in side.requests]
    check_same(case, pairs)
    for side, server in pairs:
        _turn(server, side.requests[case], effort.connections[-1], WARM_UP_SECONDS)
    keys = [(side.name, count) for side, _ in pairs for count in effort.connections]
    found: Rounds = {key: [] for key in keys}
    for index in range(effort.rounds):
        for side, server in pairs if index % 2 == 0 else reversed(pairs):
            for count in effort.connections:
                got = _turn(server, side.requests[case], count, effort.seconds)
                found[side.name, count].append(got)
    return found


def _turn(server: Server, exchange: Exchange, connections: int, seconds: float) -> Measured:
    """Load a paused server for a while."""
    server.resume()
    measured = measure(server.port, exchange, connections=connections, seconds=seconds)
    server.pause()
    return measured


def _table(title: str, first: str, found: Rounds, caption: str = "") -> Table:
    made = table(
        title,
        "server",
        *("connections", "requests/s", "p50", "p99", "p99 / p50", "failed", f"{OURS} over it"),
        caption=f"Medians over {len(next(iter(found.values())))} rounds, quartiles in "
        f"parentheses. {caption}",
    )
    for name, count in found:
        rounds, own = found[name, count], found[first, count]
        p50, p99 = (float(np.median([getattr(r, p) for r in rounds])) for p in ("p50", "p99"))
        made.add_row(
            name,
            str(count),
            f"{np.median(rates(rounds)):,.0f}",
            duration(p50),
            duration(p99),
            f"{p99 / p50:.1f}",
            str(sum(r.failed for r in rounds)),
            "" if rounds is own else ratio(rates(own), rates(rounds)),
        )
    return made


def rates(rounds: Sequence[Measured]) -> np.ndarray:
    """Answers a second of each round."""
    return np.array([one.rate for one in rounds])


def _calls_per_second(call: Callable[[], object], seconds: float) -> float:
    calls, started_at = 0, time.perf_counter()
    while (took := time.perf_counter() - started_at) < seconds:
        call()
        calls += 1
    return calls / took


def _many_rows(server: Server, weights: Path, effort: Effort) -> Table:
    """1,000 pictures in one npy request, beside numpy and the network in this process."""
    peer = network.load(str(weights))
    body = npy(np.repeat(picture()[None], ROWS, axis=0))
    path = f"/v1/models/{bundle.NAME}/encode?format=npy"
    wire = Exchange("POST", path, body, "application/x-npy").wire()
    read: list[float] = []
    rounds: list[tuple[float, float]] = []
    server.resume()
    with Connection(server.port) as connection:

        def request() -> None:
            status, answer = connection.ask(wire)
            if status != 200:
                raise RuntimeError(f"{ROWS} pictures were answered {status}: {answer[:300]!r}")
            read.append(connection.phase_seconds("read"))

        def in_process() -> bytes:
            pixels = (network.read_npy(body) >= 128).astype(np.float32)[:, None]
            return network.write_npy(peer.encode(list(pixels))[0])

        for _ in range(effort.rounds):
            served = _calls_per_second(request, effort.seconds)
            rounds.append((served, _calls_per_second(in_process, effort.seconds)))
    server.pause()
    per_second, alone = np.array(rounds).T
    made = table(
        f"{ROWS:,} pictures in one npy request, npy back: MLP 784-200-200-50, one connection",
        "pictures/s",
        *("in process", "served over in process", "reading the rows"),
        caption="in process: numpy reads, the network runs once, numpy writes. reading the rows: "
        "`read` of Server-Timing.",
    )
    made.add_row(
        f"{np.median(per_second) * ROWS:,.0f}",
        f"{np.median(alone) * ROWS:,.0f}",
        ratio(per_second, alone),
        duration(float(np.median(read))),
    )
    return made


def _convolutional(effort: Effort) -> Table:
    """The convolutional mnist bundle, beside its bare encoder in this process."""
    path = PRETRAINED / "mnist" / "1"
    latents = int(np.prod(load_bundle(path).config.vae.latent_shape))
    peer = network.load(str(path))
    service = ours(PRETRAINED, "mnist", latents=latents)
    pixels = [(picture() >= 128).astype(np.float32)[None]] * BATCH
    most = effort.connections[-1]
    one = replace(effort, connections=(most,), rounds=1)
    alone: list[float] = []
    found: Rounds = {}
    with running([service, *by_hand(path, latents=latents)[2:]]) as pairs:
        for _ in range(effort.rounds):
            for key, values in _measure("encode", pairs, one).items():
                found.setdefault(key, []).extend(values)
            alone.append(_calls_per_second(lambda: peer.encode(pixels), effort.seconds) * BATCH)
    over = ratio(rates(found[service.name, most]), np.array(alone))
    return _table(
        f"Encode, PNG to JSON: the mnist bundle (convolutional); {generator()}",
        service.name,
        found,
        f"Its bare encoder in batches of {BATCH} in this process, one thread: "
        f"{np.median(alone):,.0f} pictures/s; {OURS} over it: {over}.",
    )
