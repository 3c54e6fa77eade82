"""Simulation of replicas under load, by SimPy: one compute lane each, as `app/serving` runs it.

Requests arrive at given times and go to a replica by a rule. There each waits for the event loop,
which reads it, for the lane, and for the event loop again, which answers. The lane takes the oldest
job and runs its next part, and those of others that have come to a pass of the same kind and fit
into a chunk, which lasts longer by what the event loop does meanwhile, as both share Python's
interpreter. A request is refused where the wait that is expected of it is too long.

Left out: short work beside long, clients that leave, deadlines, the network, and the load that a
refusal is.
"""

import random
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import simpy

from app.serving.job import SHORT_SECONDS
from app.serving.lane import CHUNK_SECONDS

Routing = Literal["connections", "random", "two", "fewest"]
"""Who gets a request: the owner of the connection that was free the longest; any replica; of two
random ones the one with fewer requests, as Ray Serve has it; of all the one with fewest."""
CONNECTIONS = 1024


@dataclass(frozen=True)
class Curve:
    """Seconds of a pass by its rows: straight lines between what was measured."""

    rows: tuple[int, ...]
    seconds: tuple[float, ...]
    least: int = 1
    """Rows up to which it takes as long as of one."""

    def at(self, rows: int) -> float:
        """Seconds of so many rows; beyond the last measurement in proportion."""
        if rows > self.rows[-1]:
            return self.seconds[-1] * rows / self.rows[-1]
        return float(np.interp(rows, self.rows, self.seconds))

    def rows_within(self, seconds: float) -> int:
        """Rows that the engine puts into a chunk: by the time of the most that it has run."""
        rows = self.least
        while True:
            found = self.least * max(1, int(seconds / self.at(rows) * rows / self.least))
            if found < 2 * rows:
                return max(found, self.least)
            rows *= 2


@dataclass(frozen=True)
class Work:
    """What one request costs a replica."""

    parts: tuple[tuple[str, int], ...]
    """Kind and rows of each call of a network, in order."""
    curves: dict[str, Curve]
    """By kind."""
    gaps: tuple[float, ...]
    """Seconds of the lane for this job alone after each part."""
    loop_seconds: float = 0.0
    """Seconds of the event loop, half before the lane and half after."""
    noise: tuple[float, ...] = (1.0,)
    """Measured seconds of requests over their median: one of these is drawn for each job."""

    @property
    def seconds(self) -> float:
        """Seconds of the lane, alone."""
        return sum(self.curves[kind].at(rows) for kind, rows in self.parts) + sum(self.gaps)

    @property
    def is_shared(self) -> bool:
        """Whether jobs that wait are begun, so that their passes may run with others."""
        return self.seconds <= SHORT_SECONDS


@dataclass
class _Job:
    """A request on its way."""

    index: int
    slowness: float
    expected: float
    at: int = 0
    """Parts that have run."""
    spent: float = 0.0
    """Of shared chunks its part."""
    compute: float = 0.0
    """Of shared chunks the whole, as Server-Timing has it."""
    done: "simpy.Event | None" = None


@dataclass(frozen=True)
class Machine:
    """What the replicas run on, and when they refuse."""

    beside: float = 1.0
    """Slowness of a chunk while another replica computes: replicas that share a memory or cores."""
    max_wait: float = 5.0
    max_requests: int = 512


class Replica:
    """An event loop and a compute lane."""

    def __init__(self, env: simpy.Environment, work: Work, machine: Machine) -> None:
        """Start idle."""
        self._env, self._work, self._machine = env, work, machine
        self._room = {k: curve.rows_within(CHUNK_SECONDS) for k, curve in work.curves.items()}
        self._queue: list[_Job] = []
        self._arrived = env.event()
        self._loop_free_at = 0.0
        self._taken = 0.0
        """Seconds that the event loop took from the running chunk."""
        self.jobs: list[_Job] = []
        """Those that are admitted and not answered."""
        self.busy = False
        self.busy_seconds = 0.0
        self.others: Sequence[Replica] = ()
        env.process(self._lane())

    def admits(self) -> bool:
        """Whether a request that comes now is admitted."""
        if len(self.jobs) >= self._machine.max_requests:
            return False
        return sum(max(j.expected - j.spent, 0.0) for j in self.jobs) <= self._machine.max_wait

    def answer(self, job: _Job) -> Generator[simpy.Event, Any, None]:
        """Read a request, compute, and answer."""
        yield from self._loop()
        job.done = self._env.event()
        self._queue.append(job)
        if not self._arrived.triggered:
            self._arrived.succeed()
        yield job.done
        yield from self._loop()

    def _loop(self) -> Generator[simpy.Event, Any, None]:
        """A turn of the event loop, which serves in the order of arrival."""
        if self._work.loop_seconds:
            free_at = max(self._env.now, self._loop_free_at) + self._work.loop_seconds / 2
            self._loop_free_at = free_at
            if self.busy:
                self._taken += self._work.loop_seconds / 2
            yield self._env.timeout(free_at - self._env.now)

    def _lane(self) -> Generator[simpy.Event, Any, None]:
        while True:
            if not self._queue:
                self._arrived = self._env.event()
                yield self._arrived
            chunk = self._chunk()
            seconds = self._seconds(chunk)
            self.busy, self._taken, began_at = True, 0.0, self._env.now
            yield self._env.timeout(seconds)
            while self._taken:
                taken, self._taken = self._taken, 0.0
                yield self._env.timeout(taken)
            self.busy = False
            self.busy_seconds += self._env.now - began_at
            for job in chunk:
                job.at += 1
                job.spent += seconds / len(chunk)
                job.compute += self._env.now - began_at
                if job.at == len(self._work.parts) and job.done is not None:
                    self._queue.remove(job)
                    job.done.succeed()

    def _chunk(self) -> list[_Job]:
        """The oldest job, and those whose next parts run with its."""
        parts = self._work.parts
        first = self._queue[0]
        kind, rows = parts[first.at]
        chunk, room = [first], self._room[kind] - rows
        for job in self._queue[1:] if self._work.is_shared else ():
            if room <= 0:
                break
            other, more = parts[job.at]
            if other == kind and more <= room:
                room -= more
                chunk.append(job)
        return chunk

    def _seconds(self, chunk: Sequence[_Job]) -> float:
        kind, _ = self._work.parts[chunk[0].at]
        rows = sum(self._work.parts[job.at][1] for job in chunk)
        alone = self._work.curves[kind].at(rows) + sum(self._work.gaps[job.at] for job in chunk)
        shares = any(other.busy for other in self.others)
        return alone * chunk[0].slowness * (self._machine.beside if shares else 1.0)


