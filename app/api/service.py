"""The service's parts that every request shares, and one request on its way."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from app.api.body import Incoming
from app.api.metrics import Metrics
from app.api.plan import Plans
from app.api.record import Record
from app.api.tracing import Tracing
from app.operations.table import Operation
from app.serving.registry import Registry
from app.serving.scheduler import Scheduler
from app.serving.served_model import ServedModel
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
    tracing: Tracing | None = None

    def off_loop(self, function: Callable[[], T]) -> "asyncio.Future[T]":
        """Run a function on a reader thread."""
        return asyncio.get_running_loop().run_in_executor(self.readers, function)


@dataclass(eq=False, slots=True)
class Call:
    """One HTTP request for one operation."""

    service: Service
    operation: Operation
    served: ServedModel
    plans: Plans
    """Those of the operation and the model."""
    incoming: Incoming
    record: Record
    timeout: float
    """Seconds that it may take."""

    @property
    def seconds_left(self) -> float:
        """Seconds until the deadline."""
        return self.timeout - self.record.seconds
