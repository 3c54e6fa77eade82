"""The service's parts that every request shares, and one request once its parameters are known."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import Request

from app.api.metrics import Metrics
from app.api.record import Record
from app.compute.request import ComputeRequest
from app.serving.registry import Registry
from app.serving.scheduler import Scheduler
from app.settings import Settings

T = TypeVar("T")


@dataclass
class Service:
    """Parts of the service that every request shares."""

    settings: Settings
    registry: Registry
    scheduler: Scheduler
    metrics: Metrics
    readers: ThreadPoolExecutor
    """Threads that read bodies and render answers, apart from compute."""
    in_flight: int = 0
    """Number of operations being answered."""

    async def off_loop(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run a function on a reader thread."""
        return await asyncio.get_running_loop().run_in_executor(self.readers, function, *arguments)


@dataclass(frozen=True)
class Call:
    """One HTTP request for one operation, once its parameters are known."""

    http: Request
    record: Record
    request: ComputeRequest[Any]
    """The request as compute takes it; its inputs are empty until they are read."""
    form: str
    """Format of the answer."""
    seeded: bool
    """Whether the caller gave the seed."""
