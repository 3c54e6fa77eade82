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
from contextlib import ExitStack
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
    versions,
)
from benchmarks.timing import duration, ratio, table
from models.bundle.loading import load_bundle

CONNECTIONS = (1, 16, 64)
WARM_UP_SECONDS = 1.0
BATCH = 32
"""Pictures in one pass of the bare encoder."""
ROWS = 1000
"""Pictures in one request of many."""

Rounds = dict[tuple[str, int], list[Measured]]


def run(*, quick: bool, peers_python: str) -> Iterator[Table]:
    """Start the servers of each table, measure, and stop them."""
    rounds, seconds = (1, 1.0) if quick else (5, 2.0)
    connections = (1, 64) if quick else CONNECTIONS
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "models"
        weights = bundle.write_bundle(repository)
        service = ours(repository, bundle.NAME, latents=bundle.LATENTS)
        hand = by_hand(weights, latents=bundle.LATENTS)
        others = libraries(peers_python, weights)
        title = f"MLP 784-200-200-50, one picture, one process; {generator()}"
        for case, sides in {
            "encode": [service, *hand, *others],
            "decode": [service, *hand[1:]],
            "sample": [service, *hand[1:]],
        }.items():
            found = _measure(case, sides, connections, rounds, seconds)
            caption = versions(peers_python) if case == "encode" else ""
            yield _table(f"{_WORDS[case]}: {title}", sides, found, caption)
        two = ours(repository, bundle.NAME, latents=bundle.LATENTS, workers=2)
        sides = [two, *[side for side in others if side.name == "mosec"]]
        found = _measure("encode", sides, connections[1:], rounds, seconds)
        yield _table(f"{_WORDS['encode']}, two processes; {generator()}", sides, found)
        yield _many_rows(service, weights, rounds, seconds)
    yield _convolutional(rounds, seconds)


_WORDS = {
    "encode": "Encode, PNG to JSON",
    "decode": "Decode, npy to npy",
    "sample": "Sample, one PNG",
}


def _measure(
    case: str, sides: Sequence[Side], connections: Sequence[int], rounds: int, seconds: float
) -> Rounds:
    """Every server in every round, by name and connections."""
    found: Rounds = {(side.name, count): [] for side in sides for count in connections}
    with ExitStack() as stack:
        servers = [stack.enter_context(side.start()) for side in sides]
        check_same(case, sides, servers)
        pairs = list(zip(sides, servers, strict=True))
        for _, server in pairs:
            server.pause()
        for index in range(-1, rounds):
            for side, server in pairs if index % 2 == 0 else reversed(pairs):
                server.resume()
                for count in connections:
                    taken = seconds if index >= 0 else WARM_UP_SECONDS
                    got = measure(
                        server.port, side.requests[case], connections=count, seconds=taken
                    )
                    if index >= 0:
                        found[side.name, count].append(got)
                server.pause()
    return found


def _table(title: str, sides: Sequence[Side], found: Rounds, caption: str = "") -> Table:
    made = table(
        title,
        "server",
        *("connections", "requests/s", "p50", "p99", "p99 / p50", "failed", f"{OURS} over it"),
        caption=f"Medians over {len(next(iter(found.values())))} rounds, quartiles in "
        f"parentheses. {caption}",
    )
    for name, count in found:
        rounds, own = found[name, count], found[sides[0].name, count]
        p50, p99 = (float(np.median([getattr(r, p) for r in rounds])) for p in ("p50", "p99"))
        made.add_row(
            name,
            str(count),
            f"{np.median([r.rate for r in rounds]):,.0f}",
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


def _many_rows(service: Side, weights: Path, rounds: int, seconds: float) -> Table:
    """1,000 pictures in one npy request, beside numpy and the network in this process."""
    peer = network.load(str(weights))
    body = npy(np.repeat(picture()[None], ROWS, axis=0))
    path = f"/v1/models/{bundle.NAME}/encode?format=npy"
    wire = Exchange("POST", path, body, "application/x-npy").wire()
    read: list[float] = []

    def in_process() -> bytes:
        pixels = (network.read_npy(body) >= 128).astype(np.float32)[:, None]
        return network.write_npy(peer.encode(list(pixels))[0])

    with service.start() as server, Connection(server.port) as connection:

        def request() -> None:
            status, answer = connection.ask(wire)
            if status != 200:
                raise RuntimeError(f"{ROWS} pictures were answered {status}: {answer[:300]!r}")
            read.append(_read_seconds(connection))

        request()
        pairs = [(_turn(server, request, seconds), _calls_per_second(in_process, seconds))]
        for _ in range(rounds - 1):
            pairs.append((_turn(server, request, seconds), _calls_per_second(in_process, seconds)))
    served, alone = np.array(pairs).T
    made = table(
        f"{ROWS:,} pictures in one npy request, npy back: MLP 784-200-200-50, one connection",
        "pictures/s",
        *("in process", "served over in process", "reading the rows"),
        caption="in process: numpy reads, the network runs once, numpy writes. reading the rows: "
        "`read` of Server-Timing.",
    )
    made.add_row(
        f"{np.median(served) * ROWS:,.0f}",
        f"{np.median(alone) * ROWS:,.0f}",
        ratio(served, alone),
        duration(float(np.median(read))),
    )
    return made


def _turn(server: Server, request: Callable[[], object], seconds: float) -> float:
    server.resume()
    rate = _calls_per_second(request, seconds)
    server.pause()
    return rate


def _read_seconds(connection: Connection) -> float:
    """Seconds of `read` in the last answer's Server-Timing; NaN if it has none."""
    _, found, rest = connection.head.partition(b"read;dur=")
    return float(rest.split(b",")[0].split(b"\r")[0]) / 1000 if found else float("nan")


def _convolutional(rounds: int, seconds: float) -> Table:
    """The convolutional mnist bundle at 64 connections, beside its bare encoder in this process."""
    path = PRETRAINED / "mnist" / "1"
    latents = int(np.prod(load_bundle(path).config.vae.latent_shape))
    peer = network.load(str(path))
    service = ours(PRETRAINED, "mnist", latents=latents)
    sides = [service, *by_hand(path, latents=latents)[2:]]
    pixels = [(picture() >= 128).astype(np.float32)[None]] * BATCH
    connections = CONNECTIONS[-1]
    alone: list[float] = []
    found: Rounds = {(side.name, connections): [] for side in sides}
    for _ in range(rounds):
        for key, values in _measure("encode", sides, [connections], 1, seconds).items():
            found[key] += values
        alone.append(_calls_per_second(lambda: peer.encode(pixels), seconds) * BATCH)
    own = rates(found[service.name, connections])
    return _table(
        f"Encode, PNG to JSON: the mnist bundle (convolutional); {generator()}",
        sides,
        found,
        f"Its bare encoder in batches of {BATCH} in this process, one thread: "
        f"{np.median(alone):,.0f} pictures/s; {OURS} over it: {ratio(own, np.array(alone))}.",
    )
