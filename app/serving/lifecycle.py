"""Whether the service may be sent work, and how it drains before it stops.

On SIGTERM or SIGINT /readyz says 503 at once; after the drain delay, in which load balancers see
that, uvicorn stops listening and finishes what is in flight. A second signal does not wait.
"""

import asyncio
import signal
from dataclasses import dataclass
from types import FrameType
from typing import Any

import uvicorn

from app.serving.registry import Registry


@dataclass
class Lifecycle:
    """Whether the service may be sent work."""

    registry: Registry
    draining: bool = False

    def status(self) -> str:
        """In a word; "ok" is ready."""
        if self.draining:
            return "draining"
        if not self.registry.loaded:
            return "loading"
        return "ok" if self.registry.models else "no model"


def drain_on_signals(lifecycle: Lifecycle, drain_seconds: float) -> None:
    """Put a drain before uvicorn's own handlers, where it has any.

    Called while the app starts, on the thread that uvicorn runs in; does nothing elsewhere.
    """
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        stop = signal.getsignal(number)
        if isinstance(getattr(stop, "__self__", None), uvicorn.Server):
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
