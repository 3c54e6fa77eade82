"""Readiness of the service, and draining before it stops.

On SIGTERM or SIGINT /readyz answers 503 at once, and every answer closes its connection. After the
drain delay, in which load balancers notice, the port takes no new connection, those that have begun
come in, and the server stops listening and finishes the requests in flight. A second signal stops
at once.
"""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any

import uvicorn

from app.serving.ports import ignore_new_connections
from app.serving.registry import Registry

log = logging.getLogger("app")

CLOSE = (b"connection", b"close")

HANDSHAKE_SECONDS = 0.5
"""How long connections that have begun may take to be there before the port closes."""


@dataclass
class Lifecycle:
    """Readiness of the service."""

    registry: Registry
    draining: bool = False

    def status(self) -> str:
        """Status for probes: "ok" when ready, else "loading", "draining" or "no model"."""
        if self.draining:
            return "draining"
        if not self.registry.loaded:
            return "loading"
        return "ok" if self.registry.models else "no model"


class Server(uvicorn.Server):
    """uvicorn's server, which drains before it stops and lets its process end with status 0."""

    def __init__(
        self,
        config: uvicorn.Config,
        lifecycle: Lifecycle,
        *,
        drain_seconds: float,
        listening: Callable[[], None] | None = None,
        supervisor: Connection | None = None,
    ) -> None:
        """Prepare the server.

        Args:
            config: uvicorn's.
            lifecycle: What the probes say.
            drain_seconds: Seconds between the signal and the end of listening.
            listening: Called when this server listens.
            supervisor: The channel to the process that supervises this one, if there is one: it is
                told when this one listens, and says when to stop.
        """
        super().__init__(config)
        self.lifecycle = lifecycle
        self.drain_seconds = drain_seconds
        self.listening = listening
        self.supervisor = supervisor
        self.orphaned = False
        """Whether the supervisor ended first."""
        self._told = "stop" if supervisor is None else ""
        """What the supervisor said first: "stop", or "replaced" where others have the port."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals; unlike uvicorn's own, it does not raise them again at the end."""
        self._loop = asyncio.get_running_loop()
        # A terminal sends SIGINT and SIGHUP to every process; the supervisor tells its workers.
        other: Any = self.handle_exit if self.supervisor is None else signal.SIG_IGN
        handlers: dict[int, Any] = {signal.SIGTERM: self.handle_exit, signal.SIGINT: other}
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup asks
            handlers[signal.SIGHUP] = other
        before = {number: signal.signal(number, do) for number, do in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain, then stop; a second signal ends the process at once, but for a worker."""
        if not self.lifecycle.draining:
            self._loop.call_soon_threadsafe(self.drain)
            self.lifecycle.draining = True
        elif self.supervisor is None:
            os._exit(0)

    def drain(self) -> None:
        """Let every answer close its connection, and stop after the drain delay."""
        self.lifecycle.draining = True
        if CLOSE not in self.config.encoded_headers:
            self.config.encoded_headers = [*self.config.encoded_headers, CLOSE]
            self.server_state.default_headers = [*self.server_state.default_headers, CLOSE]
            self._loop.call_later(self.drain_seconds, self._stop)
            if self.supervisor is None:
                say_stopping(self.drain_seconds)

    def _stop(self) -> None:
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        for one in sockets or []:  # what it accepts must not keep the next server from binding
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        await super().startup(sockets)
        if self.listening is not None:
            self.listening()
        if self.supervisor is not None:
            self.supervisor.send("listening")
            self._loop.add_reader(self.supervisor.fileno(), self._hear)

    def _hear(self) -> None:
        """Drain as the supervisor says, or because it has ended."""
        try:
            word = self.supervisor.recv()  # type: ignore[union-attr]
        except (EOFError, OSError):
            word, self.orphaned = "stop", True
            self._loop.remove_reader(self.supervisor.fileno())  # type: ignore[union-attr]
        self._told = self._told or word
        self.drain()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, and finish what is in flight, connections in the kernel's queue too."""
        sockets = sockets or []
        if self._told == "stop" and ignore_new_connections(sockets):
            await asyncio.sleep(HANDSHAKE_SECONDS)  # accepting what comes
        waiting = [connection for one in sockets for connection in _accept_all(one)]
        for server in self.servers:
            server.close()
        for one in sockets:
            one.close()
        for connection in waiting:
            await self._loop.connect_accepted_socket(self._protocol, connection)
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        make: Any = self.config.http_protocol_class
        found: asyncio.Protocol = make(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return found


def _accept_all(listening: socket.socket) -> Iterator[socket.socket]:
    """The connections that wait in the kernel's queue: closing the socket would reset them."""
    with suppress(OSError):
        while True:
            connection, _ = listening.accept()
            connection.setblocking(False)
            yield connection


def say_stopping(drain_seconds: float) -> None:
    """Log that the service stops, and how to end it at once."""
    fields = {"drain_seconds": drain_seconds, "at_once": "a second signal (Ctrl-C)"}
    log.info("stopping", extra={"fields": fields})


def drain_on_signals(lifecycle: Lifecycle, drain_seconds: float) -> None:
    """Drain before a plain uvicorn's own signal handlers run, as under `uvicorn --factory`.

    Call it while the app starts, on uvicorn's thread; without uvicorn, handlers are kept.
    """
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        stop = signal.getsignal(number)
        server = getattr(stop, "__self__", None)
        if isinstance(server, uvicorn.Server) and not isinstance(server, Server):
            signal.signal(number, _draining(lifecycle, drain_seconds, loop, stop))


def _draining(
    lifecycle: Lifecycle, drain_seconds: float, loop: asyncio.AbstractEventLoop, stop: Any
) -> Any:
    def handle(number: int, frame: FrameType | None) -> None:
        if lifecycle.draining:
            stop(number, frame)
            return
        lifecycle.draining = True
        loop.call_soon_threadsafe(loop.call_later, drain_seconds, stop, number, None)

    return handle
