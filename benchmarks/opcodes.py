"""Python's own work on a request: opcodes on the event loop, which no other process changes.

Opcodes are no time: C code under them (torch, numpy, zlib, the kernel) counts nothing. The server
is this process; its requests come from a thread over sockets. Its access log is off.
"""

import asyncio
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import uvicorn
import uvloop
from rich.table import Table
from uvicorn.server import ServerState

from app.api.protocol import serving_protocol
from app.main import create_app, entry, make_registry
from app.settings import Settings
from benchmarks import bundle
from benchmarks.servers import Connection
from benchmarks.sides import ours
from benchmarks.timing import table

CONNECTIONS = (1, 16)
WARM_UP, ROUNDS = 20, 20
GATHER_SECONDS = 0.03
"""How long the event loop stands still, so that all requests of a round are there at once."""
MOST_SHOWN = 20


def run(*, rounds: int = ROUNDS) -> Iterator[Table]:
    """Tables: opcodes of each case, and of an encode by file."""
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "repository"
        bundle.write_bundle(repository)
        requests = ours(repository, bundle.NAME, latents=bundle.LATENTS).requests
        columns = [f"{count} at once" for count in CONNECTIONS]
        made = table("Opcodes of a request: MLP 784-200-200-50, one picture", "request", *columns)
        by_file: Counter[str] = Counter()
        for case, request in requests.items():
            counts = [
                uvloop.run(_count(repository, request.wire(), connections, rounds))
                for connections in CONNECTIONS
            ]
            made.add_row(case, *(f"{sum(found.values()):,.0f}" for found in counts))
            if case == "encode":
                by_file = _by_file(counts[-1])
    yield made
    files = table(f"Opcodes of an encode at {CONNECTIONS[-1]} connections", "file", "opcodes")
    for file, count in by_file.most_common(MOST_SHOWN):
        files.add_row(file, f"{count:,.0f}")
    yield files


def _by_file(counts: Counter[CodeType]) -> Counter[str]:
    found: Counter[str] = Counter()
    for code, count in counts.items():
        parts = Path(code.co_filename).parts
        found["/".join(parts[-3:])] += count
    return found


async def _count(repository: Path, wire: bytes, connections: int, rounds: int) -> Counter[CodeType]:
    """Opcodes of one request by code, over so many connections at once."""
    settings = Settings(model_repository=repository, compute_threads=1)
    registry = make_registry(settings, 1)
    registry.load()
    app = create_app(settings, registry)
    # Under a trace a pass seems to take long, and would leave the event loop.
    app.state.service.scheduler.times.expected_job = lambda model, kind, cost: 1e-4
    config = uvicorn.Config(
        entry(app), interface="asgi3", proxy_headers=False, ws="none", log_config=None
    )
    protocol, state = serving_protocol(settings), ServerState()
    loop = asyncio.get_running_loop()
    async with app.router.lifespan_context(app):
        server = await loop.create_server(
            lambda: protocol(config=config, server_state=state, app_state={}), "127.0.0.1", 0
        )
        port: int = server.sockets[0].getsockname()[1]
        counts: Counter[CodeType] = Counter()
        await asyncio.to_thread(_load, port, loop, wire, connections, WARM_UP)
        before = sys.gettrace()  # of a debugger, or of coverage
        sys.settrace(_counting(counts))
        try:
            await asyncio.to_thread(_load, port, loop, wire, connections, rounds)
        finally:
            sys.settrace(before)
            server.close()
    return Counter({code: count / (rounds * connections) for code, count in counts.items()})


def _counting(counts: Counter[CodeType]) -> Any:
    def trace(frame: FrameType, event: str, argument: object) -> Any:
        if event == "call":
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        elif event == "opcode":
            counts[frame.f_code] += 1
        return trace

    return trace


def _load(
    port: int, loop: asyncio.AbstractEventLoop, wire: bytes, connections: int, rounds: int
) -> None:
    """Send a request over each connection at once, again and again."""
    with ExitStack() as stack:
        opened = [stack.enter_context(Connection(port)) for _ in range(connections)]
        for _ in range(rounds):
            sent = threading.Event()
            loop.call_soon_threadsafe(sent.wait, GATHER_SECONDS)
            for connection in opened:
                connection.send(wire)
            time.sleep(GATHER_SECONDS / 10)
            sent.set()
            for connection in opened:
                status, answer = connection.ask(b"")
                if status != 200:
                    raise RuntimeError(f"A request was answered {status}: {answer[:300]!r}")
