"""The engine: admits requests by the wait that they would have, and runs them in two lanes.

What takes less than a millisecond runs on the event loop, between its turns, without a hand-over:
the passes of all requests that came in the same turn run together. Everything longer runs on the
compute lane, a thread of its own (`lane.py`). Both share passes among requests (`batching.py`).
"""

import asyncio
import math
import time
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from app.errors import ModelNotReady, QueueFull, Reason
from app.serving.chunk import OnChunk, run_chunk
from app.serving.job import PATIENCE, SHORT_SECONDS, Job, Timing
from app.serving.lane import CHUNK_SECONDS, ComputeLane
from app.serving.pass_times import PassTimes
from models.estimators.steps import Pass, Steps
from models.vae.networks import MIN_ROWS

T = TypeVar("T")

INLINE_SECONDS = 1e-3
"""Longest pass of one request on the event loop."""
INLINE_TURN_SECONDS = 5e-3
"""Longest pass of several; a longer one goes to the compute lane. Reading and answering as many
requests takes the event loop longer."""
INLINE_SECONDS_PER_UNIT = 1e-4
"""Time of a cost unit, a million multiply-accumulates, on the event loop. A constant and no
measurement: on the compute lane passes also wait for the interpreter, and would never come back."""
DEADLINE_SHARE = 0.9
"""Share of its deadline within which a job is expected to end, if it is admitted: where all are
admitted that just fit, every second one is late by what the expectation was wrong."""
MAX_RETRY_AFTER_SECONDS = 60


