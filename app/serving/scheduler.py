"""The compute thread and its bounded queue: jobs run in chunks, by turns.

A job is a generator that yields between chunks. The event loop never computes; the thread never
touches a socket.

The first chunks of new jobs alternate with the later chunks of running ones, so that a short
request does not wait behind a long one. A job whose caller left is dropped before its next chunk.
Each job has a future of its own.
"""

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from app.errors import ModelNotReady, QueueFull
from models.estimators.steps import Steps

T = TypeVar("T")

MAX_RETRY_AFTER_SECONDS = 60


@dataclass
class Timing:
    """Seconds that a job waited and computed."""

    queue_seconds: float = 0.0
    compute_seconds: float = 0.0


@dataclass(eq=False)
class _Job(Generic[T]):
    steps: Steps[T]
    cost: float
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[T]"
    timing: Timing
    admitted_at: float = field(default_factory=time.perf_counter)
    started: bool = False
    abandoned: bool = False


class Scheduler:
    """Runs jobs on one compute thread."""

    def __init__(self, *, max_cost: float, max_requests: int) -> None:
        """Prepare the queue; `start` starts the thread.

        Args:
            max_cost: Limit of the cost units of all jobs together.
            max_requests: Limit of jobs.
        """
        self.max_cost = max_cost
        self.max_requests = max_requests
        self._condition = threading.Condition()
        self._fresh: deque[_Job[Any]] = deque()
        self._begun: deque[_Job[Any]] = deque()
        self._cost = 0.0
        self._jobs = 0
        self._cost_per_second = 0.0
        self._stopping = False
        self._take_fresh = True
        self._thread: threading.Thread | None = None

    @property
    def cost(self) -> float:
        """Cost units of the jobs that wait or run."""
        return self._cost

    @property
    def jobs(self) -> int:
        """Jobs that wait or run."""
        return self._jobs

    def start(self) -> None:
        """Start the compute thread."""
        self._thread = threading.Thread(target=self._work, name="compute", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop after the running chunk; jobs that are left fail with ModelNotReady."""
        with self._condition:
            self._stopping = True
            left = [*self._fresh, *self._begun]
            self._fresh.clear()
            self._begun.clear()
            self._condition.notify()
        if self._thread is not None:
            self._thread.join()
        for job in left:
            self._finish(job, error=_stopping())

    async def run(self, steps: Steps[T], *, cost: float, timing: Timing | None = None) -> T:
        """Run a job and return its value; cancelling the call drops the chunks that are left.

        Args:
            steps: The job's chunks.
            cost: Its cost units.
            timing: Filled in with the seconds of queue and compute.

        Raises:
            QueueFull: The queue has no room for the job.
            ModelNotReady: The server is shutting down.
        """
        job = self._admit(steps, cost, timing if timing is not None else Timing())
        try:
            return await job.future
        finally:
            self._abandon(job)

    def _admit(self, steps: Steps[T], cost: float, timing: Timing) -> _Job[T]:
        loop = asyncio.get_running_loop()
        job = _Job(steps, cost, loop, loop.create_future(), timing)
        with self._condition:
            if self._stopping:
                raise _stopping()
            if self._jobs and (
                self._cost + cost > self.max_cost or self._jobs >= self.max_requests
            ):
                raise self._full()
            self._cost += cost
            self._jobs += 1
            self._fresh.append(job)
            self._condition.notify()
        return job

    def _full(self) -> QueueFull:
        seconds = self._cost / self._cost_per_second if self._cost_per_second else 1.0
        wait = min(max(math.ceil(seconds), 1), MAX_RETRY_AFTER_SECONDS)
        return QueueFull(
            f"The queue is full: {self._jobs} of {self.max_requests} requests "
            f"(VAE_MAX_QUEUE_REQUESTS), {self._cost:g} of {self.max_cost:g} cost units "
            f"(VAE_MAX_QUEUE_COST). Retry in {wait} s.",
            headers={"Retry-After": str(wait)},
            limit=self.max_cost,
        )

    def _abandon(self, job: _Job[Any]) -> None:
        """Drop a job whose caller no longer waits; its running chunk ends first."""
        with self._condition:
            job.abandoned = True
            for queue in (self._fresh, self._begun):
                if job in queue:
                    queue.remove(job)
                    self._release(job)
                    return

    # On the compute thread -------------------------------------------------------------------

    def _work(self) -> None:
        while (job := self._next()) is not None:
            started_at = time.perf_counter()
            if not job.started:
                job.started = True
                job.timing.queue_seconds = started_at - job.admitted_at
            try:
                next(job.steps)
            except StopIteration as stop:
                self._spent(job, started_at)
                self._finish(job, value=stop.value)
            except Exception as error:
                self._finish(job, error=error)
            else:
                self._spent(job, started_at)
                self._put_back(job)

    def _next(self) -> _Job[Any] | None:
        """The next job, new and running ones by turns; None to stop."""
        with self._condition:
            while not (self._fresh or self._begun or self._stopping):
                self._condition.wait()
            if self._stopping:
                return None
            from_fresh = bool(self._fresh) and (self._take_fresh or not self._begun)
            self._take_fresh = not from_fresh
            return (self._fresh if from_fresh else self._begun).popleft()

    def _put_back(self, job: _Job[Any]) -> None:
        """Queue a job's next chunk, unless its caller left or the scheduler is stopping."""
        with self._condition:
            if job.abandoned:
                self._release(job)
                return
            if not self._stopping:
                self._begun.append(job)
                return
        self._finish(job, error=_stopping())

    def _spent(self, job: _Job[Any], started_at: float) -> None:
        job.timing.compute_seconds += time.perf_counter() - started_at

    def _finish(self, job: _Job[Any], *, value: Any = None, error: Exception | None = None) -> None:
        """Free the job's place in the queue and set its future."""
        with self._condition:
            self._release(job)
            if error is None and job.timing.compute_seconds > 0:
                measured = job.cost / job.timing.compute_seconds
                previous = self._cost_per_second or measured
                self._cost_per_second = 0.9 * previous + 0.1 * measured
        set_result: Callable[[], None] = lambda: _answer(job.future, value, error)  # noqa: E731
        if not job.loop.is_closed():
            job.loop.call_soon_threadsafe(set_result)

    def _release(self, job: _Job[Any]) -> None:
        self._cost -= job.cost
        self._jobs -= 1
        if self._jobs == 0:
            self._cost = 0.0  # sums of floats drift


def _stopping() -> ModelNotReady:
    return ModelNotReady(
        "The server is shutting down and accepts no new requests. Retry in a second.",
        headers={"Retry-After": "1"},
    )


def _answer(future: "asyncio.Future[T]", value: T, error: Exception | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(value)
