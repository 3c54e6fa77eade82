"""Start a server on a free port of 127.0.0.1, send it requests over plain sockets, and stop it.

The client does as little as HTTP/1.1 allows, because its own time is part of the measurement.
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
    """HTTP request; every request of a case is the same."""

    method: str
    target: str
    body: bytes = b""
    content_type: str = "application/octet-stream"

    def wire(self) -> bytes:
        """Bytes of the request on the socket."""
        head = (
            f"{self.method} {self.target} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Content-Type: {self.content_type}\r\nContent-Length: {len(self.body)}\r\n\r\n"
        )
        return head.encode() + self.body


class Connection:
    """Kept-alive connection to a server on 127.0.0.1."""

    def __init__(self, port: int) -> None:
        """Connect to the port."""
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def ask(self, wire: bytes) -> tuple[int, bytes]:
        """Send a request and wait for its whole answer.

        Returns:
            Status and body.

        Raises:
            ConnectionError: The server closed the connection.
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
            raise ConnectionError("The server closed the connection before it answered.")
        return data


@dataclass(frozen=True)
class Server:
    """Server process and the port that it listens on."""

    port: int
    pid: int

    def processor_seconds(self) -> float:
        """Processor time of all threads so far; NaN where the system has no /proc."""
        files = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        used = [int(file.read_text().split()[0]) for file in files]
        return sum(used) / 1e9 if used else math.nan


@contextmanager
def server(arguments: list[str], *, ready: str, port: int, threads: int) -> Iterator[Server]:
    """Start `python -m <arguments>`, yield once `GET <ready>` answers 200, then stop it by its pid.

    The server gets no VAE_* setting from the environment.
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
        f"{process.args!r} was not ready within {START_SECONDS:g} s (exit status "
        f"{process.poll()}). Run it by hand to see why."
    )


def free_port() -> int:
    """Port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
