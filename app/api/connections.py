"""The connections of a process together: how many are open, what they hold, which wait too long.

One sweep a second looks at all of them; no request has a timer of its own.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from app.api.turns import Turns
from app.errors import Reason, ServerBusy

SWEEP_SECONDS = 1.0
RESERVED_DESCRIPTORS = 256
"""Kept for files, pipes, listening sockets and connections that are being refused."""
RETRY_SECONDS = 2
"""What a refused client is told to wait: connections and bodies come and go within seconds."""

log = logging.getLogger("app")


class Connection(Protocol):
    """What the sweep knows of a connection."""

    def check(self, now: float) -> None:
        """End what has waited too long."""


CountRejection = Callable[[Reason | None], None]


def count_nothing(reason: Reason | None) -> None:
    """Let a refusal go uncounted."""


@dataclass
class Connections:
    """All connections of a process and their bounds."""

    client_timeout: float
    """Seconds for a head as a whole, for each next piece of a body, and for a client to read on."""
    min_body_rate: float
    """Least bytes a second of a body on average, once it has lasted that long."""
    max_connections: int
    max_buffered_bytes: int
    max_requests: int
    """Limit of requests that are there as a whole and not yet answered."""
    count_rejection: CountRejection = count_nothing
    """Called with the reason of each refusal that no app answers."""
    root_path: str = ""
    """Path prefix of the service, which requests may come with."""
    turns: Turns = field(default_factory=Turns, compare=False)
    open: set[Connection] = field(default_factory=set)
    buffered: int = 0
    """Bytes of bodies whose requests have not ended."""
    busy: int = 0
    """Requests that are there as a whole and not yet answered."""
    shed: int = 0
    """Requests that were refused for want of room since the last sweep."""
    _refused: int = 0
    _timer: asyncio.TimerHandle | None = None

    def add(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        """Count a connection in.

        Raises:
            ServerBusy: There are too many; the connection is counted nevertheless until it ends.
        """
        self.open.add(connection)
        if self._timer is None:
            self._sweep_later(loop)
        if len(self.open) > self.max_connections:
            self._refused += 1
            raise _busy(
                f"The server has {self.max_connections} connections, the limit "
                "(VAE_MAX_CONNECTIONS).",
                self.max_connections,
                "connections",
            )

    def remove(self, connection: Connection) -> None:
        """Count a connection out."""
        self.open.discard(connection)

    @property
    def is_flooded(self) -> bool:
        """Whether even refused connections are too many to be waited for."""
        return len(self.open) > self.max_connections + RESERVED_DESCRIPTORS // 2

    def buffer(self, count: int) -> None:
        """Count bytes of a body in.

        Raises:
            ServerBusy: There are too many.
        """
        if self.buffered + count > self.max_buffered_bytes:
            raise _busy(
                f"The bodies of all requests together are over {self.max_buffered_bytes} bytes, "
                "the limit (VAE_MAX_BUFFERED_BYTES).",
                self.max_buffered_bytes,
                "buffered",
            )
        self.buffered += count

    def release(self, count: int) -> None:
        """Count bytes out."""
        self.buffered -= count

    def _sweep_later(self, loop: asyncio.AbstractEventLoop) -> None:
        period = min(SWEEP_SECONDS, self.client_timeout / 4)
        self._timer = loop.call_later(period, self._sweep_after_reading, loop)

    def _sweep_after_reading(self, loop: asyncio.AbstractEventLoop) -> None:
        """Sweep once the loop has read what came while it, or the whole machine, stood still."""
        loop.call_soon(loop.call_soon, self._sweep, loop)  # it reads between two turns

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection in list(self.open):
            connection.check(now)
        if self.shed:
            log.warning("requests refused", extra={"fields": {"count": self.shed}})
            self.shed = 0
        if self._refused:
            log.warning("connections refused", extra={"fields": {"count": self._refused}})
            self._refused = 0
        self._timer = None
        if self.open:
            self._sweep_later(loop)


def allowed_connections(wanted: int) -> int:
    """So many connections, or as many as the system's limit of open files leaves.

    The process's own limit is raised as far as that takes, for its workers too.
    """
    with suppress(ImportError):  # on Windows
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        needed = wanted + RESERVED_DESCRIPTORS
        if hard != resource.RLIM_INFINITY:
            needed = min(needed, hard)
        if soft != resource.RLIM_INFINITY and soft < needed:
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
        return max(needed - RESERVED_DESCRIPTORS, 1)
    return wanted


def _busy(fault: str, limit: int, reason: Reason) -> ServerBusy:
    return ServerBusy(
        f"{fault} Send the request again in {RETRY_SECONDS} s.",
        limit=limit,
        reason=reason,
        headers={"Retry-After": str(RETRY_SECONDS)},
    )
