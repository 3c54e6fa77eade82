"""Open-loop load generator: requests arrive by chance, whether earlier ones are answered or not.

python -m benchmarks.open_loop PORT RATE SECONDS PATIENCE FILE < REQUEST

Arrivals are a Poisson process. Each takes the connection that was free the longest, so that the
workers of a server get what their connections are of all, of 1,024 before the first arrival, or
opens one; its time runs from the planned arrival, so that a slow generator does
not flatter the server. After PATIENCE seconds the
client closes its connection. Prints `sent` when the last request is sent, and then writes FILE.
"""

import asyncio
import resource
import sys
import time
from collections import deque
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import uvloop

from benchmarks.wire import Client, phase_seconds

CONNECTIONS = 1024
"""Open before the first arrival: to open one costs the generator more than to ask."""

GAVE_UP, RESET, NOT_CONNECTED = 0, -1, -2
"""Outcomes beside HTTP statuses."""
RECORD = np.dtype(
    [("at", "f8"), ("seconds", "f8"), ("outcome", "i4"), ("late", "f8"), ("compute", "f8")]
)
"""An arrival: when it was planned, how long it took, how it ended, how late it was sent, and the
compute that the server says it took, or NaN."""

_now = time.perf_counter  # uvloop's own clock counts milliseconds


def arrival_times(rate: float, seconds: float, seed: int = 0) -> np.ndarray:
    """Times of a Poisson process of `rate` per second, ascending, below `seconds`."""
    generator = np.random.default_rng(seed)
    count = generator.poisson(rate * seconds)
    return np.sort(generator.uniform(0, seconds, count))


class _Requests:
    """The requests of a load, on connections that are free or newly opened.

    A callback a request and no task, unless it needs a connection: a slow generator would take the
    server's processor, and measure itself.
    """

    def __init__(self, port: int, times: np.ndarray, patience: float, wire: bytes) -> None:
        self._port, self._patience, self._wire = port, patience, wire
        self._times: list[float] = times.tolist()
        self._late = [0.0] * len(times)
        self._compute = [float("nan")] * len(times)
        self._seconds = [0.0] * len(times)
        self._outcomes: list[int | None] = [None] * len(times)
        self._clients: dict[int, Client] = {}
        """The connection of each request that is on its way."""
        self._free: deque[Client] = deque()
        self._connecting: set[asyncio.Task[None]] = set()
        self._oldest = self._ended = 0
        self._started_at = _now()

    async def open(self, count: int) -> None:
        """Open connections."""
        for _ in range(count):
            with suppress(OSError):
                self._free.append(await Client.connect(self._port))

    async def send(self) -> None:
        """Send each at its time, or as soon after it as can be."""
        self._started_at = _now()
        for index, at in enumerate(self._times):
            # Below a millisecond only let others run: timers are no finer.
            wait = self._started_at + at - _now()
            if wait > 0.001 or index % 16 == 0:
                await asyncio.sleep(max(0.0, wait))
                self._give_up(index)
            self._late[index] = self._passed() - at
            self._begin(index)

    async def end(self) -> np.ndarray:
        """The records, once every request has been answered or given up."""
        while self._ended < len(self._times):
            await asyncio.sleep(0.005)
            self._give_up(len(self._times))
        for client in self._free:
            client.close()
        await asyncio.gather(*self._connecting)
        await asyncio.sleep(0)
        rows = zip(
            *(self._times, self._seconds, self._outcomes, self._late, self._compute), strict=True
        )
        return np.array(list(rows), RECORD)

    def _passed(self) -> float:
        return _now() - self._started_at

    def _begin(self, index: int) -> None:
        while self._free:
            client = self._free.popleft()
            if not client.closed:
                self._ask(index, client)
                return
        task = asyncio.get_running_loop().create_task(self._connect(index))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, index: int) -> None:
        try:
            client = await Client.connect(self._port)
        except OSError:
            self._note(index, NOT_CONNECTED)
            return
        if self._outcomes[index] is None:
            self._ask(index, client)
        else:
            client.close()

    def _ask(self, index: int, client: Client) -> None:
        self._clients[index] = client
        client.ask(self._wire).add_done_callback(partial(self._take, index, client))

    def _take(self, index: int, client: Client, answer: "asyncio.Future[int]") -> None:
        failed = answer.exception() is not None
        self._clients.pop(index, None)
        self._compute[index] = phase_seconds(client.head, "compute")
        if not client.closed:
            self._free.append(client)
        self._note(index, RESET if failed else answer.result())

    def _give_up(self, sent: int) -> None:
        """Close the connections of those that are out of patience, of the first so many."""
        ends_at = self._passed() - self._patience
        while self._oldest < sent and self._times[self._oldest] < ends_at:
            if self._outcomes[self._oldest] is None:
                self._note(self._oldest, GAVE_UP)
                if self._oldest in self._clients:
                    self._clients.pop(self._oldest).close()
            self._oldest += 1

    def _note(self, index: int, outcome: int) -> None:
        if self._outcomes[index] is None:
            self._outcomes[index] = outcome
            self._seconds[index] = self._passed() - self._times[index]
            self._ended += 1


async def send_all(port: int, times: np.ndarray, patience: float, wire: bytes) -> np.ndarray:
    """Send a request at each time; return the records once all have ended."""
    requests = _Requests(port, times, patience, wire)
    await requests.open(min(CONNECTIONS, len(times)))
    await requests.send()
    print("sent", flush=True)
    return await requests.end()


def main(port: int, rate: float, seconds: float, patience: float, file: Path) -> None:
    """Send, and write the records."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    times = arrival_times(rate, seconds)
    np.save(file, uvloop.run(send_all(port, times, patience, sys.stdin.buffer.read())))


if __name__ == "__main__":
    rate, seconds, patience = map(float, sys.argv[2:5])
    main(int(sys.argv[1]), rate, seconds, patience, Path(sys.argv[5]))
