"""One request's work in the engine: its steps, the pass that it waits for, its place in line."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from app.serving.batching import Outcome
from app.serving.pass_times import PassTimes, least_rows
from models.estimators.steps import Pass, Steps

T = TypeVar("T")

SHORT_SECONDS = 0.025
"""A job of at most so much compute is short."""
PATIENCE = 4.0
"""A long job is overtaken by shorter ones that come within so many times its own time after it."""


class Timing:
    """Seconds that a request waited for its first pass, and computed."""

    queue_seconds: float = 0.0
    compute_seconds: float = 0.0
    chunks: int = 0
    """Calls of a network that it took part in."""
    batch_requests: int = 0
    """Most requests that shared one of them."""


@dataclass(eq=False)
class Job(Generic[T]):
    """One request's work. What has no argument begins as the class says, which costs nothing."""

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
    deadline: float = math.inf
    """Seconds after `admitted_at` from which on nobody wants the value."""
    on_lane: "Callable[[Job[T]], None] | None" = None
    """Called on the event loop when the job is left to the compute lane."""
    admitted_at: float = field(default_factory=time.perf_counter, init=False)
    is_short: bool = field(default=False, init=False)
    """Whether it goes before long jobs."""
    started: bool = field(default=False, init=False)
    abandoned: bool = field(default=False, init=False)
    """Nobody waits for it any more."""
    spent: float = field(default=0.0, init=False)
    """Seconds of compute so far, between passes too; of a shared pass, its part by rows."""
    finished: bool = field(default=False, init=False)
    value: T | None = field(default=None, init=False)
    error: Exception | None = field(default=None, init=False)
    _asked: Pass | None = field(default=None, init=False)
    _part: Pass | None = field(default=None, init=False)
    """The part of `_asked` that is next; None before the first, and once all have run."""
    _rest: deque[Pass] | None = field(default=None, init=False)
    """The parts after it."""
    _results: list[tuple[Any, ...]] | None = field(default=None, init=False)
    """Results of the parts before it, where there are several."""

    def __post_init__(self) -> None:
        """See how long it is."""
        self.is_short = self.expected <= SHORT_SECONDS

    @property
    def rank(self) -> float:
        """Place in line among long jobs: the smallest goes first."""
        return self.admitted_at + PATIENCE * self.expected

    @property
    def remaining(self) -> float:
        """Expected seconds of compute that are left."""
        return max(self.expected - self.spent, 0.0)

    @property
    def is_late(self) -> bool:
        """Whether its deadline has passed."""
        return time.perf_counter() - self.admitted_at > self.deadline

    @property
    def is_hopeless(self) -> bool:
        """Whether it could have met its deadline once, and cannot any more."""
        waited = time.perf_counter() - self.admitted_at
        return self.expected <= self.deadline < waited + self.remaining

    def start(self) -> None:
        """Run up to the first pass."""
        self.started = True
        started_at = time.perf_counter()
        self._send(None)
        self.spent = time.perf_counter() - started_at

    def next_part(self, times: PassTimes, seconds: float) -> Pass:
        """The pass to run next, cut to about so many seconds."""
        if self._part is None:
            asked = self._asked
            assert asked is not None  # it is set until the job has finished
            self._part = asked
            if asked.num_rows > 1 and asked.num_rows > least_rows(asked):
                self._part, *rest = asked.split(times.rows_within(asked, seconds))
                self._rest = deque(rest) if rest else None
        return self._part

    def take(
        self, outcome: Outcome, started_at: float, seconds: float, *, requests: int = 1
    ) -> None:
        """Take the outcome of `next_part`, and run up to the pass after it.

        Args:
            outcome: The results or the failure.
            started_at: When the pass began.
            seconds: How long it took; of a shared pass, the job's part by its rows.
            requests: How many shared it.
        """
        timing = self.timing
        if not timing.chunks:
            timing.queue_seconds = started_at - self.admitted_at
        timing.chunks += 1
        if requests > timing.batch_requests:
            timing.batch_requests = requests
        began_at = time.perf_counter()
        if isinstance(outcome, Exception):
            self.fail(outcome)
        elif self._rest is None and self._results is None:
            self._part = None
            self._send(outcome)
        else:
            self._take_part(outcome)
        ended_at = time.perf_counter()
        self.spent += seconds + ended_at - began_at
        timing.compute_seconds += ended_at - started_at

    def _take_part(self, outcome: tuple[Any, ...]) -> None:
        """Keep the outcome of a part, and run up to the next pass after the last one."""
        asked, results = self._asked, self._results or []
        assert asked is not None
        results.append(outcome)
        if self._rest:
            self._part, self._results = self._rest.popleft(), results
            return
        self._part = self._rest = self._results = None
        try:
            joined = asked.join(results)
        except Exception as error:  # such as too little memory for the whole
            self.fail(error)
        else:
            self._send(joined)

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
