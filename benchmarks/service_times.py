"""Service times of an ELBO of one picture: of each pass in this process, and of a whole request.

The engine's own functions run jobs together here, so that the time of a pass is known by its rows,
and that of each job between its passes. A server's Server-Timing gives the level and the spread.
"""

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from app.compute.inputs import Inputs
from app.compute.request import ComputeRequest
from app.compute.table import compute
from app.operations.parameters import ElboParameters
from app.operations.table import OPERATIONS
from app.serving.chunk import run_chunk
from app.serving.job import Job, Timing
from app.serving.lane import CHUNK_SECONDS
from app.serving.pass_times import PassTimes, least_rows
from app.serving.served_model import ServedModel
from benchmarks.queue_model import Curve, Machine, Work, simulate
from benchmarks.servers import Connection, Exchange, Server

TOGETHER = (1, 2, 4, 8, 16)
"""Jobs that run together."""
FITS, NEIGHBOURS = 4, 9
"""Simulations that find the slowness of requests, and how many that share chunks have one."""


def time_passes(served: ServedModel, x: np.ndarray, *, num_samples: int, rounds: int) -> Work:
    """Run jobs together to their end, in this process; `x` is one observation, (1, C, H, W)."""
    operation = OPERATIONS["elbo"]
    parameters = ElboParameters(num_samples=num_samples)
    loop, times = asyncio.new_event_loop(), PassTimes()

    def job(seed: int) -> Job[Any]:
        steps = compute(ComputeRequest(operation, served, parameters, seed, inputs=Inputs(x)))
        made = Job(steps, loop.create_future(), Timing(), served.vae, "elbo", 1.0, 1.0, 1.0)
        made.start()
        return made

    passes: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    gaps: dict[int, list[float]] = defaultdict(list)
    least: dict[str, int] = {}
    parts: list[tuple[str, int]] = []
    for _ in range(rounds):
        for count in TOGETHER:
            jobs, done = [job(seed) for seed in range(count)], list[tuple[str, int]]()
            while not jobs[0].finished:
                asked = [one.next_part(times, CHUNK_SECONDS) for one in jobs]
                kind, rows = asked[0].function.__name__, asked[0].num_rows
                least[kind] = least_rows(asked[0])
                began_at = time.perf_counter()
                seconds = run_chunk(jobs, asked, times, lambda *told: None)
                gap = (time.perf_counter() - began_at - seconds) / count
                passes[kind][rows * count].append(seconds)
                if count == 1:
                    gaps[len(done)].append(gap)
                done.append((kind, rows))
            if count == 1:
                parts = done
    loop.close()
    curves = {kind: _curve(found, least[kind]) for kind, found in passes.items()}
    return Work(tuple(parts), curves, tuple(float(np.median(gaps[i])) for i in range(len(parts))))


def _curve(found: dict[int, list[float]], least: int) -> Curve:
    """Medians by rows; more rows never take less."""
    rows = sorted(found)
    seconds = np.maximum.accumulate([float(np.median(found[count])) for count in rows])
    return Curve(tuple(rows), tuple(seconds.tolist()), least)


def at_the_level_of(work: Work, asked: np.ndarray) -> Work:
    """The work with the level and the spread of a server's times.

    Args:
        work: Times of passes in this process.
        asked: Seconds of whole requests and of their compute, (requests, 2).
    """
    whole, lane = asked.T
    middle = float(np.median(lane))
    scale = middle / work.seconds
    return replace(
        work,
        curves={
            kind: replace(curve, seconds=tuple(scale * s for s in curve.seconds))
            for kind, curve in work.curves.items()
        },
        gaps=tuple(scale * gap for gap in work.gaps),
        loop_seconds=max(0.0, float(np.median(whole - lane))),
        noise=tuple((lane / middle).tolist()),
    )


def ask_for(servers: Sequence[Server], exchange: Exchange, seconds: float) -> list[np.ndarray]:
    """Ask servers at once, each over one connection for so long.

    Returns:
        Of each server, seconds of whole requests and of their compute, (requests, 2); the first
        fifth is left out.
    """
    found: list[np.ndarray] = [np.empty((0, 2))] * len(servers)

    def ask(index: int) -> None:
        rows, ends_at = [], time.perf_counter() + seconds
        with Connection(servers[index].port) as connection:
            while (began_at := time.perf_counter()) < ends_at:
                status, body = connection.ask(exchange.wire())
                if status != 200:
                    raise RuntimeError(f"Answered {status}: {body[:300]!r}")
                whole = time.perf_counter() - began_at
                rows.append((whole, connection.phase_seconds("compute")))
        found[index] = np.array(rows[len(rows) // 5 :])

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(servers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def slowness_of(
    work: Work, times: np.ndarray, computed: np.ndarray, *, replicas: int, machine: Machine
) -> np.ndarray:
    """How much slower each request was served than the work says, by what the servers say.

    A processor that others use too changes its speed within seconds. Requests that share chunks are
    told the time of the whole chunks, so the simulation has to say who shared.

    Args:
        work: What each costs.
        times: When they arrived.
        computed: Their seconds of compute in Server-Timing; NaN where refused.
        replicas: Number of replicas.
        machine: When they refuse.
    """
    slowness = np.ones(len(times))
    for seed in range(FITS):
        found = simulate(
            work,
            times,
            replicas=replicas,
            routing="connections",
            machine=machine,
            seed=seed,
            slowness=slowness,
        )
        ratio = computed / found.compute
        known = np.flatnonzero(np.isfinite(ratio))
        ratio = np.interp(np.arange(len(times)), known, ratio[known])
        slowness = slowness * (_running_median(ratio, NEIGHBOURS) if work.is_shared else ratio)
    return slowness


def _running_median(values: np.ndarray, count: int) -> np.ndarray:
    """Of each value and its neighbours, so many in all."""
    padded = np.pad(values, count // 2, mode="edge")
    found: np.ndarray = np.median(np.lib.stride_tricks.sliding_window_view(padded, count), axis=1)
    return found
