"""A crowd of clients, each on a thread with a kept-alive connection, at a steady pace."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from benchmarks.servers import Connection, Exchange


@dataclass(frozen=True)
class Reply:
    """What a client got, and when: the status, or the error's words; the body and the headers."""

    at: float
    seconds: float
    outcome: int | str
    body: bytes = b""
    head: bytes = b""


class Crowd:
    """Clients that ask until the context ends, or `go_on` says no."""

    def __init__(
        self,
        port: int,
        exchange: Exchange,
        *,
        clients: int = 16,
        per_second: float = 10.0,
        go_on: Callable[[], bool] = lambda: True,
    ) -> None:
        """Prepare; the context starts the threads.

        Args:
            port: The server's.
            exchange: What all clients ask.
            clients: How many.
            per_second: Requests a second of one client.
            go_on: Asked before each request.
        """
        self.replies: list[Reply] = []
        self._port, self._wire = port, exchange.wire()
        self._pause, self._go_on = 1 / per_second, go_on
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(index / clients,), daemon=True)
            for index in range(clients)
        ]

    def __enter__(self) -> "Crowd":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self.join()

    def join(self) -> None:
        """Wait until every client has ended."""
        for thread in self._threads:
            thread.join()

    @property
    def failures(self) -> list[Reply]:
        """Replies that are no 200."""
        return [reply for reply in self.replies if reply.outcome != 200]

    def _ask(self, phase: float) -> None:
        self._stop.wait(phase * self._pause)
        connection: Connection | None = None
        while not self._stop.is_set() and self._go_on():
            at = time.monotonic()
            try:
                connection = connection or Connection(self._port)
                status, body = connection.ask(self._wire)
                reply = Reply(at, time.monotonic() - at, status, body, connection.head)
            except OSError as error:
                reply = Reply(at, time.monotonic() - at, type(error).__name__)
                connection = None
            self.replies.append(reply)
            if connection is not None and b"\r\nconnection: close" in connection.head:
                connection.close()
                connection = None
            self._stop.wait(max(0.0, self._pause - (time.monotonic() - at)))
        if connection is not None:
            connection.close()


def outcomes(replies: list[Reply]) -> str:
    """How many replies of each outcome."""
    found = sorted({str(reply.outcome) for reply in replies})
    counts = (sum(str(reply.outcome) == one for reply in replies) for one in found)
    return ", ".join(f"{n} x {one}" for n, one in zip(counts, found, strict=True)) or "none"
