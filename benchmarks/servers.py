"""Starts a server on a free port of 127.0.0.1, talks to it over plain sockets, and stops it.

The client does as little as HTTP/1.1 allows, because what it costs is measured too. It knows no
operation.
"""

import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 120.0


@dataclass(frozen=True)
class Exchange:
    """A request as its bytes; every request of a case is the same."""

    method: str
    target: str
    body: bytes = b""
    content_type: str = "application/octet-stream"

    def wire(self) -> bytes:
        """What goes over the socket."""
        head = (
            f"{self.method} {self.target} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Content-Type: {self.content_type}\r\nContent-Length: {len(self.body)}\r\n\r\n"
        )
        return head.encode() + self.body


class Connection:
    """One kept-alive connection."""

    def __init__(self, port: int) -> None:
        """Connect."""
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def ask(self, wire: bytes) -> tuple[int, bytes]:
        """Send a request and wait for its whole answer.

        Returns:
            Status and body.

        Raises:
            ConnectionError: The server hung up.
        """
        self._socket.sendall(wire)
        data = self._receive()
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._receive()
        head = data[:end].lower()
        length = int(head.split(b"\r\ncontent-length:", 1)[1].split(b"\r\n", 1)[0])
        body = data[end + 4 :]
        while len(body) < length:
            body += self._receive()
        return int(head[9:12]), body

    def _receive(self) -> bytes:
        data = self._socket.recv(1 << 18)
        if not data:
            raise ConnectionError("A server answers before it hangs up; this one did not.")
        return data


@dataclass(frozen=True)
class Server:
    """A process that listens."""

    port: int
    pid: int

    def processor_seconds(self) -> float:
        """What all its threads have used so far; NaN where the system does not tell (not Linux)."""
        files = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        used = [int(file.read_text().split()[0]) for file in files]
        return sum(used) / 1e9 if used else math.nan


@contextmanager
def server(arguments: list[str], *, ready: str, port: int, threads: int) -> Iterator[Server]:
    """`python -m <arguments>`, once `GET <ready>` says 200; stops it by its pid.

    No VAE_* setting from outside reaches it.
    """
    environment = {name: v for name, v in os.environ.items() if not name.startswith("VAE_")}
    environment["OMP_NUM_THREADS"] = str(threads)
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(process, port, Exchange("GET", ready).wire())
        yield Server(port, process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, wire: bytes) -> None:
    ends_at = time.monotonic() + START_SECONDS
    while time.monotonic() < ends_at:
        if process.poll() is not None:
            break
        with suppress(OSError):
            connection = Connection(port)
            try:
                if connection.ask(wire)[0] == 200:
                    return
            finally:
                connection.close()
        time.sleep(0.1)
    raise RuntimeError(
        f"A server is ready within {START_SECONDS:g} s; {process.args!r} was not (exit status "
        f"{process.poll()}). Run it by hand to see why."
    )


def free_port() -> int:
    """A port that nobody listened at a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
