"""What every request needs, and one request once its parameters are known."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import Request

from app.api.metrics import Metrics
from app.api.middleware import Record
from app.operations.table import Operation
from app.serving.registry import Registry
from app.serving.scheduler import Scheduler
from app.serving.served_model import ServedModel
from app.settings import Settings

T = TypeVar("T")


@dataclass
class Service:
    """What every request needs."""

    settings: Settings
    registry: Registry
    scheduler: Scheduler
    metrics: Metrics
    readers: ThreadPoolExecutor
    """Threads for bodies to read and answers to render, apart from compute."""
    in_flight: int = 0
    """Operations being answered."""

    async def off_loop(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run a function on a reader thread."""
        return await asyncio.get_running_loop().run_in_executor(self.readers, function, *arguments)


@dataclass(frozen=True)
class Call:
    """One request for one operation, once its parameters are known."""

    request: Request
    record: Record
    operation: Operation
    served: ServedModel
    parameters: Any
    form: str
    seed: int
    seeded: bool
    """Whether the caller gave the seed."""
    label: int | None
    """Index of the label that the caller gave."""

    @property
    def draws(self) -> bool:
        """Whether anything in the answer rests on the seed."""
        return self.operation.draws(self.parameters, self.served.capabilities)
