"""Readiness of the service, and draining before it stops.

On SIGTERM or SIGINT /readyz answers 503 at once. After the drain delay, in which load balancers
notice, uvicorn stops listening and finishes the requests in flight. A second signal stops at once.
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


def drain_on_signals(lifecycle: Lifecycle, drain_seconds: float) -> None:
    """Drain before uvicorn's own signal handlers run.

    Call it while the app starts, on uvicorn's thread; without uvicorn, handlers are kept.
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
