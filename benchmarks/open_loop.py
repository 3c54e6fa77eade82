"""Open-loop load generator: requests arrive by chance, whether earlier ones are answered or not.

python -m benchmarks.open_loop PORT RATE SECONDS PATIENCE FILE < REQUEST

Arrivals are a Poisson process. Each takes a free connection or opens one; its time runs from the
planned arrival, so that a slow generator does not flatter the server. After PATIENCE seconds the
client closes its connection. Prints `sent` when the last request is sent, and then writes FILE.
"""

import asyncio
import resource
import sys
import time
from pathlib import Path

import numpy as np
import uvloop

from benchmarks.wire import Client

GAVE_UP, RESET, NOT_CONNECTED = 0, -1, -2
"""Outcomes beside HTTP statuses."""
RECORD = np.dtype([("at", "f8"), ("seconds", "f8"), ("outcome", "i4")])
"""An arrival: when it was planned, how long it took, and how it ended."""


def arrival_times(rate: float, seconds: float, seed: int = 0) -> np.ndarray:
    """Times of a Poisson process of `rate` per second, ascending, below `seconds`."""
    generator = np.random.default_rng(seed)
    count = generator.poisson(rate * seconds)
    return np.sort(generator.uniform(0, seconds, count))


async def send_all(port: int, times: np.ndarray, patience: float, wire: bytes) -> np.ndarray:
    """Send a request at each time; return the records once all have ended."""
    now = time.perf_counter  # uvloop's own clock counts milliseconds
    free: list[Client] = []
    records = np.zeros(len(times), RECORD)
    started_at = now()

    async def send(index: int, at: float) -> None:
        outcome = await _ask(port, wire, free, started_at + at + patience - now())
        records[index] = (at, now() - started_at - at, outcome)

    tasks = []
    for index, at in enumerate(times.tolist()):
        # Below a millisecond only let others run: timers are no finer.
        wait = started_at + at - now()
        if wait > 0.001 or index % 16 == 0:
            await asyncio.sleep(max(0.0, wait))
        tasks.append(asyncio.create_task(send(index, at)))
    print("sent", flush=True)
    await asyncio.gather(*tasks)
    for client in free:
        client.close()
    await asyncio.sleep(0)
    return records


async def _ask(port: int, wire: bytes, free: list[Client], patience: float) -> int:
    client = None
    while free and (client is None or client.closed):
        client = free.pop()
    try:
        async with asyncio.timeout(patience):
            if client is None or client.closed:
                client = await Client.connect(port)
            status = await client.ask(wire)
    except TimeoutError:
        if client is not None:
            client.close()
        return GAVE_UP
    except ConnectionResetError:
        return RESET if client is not None else NOT_CONNECTED
    except OSError:
        return NOT_CONNECTED
    free.append(client)
    return status


def main(port: int, rate: float, seconds: float, patience: float, file: Path) -> None:
    """Send, and write the records."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    times = arrival_times(rate, seconds)
    np.save(file, uvloop.run(send_all(port, times, patience, sys.stdin.buffer.read())))


if __name__ == "__main__":
    rate, seconds, patience = map(float, sys.argv[2:5])
    main(int(sys.argv[1]), rate, seconds, patience, Path(sys.argv[5]))
