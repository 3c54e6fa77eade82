"""One request's work in the engine: its steps, the pass that it waits for, its place in line."""

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from app.serving.batching import Outcome
from app.serving.pass_times import PassTimes
from models.estimators.steps import Pass, Steps

T = TypeVar("T")

SHORT_SECONDS = 0.025
"""A job of at most so much compute is short."""
PATIENCE = 4.0
"""A long job is overtaken by shorter ones that come within so many times its own time after it."""


@dataclass(slots=True)
class Timing:
    """Seconds that a request waited for its first pass, and computed."""

    queue_seconds: float = 0.0
    compute_seconds: float = 0.0
    chunks: int = 0
    """Calls of a network that it took part in."""
    batch_requests: int = 0
    """Most requests that shared one of them."""


@dataclass(eq=False, slots=True)
class Job(Generic[T]):
    """One request's work."""

    steps: Steps[T]
    future: "asyncio.Future[T]"
    timing: Timing
    model: Any
    kind: str
    """The operation: its jobs of one model and cost take about as long."""
    cost: float
    row_cost: float
    """Cost units of one row of a pass."""
    expected: float
    """Expected seconds of compute."""
    admitted_at: float = field(default_factory=time.perf_counter)
    started: bool = False
    inline: bool = False
    """Whether it began on the event loop."""
    abandoned: bool = False
    """Nobody waits for it any more."""
    spent: float = 0.0
    """Seconds of compute so far; of a shared pass, its part by rows."""
    finished: bool = False
    value: T | None = None
    error: Exception | None = None
    _asked: Pass | None = None
    _parts: deque[Pass] = field(default_factory=deque)
    _results: list[tuple[Any, ...]] = field(default_factory=list)

    @property
    def is_short(self) -> bool:
        """Whether it goes before long jobs."""
        return self.expected <= SHORT_SECONDS

    @property
    def rank(self) -> float:
        """Place in line among long jobs: the smallest goes first."""
        return self.admitted_at + PATIENCE * self.expected

    @property
    def remaining(self) -> float:
        """Expected seconds of compute that are left."""
        return max(self.expected - self.spent, 0.0)

    def start(self) -> None:
        """Run up to the first pass."""
        self.started = True
        started_at = time.perf_counter()
        self._send(None)
        self.spent += time.perf_counter() - started_at

    def next_part(self, times: PassTimes, seconds: float) -> Pass:
        """The pass to run next, cut to about so many seconds."""
        assert self._asked is not None  # it is set until the job has finished
        if not self._parts:
            self._parts.extend(self._asked.split(times.rows_within(self._asked, seconds)))
        return self._parts[0]

    def take(
        self,
        outcome: Outcome,
        *,
        started_at: float,
        seconds: float,
        share: float,
        requests: int = 1,
    ) -> None:
        """Take the outcome of `next_part`, and run up to the pass after it.

        Args:
            outcome: The results or the failure.
            started_at: When the pass began.
            seconds: How long it took.
            share: The job's part of its rows.
            requests: How many shared it.
        """
        timing = self.timing
        if not timing.compute_seconds:
            timing.queue_seconds = started_at - self.admitted_at
        timing.chunks += 1
        timing.batch_requests = max(timing.batch_requests, requests)
        self.spent += seconds * share
        if isinstance(outcome, Exception):
            self.fail(outcome)
        else:
            self._parts.popleft()
            self._results.append(outcome)
        if not (self._parts or self.finished):
            asked, self._results, results = self._asked, [], self._results
            assert asked is not None
            try:
                joined = asked.join(results)
            except Exception as error:  # such as too little memory for the whole
                self.fail(error)
            else:
                self._send(joined)
        timing.compute_seconds += time.perf_counter() - started_at

    def fail(self, error: Exception) -> None:
        """End with an error."""
        self.steps.close()
        self.error, self.finished = error, True

    def settle(self) -> None:
        """Give whoever waits the value or the error; on the event loop."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.value)  # type: ignore[arg-type]

    def _send(self, results: tuple[Any, ...] | None) -> None:
        try:
            self._asked = self.steps.send(results)  # type: ignore[arg-type]
        except StopIteration as stop:
            self.value, self.finished = stop.value, True
        except Exception as error:  # a fault of this request, whatever it is
            self.error, self.finished = error, True
