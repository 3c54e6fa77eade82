"""The compute lane: a thread that runs passes in chunks, those of several requests together.

Short jobs go first, so that they wait for one chunk at most; long ones keep a share of the time. Of
two long jobs the shorter goes first, but no job is overtaken by those that come much later.
"""

import queue
import threading
from collections.abc import Callable
from typing import Any

import torch

from app.serving.chunk import OnChunk, run_chunk
from app.serving.job import Job
from app.serving.pass_times import PassTimes
from models.cpus import usable_cpus

CHUNK_SECONDS = 0.008
"""Aim of one chunk: what a short job may have to wait. Shorter ones cost throughput: mnist decodes
1,000 rows in 208 ms by 100 rows, in 229 ms by 50."""
SHORT_TURN_SECONDS = 0.05
"""After so much compute of short jobs, a waiting long job has a chunk."""


class ComputeLane:
    """The thread; `put` gives it jobs, and `settle` is called with those that have finished."""

    def __init__(
        self,
        times: PassTimes,
        settle: Callable[[list[Job[Any]]], None],
        on_chunk: OnChunk,
        threads: int | None,
        chunk_seconds: float = CHUNK_SECONDS,
    ) -> None:
        """Prepare the thread.

        Args:
            times: Measured times of passes.
            settle: Called on the thread with finished jobs.
            on_chunk: Called after each chunk.
            threads: Threads of one of torch's operators here; torch's own number if None. Passes of
                several requests leave a processor to the event loop.
            chunk_seconds: Aim of one chunk.
        """
        self._chunk_seconds = chunk_seconds
        self._threads = threads or torch.get_num_threads()
        self._shared_threads = max(1, min(self._threads, usable_cpus() - 1))
        self._times, self._settle, self._on_chunk = times, settle, on_chunk
        self._new: queue.SimpleQueue[Job[Any] | None] = queue.SimpleQueue()
        self._short: list[Job[Any]] = []
        self._long: list[Job[Any]] = []
        self._short_turn = 0.0
        """Seconds of short jobs since a long one had a chunk."""
        self._thread = threading.Thread(target=self._work, name="compute", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the running chunk; what is left is not settled."""
        self._new.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def put(self, job: Job[Any]) -> None:
        """Give the thread a job, started or not."""
        self._new.put(job)

    # On the thread ---------------------------------------------------------------------------

    def _work(self) -> None:
        while self._take_new():
            self._run_next()

    def _run_next(self) -> None:
        """Run a chunk. What it knows ends with it: an idle thread holds no job and no model."""
        self._drop_abandoned()
        first = self._first()
        if first is not None:
            self._run(self._chunk(first))

    def _take_new(self) -> bool:
        """Take the jobs that came, waiting for one where there is none; False to stop."""
        while True:
            try:
                job = self._new.get(block=not (self._short or self._long))
            except queue.Empty:
                return True
            if job is None:
                return False
            (self._short if job.is_short else self._long).append(job)
            if job.is_short:  # so that its pass is known, and others may share it
                self._begin(job)
            del job  # the next one may be long in coming

    def _drop_abandoned(self) -> None:
        for jobs in (self._short, self._long):
            for job in [job for job in jobs if job.abandoned]:
                jobs.remove(job)
                job.steps.close()

    def _first(self) -> Job[Any] | None:
        """The job that is next in line, begun; None where none waits for a pass."""
        late = self._long and self._short_turn >= SHORT_TURN_SECONDS
        if self._short and not late:
            return self._short[0]
        if not self._long:
            return None
        self._short_turn = 0.0
        job = min(self._long, key=lambda job: job.rank)
        if not job.started:
            if job.is_hopeless:
                job.fail(TimeoutError())
            self._begin(job)
        return None if job.finished else job

    def _begin(self, job: Job[Any]) -> None:
        """Run a job up to its first pass."""
        if not (job.started or job.finished):
            job.start()
        if job.finished:
            self._finish([job])

    def _chunk(self, first: Job[Any]) -> list[Job[Any]]:
        """The jobs whose next parts run together now: the first in line, and others like it."""
        part = first.next_part(self._times, self._chunk_seconds)
        room = self._times.rows_within(part, self._chunk_seconds) - part.num_rows
        chunk, key = [first], part.key
        for job in (*self._short, *self._long):
            if room <= 0:
                break
            if job is first or not job.started:
                continue
            other = job.next_part(self._times, self._chunk_seconds)
            if other.num_rows <= room and other.key == key:
                room -= other.num_rows
                chunk.append(job)
        return chunk

    def _run(self, chunk: list[Job[Any]]) -> None:
        parts = [job.next_part(self._times, self._chunk_seconds) for job in chunk]
        # Where many ask, the event loop needs a processor of its own. Of this thread alone.
        torch.set_num_threads(self._threads if len(chunk) == 1 else self._shared_threads)
        seconds = run_chunk(chunk, parts, self._times, self._on_chunk)
        if chunk[0].is_short:
            self._short_turn += seconds
        self._finish([job for job in chunk if job.finished])

    def _finish(self, jobs: list[Job[Any]]) -> None:
        for job in jobs:
            (self._short if job.is_short else self._long).remove(job)
        if jobs:
            self._settle(jobs)
