"""A chunk: one call of a network for the next parts of several jobs, on whatever lane."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from app.serving.batching import run_together
from app.serving.job import Job
from app.serving.pass_times import PassTimes
from models.estimators.steps import Pass

OnChunk = Callable[[Pass, int, int], None]
"""Told one of the passes of a chunk, the number of requests and the number of rows."""


def run_chunk(
    jobs: Sequence[Job[Any]], parts: Sequence[Pass], times: PassTimes, on_chunk: OnChunk
) -> float:
    """Run the next parts of jobs together, and each job up to its next pass; the pass's seconds.

    Whatever fails, each job goes on or has ended: nobody waits for ever.
    """
    started_at = time.perf_counter()
    try:
        rows = [part.num_rows for part in parts]
        total = sum(rows)
        outcomes = run_together(parts)
        seconds = time.perf_counter() - started_at
        times.add(parts[0], total, seconds)
        on_chunk(parts[0], len(jobs), total)
    except Exception as error:  # a fault of the engine itself
        for job in jobs:
            job.fail(error)
        return time.perf_counter() - started_at
    each, requests = seconds / total, len(jobs)
    for job, outcome, count in zip(jobs, outcomes, rows, strict=True):
        job.take(outcome, started_at, each * count, requests=requests)
    return seconds