@dataclass(frozen=True)
class Simulated:
    """Of each request in the order of arrival: seconds; NaN where it was refused."""

    seconds: np.ndarray
    compute: np.ndarray
    """Seconds of the chunks that each took part in."""
    busy: float
    """Share of the time until the last arrival in which a lane computed."""

    @property
    def refused(self) -> float:
        """Share of the requests."""
        return float(np.isnan(self.seconds).mean())

    def percentile(self, q: float) -> float:
        """Of the seconds of those that were answered."""
        return float(np.nanpercentile(self.seconds, q))


def simulate(
    work: Work,
    times: np.ndarray,
    *,
    replicas: int,
    routing: Routing = "two",
    machine: Machine | None = None,
    seed: int = 0,
    slowness: np.ndarray | None = None,
) -> Simulated:
    """Let requests arrive, and note how long each takes.

    Args:
        work: What each costs.
        times: Seconds at which they arrive, ascending.
        replicas: Number of replicas.
        routing: Who gets which.
        machine: What the replicas run on.
        seed: Of the routes and the noise.
        slowness: Of each request, in place of the work's noise.
    """
    env, generator = simpy.Environment(), np.random.default_rng(seed)
    machine = machine or Machine()
    crew = [Replica(env, work, machine) for _ in range(replicas)]
    if machine.beside != 1.0:
        for one in crew:
            one.others = [other for other in crew if other is not one]
    if slowness is None:
        slowness = generator.choice(work.noise, size=len(times))
    route = _ROUTES[routing](crew, generator)
    found = np.full((2, len(times)), np.nan)

    def request(index: int) -> Generator[simpy.Event, Any, None]:
        came_at, (replica, leave) = env.now, route()
        if replica.admits():
            job = _Job(index, float(slowness[index]), work.seconds)
            replica.jobs.append(job)
            yield from replica.answer(job)
            replica.jobs.remove(job)
            found[:, index] = env.now - came_at, job.compute
        leave()

    def arrive() -> Generator[simpy.Event, Any, None]:
        for index, at in enumerate(times.tolist()):
            yield env.timeout(max(0.0, at - env.now))
            env.process(request(index))

    env.process(arrive())
    env.run()
    busy = sum(one.busy_seconds for one in crew) / replicas
    return Simulated(found[0], found[1], busy / max(float(times[-1]), 1e-9))


Route = Callable[[], tuple[Replica, Callable[[], None]]]
"""Gives the replica of a request, and what is called once it is answered."""


def _by_connection(crew: Sequence[Replica], generator: np.random.Generator) -> Route:
    owners = deque(crew[i] for i in generator.integers(len(crew), size=CONNECTIONS))

    def route() -> tuple[Replica, Callable[[], None]]:
        owner = owners.popleft() if owners else crew[int(generator.integers(len(crew)))]
        return owner, lambda: owners.append(owner)

    return route


def _of_some(
    crew: Sequence[Replica], generator: np.random.Generator, *, count: int | None
) -> Route:
    """The one with fewest requests of so many random replicas; of all for None."""
    draws = random.Random(int(generator.integers(2**53)))  # quicker than numpy's, one by one

    def route() -> tuple[Replica, Callable[[], None]]:
        some = draws.sample(crew, min(count or len(crew), len(crew)))
        return min(some, key=lambda one: len(one.jobs)), lambda: None

    return route


_ROUTES: dict[Routing, Callable[[Sequence[Replica], np.random.Generator], Route]] = {
    "connections": _by_connection,
    "random": lambda crew, generator: _of_some(crew, generator, count=1),
    "two": lambda crew, generator: _of_some(crew, generator, count=2),
    "fewest": lambda crew, generator: _of_some(crew, generator, count=None),
}