class Scheduler:
    """Admits jobs and runs them. All methods are called on the event loop."""

    def __init__(
        self,
        *,
        max_wait: float,
        max_requests: int,
        threads: int | None = None,
        on_chunk: OnChunk = lambda asked, requests, rows: None,
        chunk_seconds: float = CHUNK_SECONDS,
    ) -> None:
        """Prepare the lanes; `start` starts the compute thread.

        Args:
            max_wait: Longest wait, in seconds, that is expected of an admitted request.
            max_requests: Limit of jobs.
            threads: Threads of one of torch's operators on the compute lane; torch's own number if
                None. On the event loop it is one: a second costs more than it gains there.
            on_chunk: Called after each call of a network, on whatever thread.
            chunk_seconds: Aim of one chunk of the compute lane.
        """
        self.max_wait = max_wait
        self.max_requests = max_requests
        self.times = PassTimes()
        self._on_chunk = on_chunk
        self._jobs: set[Job[Any]] = set()
        self._cost = 0.0
        self._expected = 0.0
        self._expected_short = 0.0
        self._inline: list[Job[Any]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lane = ComputeLane(self.times, self._settle_soon, on_chunk, threads, chunk_seconds)
        self._stopping = False
        self._threads_before = 1

    @property
    def cost(self) -> float:
        """Cost units of the jobs that wait or run."""
        return self._cost

    @property
    def jobs(self) -> int:
        """Jobs that wait or run."""
        return len(self._jobs)

    def start(self) -> None:
        """Start the compute thread."""
        self._threads_before = torch.get_num_threads()
        torch.set_num_threads(1)  # of the event loop's thread alone
        self._lane.start()

    def stop(self) -> None:
        """Stop after the running chunk; jobs that are left fail with ModelNotReady."""
        self._stopping = True
        self._lane.stop()
        torch.set_num_threads(self._threads_before)
        for job in list(self._jobs):
            job.fail(_stopping())
            job.settle()

    def admit(
        self,
        steps: Steps[T],
        *,
        model: Any,
        kind: str,
        cost: float,
        row_cost: float,
        timing: Timing,
        deadline: float = math.inf,
        on_lane: Callable[[Job[T]], None] | None = None,
    ) -> Job[T]:
        """Begin a job, whose future gives the value; `leave` must be called once it has.

        Args:
            steps: The job's passes.
            model: The network.
            kind: The operation: how long it will take is known from others of the model and kind.
            cost: Its cost units.
            row_cost: Cost units of one row of a pass.
            timing: Filled in with the seconds of queue and compute.
            deadline: Seconds within which the caller wants the value.
            on_lane: Called where the job is left to the compute lane, at once or later: from then
                on the caller sees to its deadline, and whether anybody waits for it. A job on the
                event loop that is late ends with a TimeoutError.

        Raises:
            QueueFull: The job would wait too long.
            ModelNotReady: The server is shutting down.
        """
        expected = self.times.expected_job(model, kind, cost)
        self._check_room(expected, deadline)
        loop = self._loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        job = Job(steps, future, timing, model, kind, cost, row_cost, expected, deadline, on_lane)
        self._jobs.add(job)
        self._cost += cost
        self._expected += expected
        if job.is_short:
            self._expected_short += expected
        if not (expected <= INLINE_TURN_SECONDS and self._begin_inline(job, loop)):
            self._leave_to_lane(job)
        return job

    def _leave_to_lane(self, job: Job[Any]) -> None:
        if job.on_lane is not None:
            job.on_lane(job)
        self._lane.put(job)

    def leave(self, job: Job[Any]) -> None:
        """Forget a job that has ended, or drop what is left of it: nobody waits any more."""
        job.abandoned = True
        self._jobs.discard(job)
        if not self._jobs:
            self._cost = self._expected = self._expected_short = 0.0  # sums of floats drift
            return
        self._cost -= job.cost
        self._expected -= job.expected
        if job.is_short:
            self._expected_short -= job.expected

    async def run(self, steps: Steps[T], **options: Any) -> T:
        """Run a job to its end and return its value; `admit` explains the options."""
        job = self.admit(steps, **{"timing": Timing(), **options})
        try:
            value: T = await job.future
            return value
        finally:
            self.leave(job)

    # Admission -------------------------------------------------------------------------------

    def check_open(self) -> None:
        """Refuse a request of which nothing is known yet, where any request would be refused.

        Raises:
            QueueFull: There are too many requests, or too many short ones.
            ModelNotReady: The server is shutting down.
        """
        if self._stopping:
            raise _stopping()
        jobs = len(self._jobs)
        if jobs >= self.max_requests:
            waiting = f"{jobs} requests wait or compute"
            raise self._full(waiting, self._expected, "queue")
        if self._expected_short > self.max_wait:
            self._check_wait(0.0, self.max_wait)

    def _check_room(self, expected: float, deadline: float) -> None:
        self.check_open()
        in_time = DEADLINE_SHARE * deadline - expected
        if self._expected > self.max_wait or self._expected > in_time:
            self._check_wait(expected, min(self.max_wait, max(in_time, 0.0)))

    def _check_wait(self, expected: float, limit: float) -> None:
        wait = self.expected_wait(expected)
        if wait > limit:
            why = f"the expected wait is {wait:.1f} s of at most {limit:.3g} s"
            raise self._full(why, wait, "busy" if limit == self.max_wait else "deadline")

    def expected_wait(self, expected: float) -> float:
        """Seconds until a new job of so many expected seconds would begin."""
        if expected <= SHORT_SECONDS:
            return sum(job.remaining for job in self._jobs if job.is_short)
        rank = time.perf_counter() + PATIENCE * expected
        return sum(job.remaining for job in self._jobs if job.is_short or job.rank <= rank)

    def _full(self, why: str, wait: float, reason: Reason) -> QueueFull:
        retry = min(max(math.ceil(wait - self.max_wait), 1), MAX_RETRY_AFTER_SECONDS)
        return QueueFull(
            f"The server is busy: {why} (VAE_MAX_WAIT_SECONDS, VAE_MAX_QUEUE_REQUESTS). Retry in "
            f"{retry} s.",
            headers={"Retry-After": str(retry)},
            reason=reason,
            limit=self.max_wait,
        )

    # The inline lane -------------------------------------------------------------------------

    def _begin_inline(self, job: Job[Any], loop: asyncio.AbstractEventLoop) -> bool:
        """Run a job up to its first pass; whether the pass is short enough for the loop."""
        job.start()
        if job.finished:
            self._settle([job])
            return True
        rows = job.next_part(self.times, INLINE_TURN_SECONDS).num_rows
        if _inline_seconds(job, rows) > INLINE_SECONDS:
            return False
        if not self._inline:
            loop.call_soon(self._flush)
        self._inline.append(job)
        return True

    def _flush(self) -> None:
        """Run the passes of the jobs that came in this turn, those of one kind together."""
        jobs, self._inline = self._inline, []
        while jobs:
            kinds: dict[Any, list[tuple[Job[Any], Pass]]] = {}
            for job in jobs:
                if job.is_late:
                    job.fail(TimeoutError())
                    job.settle()
                elif not job.abandoned:
                    part = job.next_part(self.times, INLINE_TURN_SECONDS)
                    kinds.setdefault(part.key, []).append((job, part))
            jobs = [job for kind in kinds.values() for job in self._run_inline(kind)]

    def _run_inline(self, kind: list[tuple[Job[Any], Pass]]) -> list[Job[Any]]:
        """Run the passes of one kind; the jobs that have another pass to run here."""
        jobs, parts = zip(*kind, strict=True)
        if _inline_seconds(jobs[0], sum(part.num_rows for part in parts)) > INLINE_TURN_SECONDS:
            for job in jobs:
                self._leave_to_lane(job)
            return []
        run_chunk(jobs, parts, self.times, self._on_chunk)
        self._settle([job for job in jobs if job.finished])
        return [job for job in jobs if not job.finished]

    # The end of jobs -------------------------------------------------------------------------

    def _settle_soon(self, jobs: list[Job[Any]]) -> None:
        """Settle jobs on the event loop; called on the compute thread."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._settle, jobs)

    def _settle(self, jobs: list[Job[Any]]) -> None:
        told: tuple[str, float] | None = None
        for job in jobs:  # of those that ran together and cost as much, the first speaks for all
            if job.error is None and job.cost > 0 and (job.kind, job.cost) != told:
                told = job.kind, job.cost
                self.times.add_job(job.model, job.kind, job.cost, job.spent)
            job.settle()


def _inline_seconds(job: Job[Any], rows: int) -> float:
    """Estimated seconds of a pass of so many rows, which are padded, on the event loop."""
    return max(rows, MIN_ROWS) * job.row_cost * INLINE_SECONDS_PER_UNIT


def _stopping() -> ModelNotReady:
    return ModelNotReady(
        "The server is shutting down and accepts no new requests. Retry in a second.",
        headers={"Retry-After": "1"},
        reason="draining",
    )
