"""Closed-loop load: each connection asks again as soon as it has its answer.

wrk makes the load where it is installed, else `closed_loop.py`; both in a process of their own.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from benchmarks.servers import ROOT, Exchange

SCRIPT = """
wrk.method = "{method}"
wrk.body = {body}
wrk.headers["Content-Type"] = "{content_type}"
function done(summary, latency, requests)
  io.write(string.format(
    '\\n{{"seconds": %.6f, "requests": %d, "p50": %.6f, "p99": %.6f, "failed": %d}}\\n',
    summary.duration / 1e6, summary.requests, latency:percentile(50) / 1e6,
    latency:percentile(99) / 1e6, summary.errors.status + summary.errors.connect
    + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
"""


@dataclass(frozen=True)
class Measured:
    """Answers a second, latencies in seconds, and answers that were no 2xx or never came."""

    rate: float
    p50: float
    p99: float
    failed: int


def generator() -> str:
    """Name of the load generator that is used."""
    return "wrk" if shutil.which("wrk") else "the bundled load generator"


def measure(port: int, exchange: Exchange, *, connections: int, seconds: float) -> Measured:
    """Load a server and wait for the end."""
    run = _wrk if shutil.which("wrk") else _bundled
    found = run(port, exchange, connections, seconds)
    rate = (found["requests"] - found["failed"]) / found["seconds"]
    return Measured(rate, found["p50"], found["p99"], int(found["failed"]))


def _wrk(port: int, exchange: Exchange, connections: int, seconds: float) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "request.lua"
        body = '"' + "".join(f"\\{byte:03d}" for byte in exchange.body) + '"'
        text = SCRIPT.format(
            method=exchange.method,
            body=body if exchange.body else "nil",
            content_type=exchange.content_type,
        )
        script.write_text(text, encoding="ascii")
        target = f"http://127.0.0.1:{port}{exchange.target}"
        options = ["-t1", f"-c{connections}", f"-d{max(1, ceil(seconds))}s", "--timeout", "30s"]
        return _run(["wrk", *options, "-s", str(script), target], b"")


def _bundled(port: int, exchange: Exchange, connections: int, seconds: float) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.closed_loop", str(port), str(connections)]
    return _run([*command, str(seconds)], exchange.wire())


def _run(command: list[str], standard_input: bytes) -> dict[str, float]:
    done = subprocess.run(command, input=standard_input, cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[:4]!r} failed: {done.stderr.decode()[-500:]}")
    found: dict[str, float] = json.loads(done.stdout.decode().strip().rsplit("\n", 1)[-1])
    return found
