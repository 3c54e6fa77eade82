"""Scaling: what operations cost, and how many replicas a load needs, by measurement and simulation.

The simulation (`queue_model.py`) takes service times that are measured first, and is held against
the service under the same arrivals at one and two replicas, which share the cores with the load
generator. There it is also given the compute time that each answer reports, as the speed of shared
cores changes within seconds. What follows from it for more replicas assumes a core for each and
even machines.
Left out: GPUs, networks, balancers, and mixed work.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
import torch
from rich.table import Table

from app.serving.served_model import ServedModel, serve_bundle
from app.settings import PRETRAINED
from benchmarks.costs import LATENTS, MANY, MODEL, Cost, memory_bytes, operation_costs
from benchmarks.load import measure
from benchmarks.media import png
from benchmarks.open_loop import arrival_times
from benchmarks.overload import offered
from benchmarks.queue_model import Machine, Routing, Simulated, Work, simulate
from benchmarks.servers import Exchange, Server
from benchmarks.service_times import ask_for, at_the_level_of, slowness_of, time_passes
from benchmarks.sides import ours, picture, running
from benchmarks.timing import duration, table
from models.bundle.loading import load_bundle

MAX_WAIT_SECONDS = 1.0
"""Of the servers under test: a quarter of a minute of overload reaches it."""
ROUTES: dict[Routing, str] = {
    "random": "any, by chance",
    "two": "the emptier of two",
}
LOADS = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
PATIENCE = 3.0
"""The knee is where p99 is so many times that of the least load."""
MiB = 2**20

TARGET_LOAD = 0.7
"""Load of a replica that the plan aims at."""
BATCH_EFFICIENCY = 0.9
"""Rate of `vae-lab batch` on each core over that in process."""
CORES = 16
"""Of a machine."""
DOLLARS = 0.05
"""Of a core and hour."""
HOURS_A_MONTH = 730
BATCH_MACHINES = 16


@dataclass(frozen=True)
class Effort:
    """How long to measure and simulate."""

    samples: tuple[int, ...] = (30, 5)
    """K of the two kinds of work: chunks of its own, and passes that requests share."""
    loads: tuple[float, ...] = (0.35, 0.55, 0.7)
    over: float = 1.3
    seconds: float = 16.0
    """Of each run."""
    short: float = 4.0
    """Of each measurement of service times, and of the capacity."""
    cost_seconds: float = 1.5
    rounds: int = 12
    seeds: int = 10
    workers: tuple[int, ...] = (1, 2, 4)
    replicas: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    requests: int = 6_000


QUICK = Effort((5,), (0.5,), 1.3, 2.0, 0.5, 0.1, 2, 2, (1, 2), (1, 4), 400)


@dataclass(frozen=True)
class Measured:
    """Service times of one kind of work."""

    name: str
    work: Work
    beside: float
    """Slowness while the other replica computes."""
    rates: tuple[float, ...] = ()
    """Requests a second that a closed loop gets of one replica, and of two."""


def run(*, quick: bool) -> Iterator[Table]:
    """Measure and simulate; the tables of docs/scaling.md."""
    effort = QUICK if quick else Effort()
    measured: list[Measured] = []
    yield _check(effort, measured)
    yield _service_times(measured)
    costs = list(operation_costs(seconds=effort.cost_seconds))
    yield _costs(costs)
    memory = {workers: memory_bytes(workers) for workers in effort.workers}
    yield _memory(memory)
    for one in measured:
        yield _curves(one, effort)
    yield from _plans({cost.operation: cost for cost in costs}, memory)


# The check --------------------------------------------------------------------------------------


def _check(effort: Effort, measured: list[Measured]) -> Table:
    """Real runs beside simulated ones; fills in the service times."""
    made = table(
        f"Simulated and measured: elbo of one 28 x 28 PNG, the {MODEL} bundle; the same arrivals, "
        f"{effort.seconds:g} s each, VAE_MAX_WAIT_SECONDS={MAX_WAIT_SECONDS:g}",
        "work",
        *("replicas", "requests/s", "lane busy", "refused", "simulated", "p50", "simulated"),
        *("p99", "simulated", "difference", "slowness", "p99 by idle times"),
        caption=f"lane busy: share of the time, by the simulation. simulated: medians of "
        f"{effort.seeds} seeds, with the compute that the servers say each request took; slowness: "
        "its median over the idle service times, by which alone the last column is simulated.",
    )
    served = serve_bundle(load_bundle(PRETRAINED / MODEL / "1"), "cpu")
    sides = [
        ours(PRETRAINED, MODEL, latents=LATENTS, workers=n, max_wait_seconds=MAX_WAIT_SECONDS)
        for n in (1, 2)
    ]
    with running(sides) as pairs:
        servers = [server for _, server in pairs]
        for samples in effort.samples:
            target = f"/v1/models/{MODEL}/elbo?num_samples={samples}&seed=1"
            exchange = Exchange("POST", target, png(picture()), "image/png")
            one = _measure(served, servers, exchange, samples=samples, effort=effort)
            over = (effort.over,) if samples == effort.samples[0] else ()
            for replicas, server in enumerate(servers, 1):
                server.resume()
                rate = measure(
                    server.port, exchange, connections=16 * replicas, seconds=max(1.0, effort.short)
                ).rate
                one = replace(one, rates=(*one.rates, rate))
                for load in (*effort.loads, *(over if replicas == 1 else ())):
                    _run(made, one, server, exchange, load=load, effort=effort)
                server.pause()
            measured.append(one)
    return made


def _measure(
    served: ServedModel,
    servers: Sequence[Server],
    exchange: Exchange,
    *,
    samples: int,
    effort: Effort,
) -> Measured:
    torch.set_num_threads(1)
    x = (picture()[None, None] >= 128).astype(np.float32)
    passes = time_passes(served, x, num_samples=samples, rounds=effort.rounds)
    servers[0].resume()
    ask_for(servers[:1], exchange, effort.short / 4)
    (alone,) = ask_for(servers[:1], exchange, effort.short)
    servers[1].resume()
    beside, _ = ask_for(servers, exchange, effort.short)
    for server in servers:
        server.pause()
    slower = float(np.median(beside[:, 1]) / np.median(alone[:, 1]))
    return Measured(f"elbo, K = {samples}", at_the_level_of(passes, alone), max(1.0, slower))


def _run(
    made: Table, one: Measured, server: Server, exchange: Exchange, *, load: float, effort: Effort
) -> None:
    """The last server that was measured, and its simulation, under the same arrivals."""
    rate = load * one.rates[-1]
    with offered(server.port, exchange, rate, effort.seconds) as records:
        real = records()
    _add_check(made, one, real, rate=rate, effort=effort)


def _add_check(
    made: Table, one: Measured, real: np.ndarray, *, rate: float, effort: Effort
) -> None:
    """A row of what was measured, and what the simulation gives for the same arrivals."""
    replicas = len(one.rates)
    took = real["seconds"][real["outcome"] == 200]
    computed = np.where(real["outcome"] == 200, real["compute"], np.nan)
    times, machine = real["at"], Machine(max_wait=MAX_WAIT_SECONDS)
    idle = Machine(beside=one.beside, max_wait=MAX_WAIT_SECONDS)
    slowness = slowness_of(one.work, times, computed, replicas=replicas, machine=machine)

    def simulated(machine: Machine, slowness: np.ndarray | None) -> list[Simulated]:
        return [
            simulate(
                one.work,
                times,
                replicas=replicas,
                routing="connections",
                machine=machine,
                seed=seed,
                slowness=slowness,
            )
            for seed in range(effort.seeds)
        ]

    runs = simulated(machine, slowness)
    p50, p99 = np.percentile(took, [50, 99])
    middle, tail = (float(np.median([run.percentile(q) for run in runs])) for q in (50, 99))
    before = float(np.median([run.percentile(99) for run in simulated(idle, None)]))
    made.add_row(
        *(one.name, str(replicas), f"{rate:.1f}", f"{np.median([run.busy for run in runs]):.0%}"),
        f"{1 - len(took) / len(real):.1%}",
        f"{np.median([run.refused for run in runs]):.1%}",
        *map(duration, (float(p50), middle, float(p99), tail)),
        *(f"{tail / p99 - 1:+.0%}", f"{np.median(slowness):.2f}", duration(before)),
    )


def _service_times(measured: Sequence[Measured]) -> Table:
    made = table(
        "Service times, measured in the same run, one request at a time",
        "work",
        *("passes (rows)", "compute lane", "p99 of it", "event loop and client"),
        *("beside a busy replica", "requests/s at most", "simulated", "by two replicas"),
        caption="at most: from 16 connections a replica that ask again at once.",
    )
    for one in measured:
        kinds = ", ".join(f"{kind.strip('_')} ({rows})" for kind, rows in one.work.parts)
        made.add_row(
            one.name,
            kinds,
            duration(one.work.seconds),
            duration(one.work.seconds * float(np.percentile(one.work.noise, 99))),
            duration(one.work.loop_seconds),
            f"x {one.beside:.2f}",
            f"{one.rates[0]:.1f}",
            f"{1 / _seconds_a_request(one.work):.1f}",
            f"{one.rates[1]:.1f}",
        )
    return made


# What things cost -------------------------------------------------------------------------------


def _costs(costs: Sequence[Cost]) -> Table:
    made = table(
        f"Processor time of an image, the {MODEL} bundle (classify: mnist-labelled), defaults of "
        "each operation",
        "operation",
        *("1 image a request", "images/s a core", f"up to {MANY} a request", "images/s a core"),
    )
    for cost in costs:
        many = duration(cost.many) + ("" if cost.count == MANY else f" ({cost.count})")
        made.add_row(
            *(cost.operation, duration(cost.one), _number(1 / cost.one)),
            *(many, _number(1 / cost.many)),
        )
    return made


def _number(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _memory(memory: dict[int, int]) -> Table:
    made = table("Memory of a server with all shipped bundles", "workers", "MiB", "each further")
    first = min(memory)
    for workers, size in memory.items():
        further = "" if workers == first else f"{_further(memory, workers) / MiB:,.0f}"
        made.add_row(str(workers), f"{size / MiB:,.0f}", further)
    return made


def _further(memory: dict[int, int], workers: int) -> float:
    """Memory of each worker beside the first."""
    return (memory[workers] - memory[1]) / (workers - 1)


# What follows -----------------------------------------------------------------------------------


def _curves(one: Measured, effort: Effort) -> Table:
    """p99 against load, simulated."""
    made = table(
        f"p99 against load, simulated: {one.name}, {1 / _seconds_a_request(one.work):.0f} "
        "requests/s a replica at most, a core each",
        "a request goes to",
        *("replicas", *(f"{load:.0%}" for load in LOADS), "knee"),
        caption="by chance: as where connections are kept; of two: as Ray Serve. knee: the largest "
        f"of these loads with a p99 of at most {PATIENCE:g} times that at {LOADS[0]:.0%}.",
    )
    for routing, words in ROUTES.items():
        for replicas in effort.replicas:
            if replicas == 1 and routing == "two":
                continue
            tails = [_tail(one.work, load, replicas, routing, effort) for load in LOADS]
            knee = max(
                load for load, tail in zip(LOADS, tails, strict=True) if tail <= PATIENCE * tails[0]
            )
            made.add_row(words, str(replicas), *map(duration, tails), f"{knee:.0%}")
    return made


def _tail(work: Work, load: float, replicas: int, routing: Routing, effort: Effort) -> float:
    requests = max(effort.requests, effort.requests * replicas // 20)
    rate = load * replicas / _seconds_a_request(work)
    times = arrival_times(rate, requests / rate, seed=1)
    found = simulate(work, times, replicas=replicas, routing=routing)
    return float(np.nanpercentile(found.seconds[len(times) // 5 :], 99))


def _seconds_a_request(work: Work) -> float:
    """Seconds of a replica for each request where many wait: all that come at once."""
    count = 320
    found = simulate(work, np.zeros(count), replicas=1, machine=Machine(max_wait=np.inf))
    return float(np.max(found.seconds)) / count


def _plans(costs: dict[str, Cost], memory: dict[int, int]) -> Iterator[Table]:
    """Machines and money by the measured costs."""
    price = f"{CORES} cores a machine, a worker and {DOLLARS:g} dollars an hour for each core"
    rate, images = 1_000, 1_000_000_000
    each = _further(memory, max(memory))
    served = table(
        f"{rate:,} requests of one image a second: {price}, {TARGET_LOAD:.0%} load, and one "
        "machine more",
        "operation",
        *("cores", "machines", "GiB a machine", "dollars a month"),
    )
    stored = table(
        f"{images:,} images by vae-lab batch: {price}, {BATCH_MACHINES} machines",
        "operation",
        *("core hours", "days", "dollars"),
        caption=f"{BATCH_EFFICIENCY:g} of the rate in process.",
    )
    for name in ("encode", "sample", "elbo", "log-likelihood"):
        cost = costs[name]
        cores = rate * cost.one / TARGET_LOAD
        machines = ceil(cores / CORES) + 1
        gibibytes = (memory[1] + (CORES - 1) * each) / 2**30
        month = machines * CORES * DOLLARS * HOURS_A_MONTH
        served.add_row(name, f"{cores:,.1f}", f"{machines:,}", f"{gibibytes:.1f}", f"{month:,.0f}")
        hours = images * cost.many / 3600 / BATCH_EFFICIENCY
        days = hours / (BATCH_MACHINES * CORES) / 24
        stored.add_row(name, f"{hours:,.0f}", _number(days), f"{hours * DOLLARS:,.0f}")
    yield served
    yield stored
