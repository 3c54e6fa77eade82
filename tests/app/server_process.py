"""A real server in a process of its own, for what only sockets and signals show."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Served:
    """A server's process and where it listens."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=self.url, timeout=60)

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        return self.process.wait(timeout=120)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(
    repository: Path, log: Path, *flags: str, ready: int = 200, port: int | None = None
) -> Iterator[Served]:
    """`vae serve` with these flags, once /readyz has this status; stopped by its own pid."""
    port = free_port() if port is None else port
    command = [sys.executable, "-m", "app", "serve", "--port", str(port)]
    command += ["--model-repository", str(repository), "--compute-threads", "1", *flags]
    with log.open("wb") as stderr:
        process = subprocess.Popen(command, cwd=ROOT, stderr=stderr, start_new_session=True)
    served = Served(process, f"http://127.0.0.1:{port}", log)
    try:
        _until_ready(served, ready)
        yield served
    finally:
        served.client.close()
        _end_at_once(served)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its workers too
        process.wait(timeout=30)


def _end_at_once(served: Served) -> None:
    """Two signals: the server removes what it has made, and waits for nobody."""
    if served.process.poll() is None:
        served.signal(signal.SIGTERM)
        served.signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            served.process.wait(timeout=10)


def _until_ready(served: Served, status: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if served.process.poll() is not None:
            raise RuntimeError(served.log.read_text())
        try:
            ready = served.client.get("/readyz")
            if ready.status_code == status and ready.json()["status"] != "loading":
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise TimeoutError(served.log.read_text())
