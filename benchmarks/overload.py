"""Overload: `vae serve` under more load than it can take, arriving by chance (`open_loop.py`).

The capacity is what a closed loop gets before and after. Goodput is the 200s that came while their
client waited and the load lasted, per second. Times run from the planned arrival. Clients either
wait, or give up and close their connection; they send a deadline. Load generator, probes and server
share the cores: with tiny work the generator may send late, which counts as the server's time; the
table says how late.
Recovery is the time from the last arrival until answers take no longer than when idle.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.table import Table

from app.settings import PRETRAINED
from benchmarks.load import measure
from benchmarks.media import png
from benchmarks.open_loop import GAVE_UP, NOT_CONNECTED, RESET
from benchmarks.servers import ROOT, Exchange, Server, ask_once
from benchmarks.sides import ours, picture, running
from benchmarks.timing import duration, table
from benchmarks.watching import Watcher

DEADLINE_SECONDS = 5.0
WAIT_SECONDS = 120.0
SETTLE_SECONDS = 10.0
"""After recovery, before the memory is read again."""
RECOVERED_IN_A_ROW = 5
RECOVERY_LIMIT_SECONDS = 180.0


@dataclass(frozen=True)
class Load:
    """Load that comes in: a multiple of the capacity, from clients with so much patience."""

    factor: float
    seconds: float
    patience: float

    @property
    def clients(self) -> str:
        """What the clients do, in words."""
        return "wait" if self.patience >= WAIT_SECONDS else f"give up after {self.patience:g} s"


def run(*, quick: bool) -> Iterator[Table]:
    """Overload the service with tiny work, and with work of some 30 ms."""
    factors, seconds, patience = ((3.0,), 6.0, 4.0) if quick else ((1.5, 3.0), 60.0, 10.0)
    loads = [Load(f, seconds, wait) for f in factors for wait in (WAIT_SECONDS, patience)]
    # Every run on its own server: what one leaves behind does not burden the next.
    for name, exchange, connections in works():
        columns = []
        for load in loads:
            with running([ours(PRETRAINED, "mnist", latents=40)]) as pairs:
                columns.append(_column(pairs[0][1], exchange, connections, load))
        made = table(
            f"Overload: {name}, one 28 x 28 PNG, the mnist bundle; deadline "
            f"{DEADLINE_SECONDS:g} s, {seconds:g} s of load",
            "times the capacity",
            *(f"{load.factor:g} x, clients {load.clients}" for load in loads),
        )
        for measure_name in columns[0]:
            made.add_row(measure_name, *(column[measure_name] for column in columns))
        yield made


def works() -> list[tuple[str, Exchange, int]]:
    """Requests by name, and the connections that reach the capacity."""
    image = png(picture())
    deadline = (("X-Request-Timeout-Seconds", f"{DEADLINE_SECONDS:g}"),)
    at = "/v1/models/mnist"
    scored = f"{at}/log-likelihood?num_samples=150&seed=1"
    return [
        ("log-likelihood, K = 150", Exchange("POST", scored, image, "image/png", deadline), 16),
        ("encode", Exchange("POST", f"{at}/encode", image, "image/png", deadline), 64),
    ]


def _column(server: Server, exchange: Exchange, connections: int, load: Load) -> dict[str, str]:
    """What one load does to a paused server, in words by measure."""
    server.resume()
    length = max(1.0, min(10.0, load.seconds / 3))
    idle = measure(server.port, exchange, connections=1, seconds=1.0)
    before = measure(server.port, exchange, connections=connections, seconds=length).rate
    memory = [server.memory_bytes()]
    with Watcher(server) as watcher:
        records, recovery = offer(server, exchange, load, rate=before * load.factor, idle=idle.p50)
    time.sleep(min(SETTLE_SECONDS, load.seconds))
    memory += [watcher.peak_bytes, server.memory_bytes()]
    after = measure(server.port, exchange, connections=connections, seconds=length).rate
    capacity = (before + after) / 2
    good = goodput(records, load.seconds)
    known = (200, 503, 504, GAVE_UP, RESET, NOT_CONNECTED)
    count = {outcome: int((records["outcome"] == outcome).sum()) for outcome in known}
    return {
        "capacity, requests/s": f"{capacity:,.0f} ({before:,.0f} before, {after:,.0f} after)",
        "offered, requests/s": f"{len(records) / load.seconds:,.0f}",
        "sent late, p99": duration(float(np.percentile(records["late"], 99))),
        "goodput over capacity": f"{good / capacity:.0%}",
        "answers 200": f"{count[200]:,}",
        "answers 503": f"{count[503]:,}",
        "answers 504": f"{count[504]:,}",
        "other answers": f"{len(records) - sum(count.values()):,}",
        "clients that gave up": f"{count[GAVE_UP]:,}",
        "connections reset, refused": f"{count[RESET]:,}, {count[NOT_CONNECTED]:,}",
        "p50, p99 of 200": _percentiles(records, 200),
        "p50, p99 of 503": _percentiles(records, 503),
        "p99 of /livez": f"{duration(watcher.p99)} ({len(watcher.failures)} failed)",
        "MiB before, at most, after": ", ".join(f"{value / 2**20:.0f}" for value in memory),
        "recovery": duration(recovery),
    }


def goodput(records: np.ndarray, seconds: float) -> float:
    """200s per second that came before the load ended."""
    came_at = records["at"] + records["seconds"]
    return float(((records["outcome"] == 200) & (came_at <= seconds)).sum()) / seconds


def _percentiles(records: np.ndarray, outcome: int) -> str:
    took = records["seconds"][records["outcome"] == outcome]
    if not len(took):
        return "none"
    return ", ".join(duration(float(value)) for value in np.percentile(took, [50, 99]))


def offer(
    server: Server, exchange: Exchange, load: Load, *, rate: float, idle: float
) -> tuple[np.ndarray, float]:
    """Send the load from a process of its own.

    Returns:
        The records, and the seconds from the last arrival until the server was itself again.
    """
    with offered(server.port, exchange, rate, load.seconds, patience=load.patience) as records:
        recovery = _recovery_seconds(server, exchange, idle)
        return records(), recovery


@contextmanager
def offered(
    port: int, exchange: Exchange, rate: float, seconds: float, *, patience: float = WAIT_SECONDS
) -> Iterator[Callable[[], np.ndarray]]:
    """Send a load from a process of its own; once all is sent, give what waits for the records."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "records.npy"
        command = [sys.executable, "-m", "benchmarks.open_loop"]
        command += [*map(str, (port, rate, seconds, patience)), str(file)]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin is not None
        assert process.stdout is not None
        with process.stdin:
            process.stdin.write(exchange.wire())
        process.stdout.readline()

        def records() -> np.ndarray:
            process.wait()
            found: np.ndarray = np.load(file)
            return found

        yield records


def _recovery_seconds(server: Server, exchange: Exchange, idle: float) -> float:
    """Seconds until answers in a row take at most twice the idle time and 50 ms."""
    started_at = time.monotonic()
    in_a_row = 0
    while (passed := time.monotonic() - started_at) < RECOVERY_LIMIT_SECONDS:
        asked_at = time.monotonic()
        try:
            status, _ = ask_once(server.port, exchange, timeout=RECOVERY_LIMIT_SECONDS)
        except OSError:
            status = 0
        quick = time.monotonic() - asked_at <= 2 * idle + 0.05
        in_a_row = in_a_row + 1 if status == 200 and quick else 0
        if in_a_row == RECOVERED_IN_A_ROW:
            return passed
        time.sleep(0.0 if status == 200 else 0.05)
    return float("inf")
