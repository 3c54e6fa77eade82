"""Admission: a job is refused where it would wait too long, and told when to come back."""

import asyncio
import threading

import pytest

from app.errors import QueueFull
from app.serving.scheduler import MAX_RETRY_AFTER_SECONDS
from tests.app.serving.jobs import LONG, SHORT, Network, run, running, until, work

pytestmark = pytest.mark.anyio


async def test_a_job_that_would_wait_too_long_is_refused_with_the_time_to_come_back() -> None:
    gate = threading.Event()
    network = Network(gate)
    async with running(max_wait=5.0) as scheduler:
        first = [run(scheduler, work(network, n), network, 4.0) for n in (1, 2)]
        await until(lambda: scheduler.jobs == 2)
        with pytest.raises(QueueFull, match=r"wait is 8\.0 s of at most 5 s") as refused:
            await run(scheduler, work(network, 3), network, 4.0)
        assert refused.value.headers["Retry-After"] == "3"
        scheduler.max_wait = 100.0
        with pytest.raises(QueueFull):  # it would end after its deadline
            await run(scheduler, work(network, 3), network, 4.0, deadline=11.0)
        short = run(scheduler, work(network, 4), network, SHORT)  # it goes ahead
        await until(lambda: scheduler.jobs == 3)
        gate.set()
        await asyncio.gather(*first, short)
    assert 1 <= int(refused.value.headers["Retry-After"]) <= MAX_RETRY_AFTER_SECONDS


async def test_where_even_a_short_job_would_wait_too_long_none_is_looked_at() -> None:
    gate = threading.Event()
    network = Network(gate)
    async with running(max_wait=0.1) as scheduler:
        long = run(scheduler, work(network, 0), network, LONG)
        await until(lambda: scheduler.jobs == 1)
        scheduler.check_open()
        short = [run(scheduler, work(network, n), network, 0.02) for n in range(6)]
        await until(lambda: scheduler.jobs == 7)
        with pytest.raises(QueueFull, match=r"wait is 0\.1 s"):
            scheduler.check_open()
        gate.set()
        await asyncio.gather(long, *short)
        scheduler.check_open()


async def test_the_number_of_jobs_is_bounded_too() -> None:
    gate = threading.Event()
    network = Network(gate)
    async with running(max_requests=1) as scheduler:
        first = run(scheduler, work(network, 1), network, SHORT)
        await until(lambda: scheduler.jobs == 1)
        with pytest.raises(QueueFull, match="VAE_MAX_QUEUE_REQUESTS"):
            await run(scheduler, work(network, 2), network, SHORT)
        gate.set()
        assert await first == 1
        assert (scheduler.jobs, scheduler.cost) == (0, 0)


async def test_a_job_longer_than_any_wait_runs_alone() -> None:
    network = Network()
    async with running(max_wait=1.0) as scheduler:
        assert await run(scheduler, work(network, 1), network, 500.0) == 1
