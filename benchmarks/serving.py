"""Serving: time of a request to `vae serve` over that of a bare server plus the work in process.

Closed loop: each client waits for its answer before it asks again, over a kept-alive connection.
Service, bare server (same bytes in, as many out) and work in process take turns in short bursts.
Seconds per request are those of a burst over its number of requests, so 8 clients share them.
The ratio of processor time is that of the service's threads over that of the bare server's threads
and the work. It leaves out waiting, and the time that other processes take on a busy machine.
Not measured: TLS, a network, slow clients, large bodies, several workers. Servers and clients run
on the same cores, which is part of every number but the work's.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import numpy as np
import torch
from rich.table import Table

from app.settings import Settings
from benchmarks.servers import Connection, Exchange, Server, free_port, server
from benchmarks.timing import duration, ratio, table
from benchmarks.work import Case, cases, in_process, shipped_model

CLIENTS = (1, 8)
BURST = 24
"""Requests to each server in one round."""
MAX_ROUNDS = 40
MIN_ROUNDS = 2


class Clients:
    """`count` connections to one server, each with a thread during a burst."""

    def __init__(self, asked: Server, count: int, wire: bytes) -> None:
        """Connect, and send one request over each connection."""
        self.server = asked
        self.wire = wire
        self.connections = [Connection(asked.port) for _ in range(count)]
        self.latencies: list[float] = []
        self.processor_seconds = 0.0
        self.answer = b""
        for connection in self.connections:
            self._ask(connection, 1, [])

    def close(self) -> None:
        """Close the connections."""
        for connection in self.connections:
            connection.close()

    def burst(self, requests: int) -> float:
        """Send `requests` requests; return the seconds per request."""
        each = requests // len(self.connections)
        threads = [
            threading.Thread(target=self._ask, args=(connection, each, self.latencies))
            for connection in self.connections
        ]
        used, started_at = self.server.processor_seconds(), time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.perf_counter() - started_at
        self.processor_seconds += self.server.processor_seconds() - used
        return took / (each * len(threads))

    def _ask(self, connection: Connection, times: int, latencies: list[float]) -> None:
        for _ in range(times):
            started_at = time.perf_counter()
            status, self.answer = connection.ask(self.wire)
            latencies.append(time.perf_counter() - started_at)
            if status != 200:
                raise RuntimeError(
                    f"A request of the benchmark was answered {status}: {self.answer[:300]!r}. "
                    "Correct the request in benchmarks/work.py."
                )


def run(*, seconds: float, threads: int) -> Iterator[Table]:
    """Start both servers, measure for about `seconds`, and stop them."""
    torch.set_num_threads(threads)
    served, settings = shipped_model(), Settings()
    chosen = cases(served)
    each = seconds / (len(chosen) * len(CLIENTS))
    port, bare_port = free_port(), free_port()
    flags = ["--port", str(port), "--compute-threads", str(threads)]
    made = table(
        f"Serving: {served.name} version {served.version}, closed loop",
        "request",
        *("clients", "p50", "p99", "requests/s", "bare", "work", "ratio to both", "processor"),
        caption="p50, p99: of one request, as its client sees it. bare, work: per request. Medians "
        "over bursts, quartiles in parentheses. processor: the service's time per request, and its "
        "ratio to the bare server's and the work's.",
    )
    with (
        server(["app", "serve", *flags], ready="/readyz", port=port, threads=threads) as service,
        server(
            ["benchmarks.bare", str(bare_port)], ready="/0", port=bare_port, threads=threads
        ) as bare,
    ):
        for case in chosen:
            work = in_process(case, served, settings)
            wire = case.exchange(served).wire()
            for count in CLIENTS:
                row = _measure(case, wire, work, (service, bare), count, each)
                made.add_row(case.name, str(count), *row)
    yield made


def _measure(
    case: Case,
    wire: bytes,
    work: Callable[[], bytes],
    servers: tuple[Server, Server],
    count: int,
    seconds: float,
) -> list[str]:
    """Cells of a row: p50, p99, requests/s, bare, work and both ratios."""
    rounds: list[tuple[float, float, float, float]] = []
    with ExitStack() as stack:
        service = Clients(servers[0], count, wire)
        stack.callback(service.close)
        method = "POST" if case.body else "GET"
        same = Exchange(method, f"/{len(service.answer)}", case.body, case.content_type)
        bare = Clients(servers[1], count, same.wire())
        stack.callback(bare.close)
        ends_at = time.perf_counter() + seconds
        while len(rounds) < MIN_ROUNDS or (
            time.perf_counter() < ends_at and len(rounds) < MAX_ROUNDS
        ):
            rounds.append((service.burst(BURST), bare.burst(BURST), *_burst(work, BURST)))
    each, floor, alone = np.array([burst[:3] for burst in rounds]).T
    spent = service.processor_seconds / (bare.processor_seconds + sum(r[3] for r in rounds))
    p50, p99 = np.percentile(service.latencies, [50, 99])
    times = [duration(float(value)) for value in (p50, p99)]
    medians = [duration(float(np.median(value))) for value in (floor, alone)]
    used = f"{duration(service.processor_seconds / (BURST * len(rounds)))}, {spent:.2f}"
    return [*times, f"{1 / np.median(each):.0f}", *medians, ratio(each, floor + alone), used]


def _burst(work: Callable[[], bytes], times: int) -> tuple[float, float]:
    """Seconds per call, and processor seconds of all calls."""
    used, started_at = time.process_time(), time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - started_at) / times, time.process_time() - used
