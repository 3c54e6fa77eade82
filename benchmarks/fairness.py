"""Fairness: how long a short request takes beside long ones, and what the long ones lose by it.

Short requests come at a steady rate over one connection; one that comes late is sent at once.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import orjson
from rich.table import Table

from app.settings import PRETRAINED
from benchmarks.media import npy, png
from benchmarks.servers import Connection, Exchange, Server
from benchmarks.sides import ours, picture, running
from benchmarks.timing import duration, table

PER_SECOND = 20
"""A pass of the mnist encoder takes some 4 ms: more of them would take a tenth of a core."""
LONG_SECONDS = 600.0
"""Deadline of the long requests, as the server's setting and as their header."""
LONG_DEADLINE = (("X-Request-Timeout-Seconds", f"{LONG_SECONDS:g}"),)


class Long:
    """Long requests, each over a connection and on a thread of its own."""

    def __init__(self, server: Server, exchange: Exchange, count: int) -> None:
        """Send them."""
        self.statuses: list[int] = []
        self.refusal = b""
        self._started_at = time.monotonic()
        self.seconds = float("nan")
        self._connections = [Connection(server.port, timeout=LONG_SECONDS) for _ in range(count)]
        self._threads = [
            threading.Thread(target=self._ask, args=(connection, exchange.wire()), daemon=True)
            for connection in self._connections
        ]
        for thread in self._threads:
            thread.start()

    @property
    def running(self) -> bool:
        """Whether one is not answered yet."""
        return any(thread.is_alive() for thread in self._threads)

    def wait(self) -> float:
        """Wait for all answers; return the seconds since they were sent."""
        for thread in self._threads:
            thread.join()
        return self.seconds

    def abandon(self) -> None:
        """Close the connections."""
        for connection in self._connections:
            connection.abort()
        self.wait()

    def _ask(self, connection: Connection, wire: bytes) -> None:
        with suppress(OSError):
            status, answer = connection.ask(wire)
            self.statuses.append(status)
            if status != 200:
                self.refusal = answer
        self.seconds = time.monotonic() - self._started_at


def paced(server: Server, exchange: Exchange, go_on: Callable[[], bool]) -> list[float]:
    """Seconds of short requests at a steady rate, as long as `go_on` says so."""
    took: list[float] = []
    wire = exchange.wire()
    due = time.monotonic()
    with Connection(server.port) as connection:
        while go_on():
            time.sleep(max(0.0, due - time.monotonic()))
            started_at = time.perf_counter()
            status, answer = connection.ask(wire)
            took.append(time.perf_counter() - started_at)
            if status != 200:
                raise RuntimeError(f"A short request was answered {status}: {answer[:300]!r}")
            due = max(due + 1 / PER_SECOND, time.monotonic())
    return took


def paced_for(server: Server, exchange: Exchange, seconds: float) -> list[float]:
    """Seconds of short requests for a while."""
    ends_at = time.monotonic() + seconds
    return paced(server, exchange, lambda: time.monotonic() < ends_at)


def run(*, quick: bool) -> Iterator[Table]:
    """Encode beside three long requests, and behind forty queued ones."""
    seconds, samples = (3.0, 300) if quick else (30.0, 10_000)
    image = png(picture())
    short = Exchange("POST", "/v1/models/mnist/encode", image, "image/png")
    digits = Exchange("POST", "/v1/models/digits/encode", image, "image/png")
    scored = f"/v1/models/mnist/log-likelihood?seed=1&num_samples={samples}"
    ten = npy(np.repeat(picture()[None], 10, axis=0))
    many = Exchange("POST", scored, ten, "application/x-npy", LONG_DEADLINE)
    one = Exchange("POST", scored, image, "image/png", LONG_DEADLINE)
    made = table(
        f"A short request beside long ones (mnist, K = {samples:,}), {PER_SECOND} a second",
        "short",
        *("beside", "idle p50", "idle p99", "p50", "p99", "long alone", "long beside"),
        *("answers of the long ones",),
        caption="long alone, long beside: seconds until the last of them was answered. The forty "
        "are abandoned at the end.",
    )
    limits: dict[str, Any] = {
        "request_timeout_seconds": LONG_SECONDS,
        "max_wait_seconds": LONG_SECONDS,
    }
    service = ours(PRETRAINED, "mnist", latents=40, **limits)
    with running([service]) as pairs:
        server = pairs[0][1]
        server.resume()
        for exchange in (short, digits):
            paced_for(server, exchange, 0.5)
        idle = paced_for(server, short, seconds)
        alone = Long(server, many, 3).wait()
        long = Long(server, many, 3)
        took = paced(server, short, lambda: long.running)
        shared = [duration(alone), f"{duration(long.wait())} ({long.seconds / alone:.2f} of it)"]
        made.add_row("encode (mnist)", "3 of 10 images", *_times(idle, took), *shared, _said(long))
        idle = paced_for(server, digits, seconds)
        long = Long(server, one, 40)
        time.sleep(0.5)
        took = paced_for(server, digits, seconds)
        long.abandon()
        made.add_row("encode (digits)", "40 of 1 image", *_times(idle, took), "", "", _said(long))
    yield made


def _times(idle: Sequence[float], beside: Sequence[float]) -> list[str]:
    return [
        duration(float(value)) for took in (idle, beside) for value in np.percentile(took, [50, 99])
    ]


def _said(long: Long) -> str:
    """How many long ones were answered with which status, and why one was not 200."""
    found = {status: long.statuses.count(status) for status in sorted(set(long.statuses))}
    said = ", ".join(f"{count} x {status}" for status, count in found.items()) or "none"
    return f"{said}: {orjson.loads(long.refusal)['detail']}" if long.refusal else said
