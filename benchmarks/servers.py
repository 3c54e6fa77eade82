"""Start servers on free ports of 127.0.0.1, send them single requests, measure and stop them.

`Connection` does as little as HTTP/1.1 allows. Load comes from `load.py` and `open_loop.py`.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.wire import phase_seconds

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 120.0
STOP_SECONDS = 15.0


@dataclass(frozen=True)
class Exchange:
    """HTTP request; every request of a case is the same."""

    method: str
    target: str
    body: bytes = b""
    content_type: str = "application/octet-stream"
    headers: tuple[tuple[str, str], ...] = ()

    def wire(self) -> bytes:
        """Bytes of the request on the socket."""
        lines = [f"{self.method} {self.target} HTTP/1.1", "Host: 127.0.0.1"]
        if self.body:
            lines += [f"Content-Type: {self.content_type}", f"Content-Length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


class Connection:
    """Kept-alive connection to a server on 127.0.0.1."""

    def __init__(self, port: int, *, timeout: float = 60.0) -> None:
        """Connect to the port."""
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.head = b""

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def abort(self) -> None:
        """End the connection under a thread that waits for its answer."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self.close()

    def send(self, data: bytes) -> None:
        """Send bytes, of a request or of a part of one."""
        self._socket.sendall(data)

    def ask(self, wire: bytes) -> tuple[int, bytes]:
        """Send a request and wait for its whole answer.

        Returns:
            Status and body; `head` keeps the headers, in lower case.

        Raises:
            ConnectionError: The server closed the connection, or sends an answer in chunks.
        """
        self.send(wire)
        data = self._receive()
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._receive()
        self.head = head = data[:end].lower()
        _, found, rest = head.partition(b"\r\ncontent-length:")
        if not found:
            raise ConnectionError(f"An answer without Content-Length: {data[:300]!r}")
        length = int(rest.split(b"\r\n", 1)[0])
        body = data[end + 4 :]
        while len(body) < length:
            body += self._receive()
        return int(head[9:12]), body

    def phase_seconds(self, name: str) -> float:
        """Seconds of a phase in the last answer's Server-Timing; NaN if it has none."""
        return phase_seconds(self.head, name)

    def _receive(self) -> bytes:
        data = self._socket.recv(1 << 18)
        if not data:
            raise ConnectionError("The server closed the connection before it answered.")
        return data


def ask_once(port: int, exchange: Exchange, *, timeout: float = 60.0) -> tuple[int, bytes]:
    """Send one request over a connection of its own; return the status and the body."""
    with Connection(port, timeout=timeout) as connection:
        return connection.ask(exchange.wire())


@dataclass(frozen=True)
class Server:
    """Server process, with its children, and the port that it listens on."""

    name: str
    port: int
    process: subprocess.Popen[bytes] = field(repr=False)

    def family(self) -> list[int]:
        """Process ids of the server and all its descendants."""
        return descendants(self.process.pid)

    def memory_bytes(self) -> int:
        """Memory of the family; what processes share is counted once (PSS)."""
        return sum(_proc_kib(pid, "smaps_rollup", "Pss:") for pid in self.family()) * 1024

    def processor_seconds(self) -> float:
        """Processor time of the family so far."""
        return sum(map(_processor_seconds, self.family()))

    def pause(self) -> None:
        """Stop the family from running, so that it takes no time from another server."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Let the family run again."""
        self._signal_all(signal.SIGCONT)

    def stop(self) -> int:
        """Ask the server to stop, end what is left of its family, return its exit status."""
        self.resume()
        family = self.family()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
        for pid in family[1:]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return self.process.wait()

    def _signal_all(self, number: signal.Signals) -> None:
        for pid in self.family():
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def start(
    name: str,
    command: Sequence[str],
    *,
    port: int,
    environment: Mapping[str, str] | None = None,
    threads: int = 1,
) -> Server:
    """Start a command; `wait_until_ready` comes next.

    The server gets no VAE_* variable but those in `environment`.
    """
    inherited = {name: v for name, v in os.environ.items() if not name.startswith("VAE_")}
    # A library finds its own programs beside its Python.
    inherited["PATH"] = f"{Path(command[0]).parent}{os.pathsep}{inherited.get('PATH', '')}"
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=inherited | {"OMP_NUM_THREADS": str(threads)} | dict(environment or {}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return Server(name, port, process)


def vae_serve(port: int, repository: Path, **settings: object) -> tuple[list[str], dict[str, str]]:
    """Command and environment of `vae serve`; `settings` as in app/settings.py."""
    command = [sys.executable, "-m", "app", "serve", "--port", str(port)]
    chosen = {"model_repository": repository, "compute_threads": 1, **settings}
    return command, {f"VAE_{name.upper()}": str(value) for name, value in chosen.items()}


def wait_until_ready(server: Server, path: str, *, seconds: float = START_SECONDS) -> float:
    """Wait for a 200; return the seconds that it took.

    Raises:
        RuntimeError: The server ended, or did not answer 200 in time.
    """
    started_at = time.monotonic()
    wire = Exchange("GET", path).wire()
    while time.monotonic() < started_at + seconds and server.process.poll() is None:
        with suppress(OSError), Connection(server.port, timeout=5) as connection:
            if connection.ask(wire)[0] == 200:
                return time.monotonic() - started_at
        time.sleep(0.05)
    raise RuntimeError(
        f"{server.name} was not ready within {seconds:g} s (exit status {server.process.poll()}). "
        f"Run it by hand to see why: {server.process.args!r}"
    )


def free_port() -> int:
    """Port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def descendants(pid: int) -> list[int]:
    """A process and all its descendants, parents first, from /proc."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The name in parentheses may hold anything.
            parent = int(stat.read_text().rsplit(")", 1)[1].split()[1])
            parents.setdefault(parent, []).append(int(stat.parent.name))
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return found


def resident_bytes(pid: int) -> int:
    """Resident memory of one process."""
    return _proc_kib(pid, "status", "VmRSS:") * 1024


def anonymous_bytes(pid: int) -> int:
    """Resident memory of one process, without what is mapped from files."""
    return _proc_kib(pid, "status", "RssAnon:") * 1024


def _processor_seconds(pid: int) -> float:
    with suppress(OSError):
        found = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(found[11]) + int(found[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _proc_kib(pid: int, file: str, field_name: str) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
            if line.startswith(field_name):
                return int(line.split()[1])
    return 0
