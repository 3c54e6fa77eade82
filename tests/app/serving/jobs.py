"""Jobs for the scheduler: passes through a network that says which rows came together."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import torch
from torch import Tensor

from app.serving.scheduler import Scheduler
from models.estimators.steps import Pass, Steps

LONG, SHORT, TINY = 1.0, 0.01, 1e-5
LENGTHS = ((1, SHORT), (2, LONG))
"""Expected seconds: of a long job, of a short one, and of one for the event loop."""


class Network:
    """Says which rows came together; a row's number is its result."""

    def __init__(self, gate: threading.Event | None = None) -> None:
        self.gate = gate
        self.batches: list[list[int]] = []

    def __call__(self, rows: Tensor) -> tuple[Tensor]:
        if self.gate is not None:
            self.gate.wait(5)
        self.batches.append(rows[:, 0].int().tolist())
        if (rows < 0).any():
            raise ValueError("a negative row")
        return (rows,)


def through(network: Network, rows: Tensor) -> tuple[Tensor]:
    return network(rows)


def work(network: Network, number: int, passes: int = 1, rows: int = 1) -> Steps[int]:
    """Passes of rows of a number; the value is the number that the last one gave."""
    value = number
    for _ in range(passes):
        (found,) = yield Pass(through, (network,), (torch.full((rows, 2), float(number)),))
        value = int(found[0, 0])
    return value


@asynccontextmanager
async def running(**limits: Any) -> AsyncIterator[Scheduler]:
    scheduler = Scheduler(**{"max_wait": 1000.0, "max_requests": 100, **limits})
    scheduler.times.rows_within = lambda asked, seconds: 32  # type: ignore[method-assign]
    scheduler.start()
    try:
        yield scheduler
    finally:
        scheduler.stop()


def run(
    scheduler: Scheduler, steps: Steps[Any], network: Any, seconds: float, **options: Any
) -> asyncio.Task[Any]:
    """Start a job that is expected to take so many seconds."""
    scheduler.times.expected_job = lambda model, kind, cost: cost  # type: ignore[method-assign]
    options = {"model": network, "kind": "work", "cost": seconds, "row_cost": 1e-6, **options}
    return asyncio.create_task(scheduler.run(steps, **options))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)
