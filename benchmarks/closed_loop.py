"""Bundled closed-loop load generator, for machines without wrk.

python -m benchmarks.closed_loop PORT CONNECTIONS SECONDS < REQUEST

REQUEST is the bytes of one HTTP request. One JSON line comes out, as from wrk.
"""

import asyncio
import json
import sys
import time

import numpy as np
import uvloop

from benchmarks.wire import Client


async def run(port: int, connections: int, seconds: float, wire: bytes) -> dict[str, float]:
    """Send until the time is over."""
    now = time.perf_counter  # uvloop's own clock counts milliseconds
    latencies: list[float] = []
    failed = 0
    ends_at = now() + seconds

    async def ask_again() -> None:
        nonlocal failed
        client = await Client.connect(port)
        while (sent_at := now()) < ends_at:
            try:
                status = await client.ask(wire)
            except ConnectionError:
                failed += 1
                client = await Client.connect(port)
                continue
            latencies.append(now() - sent_at)
            failed += not 200 <= status < 300
        client.close()

    started_at = now()
    await asyncio.gather(*(ask_again() for _ in range(connections)))
    took = now() - started_at
    p50, p99 = np.percentile(latencies or [np.nan], [50, 99])
    return {
        "seconds": took,
        "requests": len(latencies),
        "p50": float(p50),
        "p99": float(p99),
        "failed": failed,
    }


if __name__ == "__main__":
    port, connections, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    print(json.dumps(uvloop.run(run(port, connections, seconds, sys.stdin.buffer.read()))))
