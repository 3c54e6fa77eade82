"""Soak: good, bad, aborted and oversized requests for minutes, and what grows meanwhile.

python -m benchmarks soak --minutes 10

Memory is the resident memory of the server's processes, read at a steady rate. Its slope is that of
a line through the readings after the warm-up, per 1,000 requests.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import orjson
from rich.table import Table

from app.settings import PRETRAINED
from benchmarks.media import npy, png
from benchmarks.servers import Connection, Exchange, Server, resident_bytes
from benchmarks.sides import latent, ours, picture, running
from benchmarks.timing import table

CLIENTS = 8
WARM_UP_SHARE = 0.25
"""Of the time: allocators and caches fill meanwhile."""
READINGS = 200
AT = "/v1/models/mnist"
BODY_LIMIT = 32 * 2**20


@dataclass(frozen=True)
class Reading:
    """Sizes of the server at a moment, after so many requests."""

    requests: int
    resident_mib: float
    threads: int
    descriptors: int


def run(*, minutes: float) -> Iterator[Table]:
    """Soak the service; the mnist bundle."""
    counts: Counter[str] = Counter()
    stop = threading.Event()
    readings: list[Reading] = []
    ends_at = time.monotonic() + minutes * 60
    with running([ours(PRETRAINED, "mnist", latents=40)]) as pairs:
        server = pairs[0][1]
        server.resume()
        clients = [
            threading.Thread(target=_ask, args=(server.port, seed, counts, stop), daemon=True)
            for seed in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        while time.monotonic() < ends_at:
            readings.append(read(server, counts.total()))
            time.sleep(minutes * 60 / READINGS)
        stop.set()
        for client in clients:
            client.join()
        time.sleep(2.0)
        readings.append(read(server, counts.total()))
        alive = server.process.poll() is None
    yield _growth(readings, minutes, alive)
    yield _outcomes(counts)


def read(server: Server, requests: int) -> Reading:
    """Read the sizes from /proc, summed over the server's processes."""
    family = server.family()
    listed = {"task": 0, "fd": 0}
    for name in listed:
        for pid in family:
            with suppress(OSError):
                listed[name] += len(list(Path(f"/proc/{pid}/{name}").iterdir()))
    resident = sum(map(resident_bytes, family)) / 2**20
    return Reading(requests, resident, listed["task"], listed["fd"])


def slope(readings: list[Reading], name: str) -> float:
    """Growth of a size per 1,000 requests: a least-squares line through the readings."""
    requests = np.array([one.requests for one in readings]) / 1000
    sizes = np.array([getattr(one, name) for one in readings])
    return float(np.polyfit(requests, sizes, 1)[0])


def _growth(readings: list[Reading], minutes: float, alive: bool) -> Table:
    steady = readings[int(len(readings) * WARM_UP_SHARE) :]
    made = table(
        f"Soak: {minutes:g} minutes, {readings[-1].requests:,} requests from {CLIENTS} clients; "
        f"the server {'lived' if alive else 'ENDED'}",
        "",
        *("first", "after warm-up", "at most", "last, idle", "per 1,000 requests"),
        caption=f"per 1,000 requests: after the warm-up, {WARM_UP_SHARE:.0%} of the time.",
    )
    for one in fields(Reading)[1:]:
        values = [getattr(reading, one.name) for reading in readings]
        shown = (values[0], getattr(steady[0], one.name), max(values), values[-1])
        cells = [f"{value:,.0f}" for value in shown]
        made.add_row(one.name.replace("_mib", ", MiB"), *cells, f"{slope(steady, one.name):+.3f}")
    return made


def _outcomes(counts: Counter[str]) -> Table:
    made = table("Soak: requests", "kind and outcome", "requests")
    for name, count in sorted(counts.items()):
        made.add_row(name, f"{count:,}")
    return made


def _kinds() -> dict[str, Exchange]:
    """Good, bad and oversized requests by name; `aborted` closes before its answer."""
    image, array = (png(picture()), "image/png"), npy(np.repeat(picture()[None], 100, axis=0))
    numbers = orjson.dumps({"images": [picture().tolist()]})
    return {
        "good: encode": Exchange("POST", f"{AT}/encode", *image),
        "good: encode 100": Exchange("POST", f"{AT}/encode", array, "application/x-npy"),
        "good: JSON": Exchange("POST", f"{AT}/reconstruct", numbers, "application/json"),
        "good: decode": Exchange("POST", f"{AT}/decode", npy(latent(40)), "application/x-npy"),
        "good: sample": Exchange("GET", f"{AT}/sample?n=4"),
        "good: elbo": Exchange("POST", f"{AT}/elbo?num_samples=20", *image),
        "good: metrics": Exchange("GET", "/metrics"),
        "bad: damaged PNG": Exchange("POST", f"{AT}/encode", image[0][:60], "image/png"),
        "bad: no such model": Exchange("POST", "/v1/models/none/encode", *image),
        "bad: no such path": Exchange("GET", "/v1/none"),
        "bad: parameter": Exchange("GET", f"{AT}/sample?n=minus"),
        "bad: media type": Exchange("POST", f"{AT}/encode", b"text", "text/plain"),
        "aborted: log-likelihood": Exchange("POST", f"{AT}/log-likelihood", *image),
        "aborted: half a body": Exchange("POST", f"{AT}/encode", array, "application/x-npy"),
        "oversized: samples": Exchange("GET", f"{AT}/sample?n=100000"),
        "oversized: body": Exchange("POST", f"{AT}/encode", bytes(BODY_LIMIT + 1), "image/png"),
    }


WEIGHTS = {"good": 10, "bad": 3, "aborted": 2, "oversized": 1}


def _ask(port: int, seed: int, counts: Counter[str], stop: threading.Event) -> None:
    chance, kinds = random.Random(seed), _kinds()
    weights = [WEIGHTS[name.split(":")[0]] for name in kinds]
    connection: Connection | None = None
    while not stop.is_set():
        name = chance.choices(list(kinds), weights)[0]
        wire = kinds[name].wire()
        try:
            connection = connection or Connection(port)
            if name.startswith("aborted"):
                connection.send(wire[: len(wire) // 2] if "half" in name else wire)
                time.sleep(chance.random() * 0.05)
                outcome = "left"
            else:
                outcome = str(connection.ask(wire)[0])
        except OSError as error:
            outcome = type(error).__name__
        counts[f"{name}: {outcome}"] += 1
        closing = connection is not None and b"\r\nconnection: close" in connection.head
        if connection is not None and (closing or not outcome.isdigit()):
            connection.close()
            connection = None
    if connection is not None:
        connection.close()
