"""The scheduler: nobody's cancellation, failure or size is another's trouble."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from app.errors import ModelNotReady, QueueFull
from app.serving.scheduler import MAX_RETRY_AFTER_SECONDS, Scheduler, Timing, _answer
from models.estimators.steps import Steps

pytestmark = pytest.mark.anyio

Running = Callable[..., AbstractAsyncContextManager[Scheduler]]


@asynccontextmanager
async def running(*, max_cost: float = 100.0, max_requests: int = 10) -> AsyncIterator[Scheduler]:
    scheduler = Scheduler(max_cost=max_cost, max_requests=max_requests)
    scheduler.start()
    try:
        yield scheduler
    finally:
        scheduler.stop()


def work(name: str, chunks: int, log: list[str], gate: threading.Event | None = None) -> Steps[str]:
    """Some chunks that say when they ran; the first one waits at the gate."""
    for i in range(chunks):
        if gate is not None:
            gate.wait(5)
        log.append(f"{name}{i}")
        yield
    return name


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


async def test_a_cancelled_request_never_leaves_its_neighbours_unanswered() -> None:
    gate, log = threading.Event(), []
    async with running() as scheduler:
        tasks = [
            asyncio.create_task(scheduler.run(work(name, 3, log, gate), cost=1))
            for name in ("a", "b", "c")
        ]
        await until(lambda: scheduler.jobs == 3)
        tasks[1].cancel()
        await asyncio.sleep(0)
        gate.set()
        async with asyncio.timeout(5):
            done = await asyncio.gather(*tasks, return_exceptions=True)
    assert done[0] == "a"
    assert isinstance(done[1], asyncio.CancelledError)
    assert done[2] == "c"


async def test_work_that_is_cancelled_before_it_ran_never_runs() -> None:
    gate, log = threading.Event(), []
    async with running() as scheduler:
        first = asyncio.create_task(scheduler.run(work("a", 1, log, gate), cost=1))
        await until(lambda: scheduler.jobs == 1)
        second = asyncio.create_task(scheduler.run(work("b", 1, log), cost=1))
        await until(lambda: scheduler.jobs == 2)
        second.cancel()
        await asyncio.sleep(0)
        gate.set()
        assert await first == "a"
    assert log == ["a0"]


async def test_work_that_is_cancelled_while_it_runs_stops_after_its_chunk() -> None:
    gate, log = threading.Event(), []
    async with running() as scheduler:
        task = asyncio.create_task(scheduler.run(work("a", 1000, log, gate), cost=1))
        await until(lambda: scheduler.jobs == 1)
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.sleep(0.01)
        gate.set()
        await until(lambda: scheduler.jobs == 0)
        assert await scheduler.run(work("b", 1, log), cost=1) == "b"
    assert log == ["a0", "b0"]


async def test_a_short_request_does_not_wait_behind_a_long_one() -> None:
    gate, log = threading.Event(), []
    async with running() as scheduler:
        long = asyncio.create_task(scheduler.run(work("long", 50, log, gate), cost=50))
        await until(lambda: scheduler.jobs == 1)
        short = asyncio.create_task(scheduler.run(work("short", 1, log), cost=1))
        await until(lambda: scheduler.jobs == 2)
        gate.set()
        await asyncio.gather(long, short)
    assert log.index("short0") <= 2


async def test_a_stream_of_short_requests_does_not_starve_a_long_one() -> None:
    gate, log = threading.Event(), []
    async with running() as scheduler:
        long = asyncio.create_task(scheduler.run(work("long", 4, log, gate), cost=4))
        await until(lambda: scheduler.jobs == 1)
        short = [
            asyncio.create_task(scheduler.run(work("short", 1, log), cost=1)) for _ in range(8)
        ]
        await until(lambda: scheduler.jobs == 9)
        gate.set()
        await asyncio.gather(long, *short)
    assert log.index("long3") < len(log) - 1


async def test_a_failure_is_its_own_requests_only() -> None:
    log: list[str] = []

    def failing() -> Steps[str]:
        yield
        raise ValueError("mine")

    async with running() as scheduler:
        done = await asyncio.gather(
            scheduler.run(failing(), cost=1),
            scheduler.run(work("a", 3, log), cost=1),
            return_exceptions=True,
        )
        assert scheduler.jobs == 0
    assert str(done[0]) == "mine"
    assert done[1] == "a"


async def test_a_full_queue_refuses_at_once_and_says_when_to_come_back() -> None:
    gate, log = threading.Event(), []
    async with running(max_cost=10) as scheduler:
        assert await scheduler.run(work("warm", 1, log), cost=5) == "warm"
        first = asyncio.create_task(scheduler.run(work("a", 1, log, gate), cost=8))
        await until(lambda: scheduler.jobs == 1)
        with pytest.raises(QueueFull) as refused:
            await scheduler.run(work("b", 1, log), cost=8)
        gate.set()
        assert await first == "a"
        assert await scheduler.run(work("c", 1, log), cost=8) == "c"
    assert 1 <= int(refused.value.headers["Retry-After"]) <= MAX_RETRY_AFTER_SECONDS
    assert "b0" not in log


async def test_the_number_of_requests_is_bounded_too() -> None:
    gate, log = threading.Event(), []
    async with running(max_requests=1) as scheduler:
        first = asyncio.create_task(scheduler.run(work("a", 1, log, gate), cost=0))
        await until(lambda: scheduler.jobs == 1)
        with pytest.raises(QueueFull):
            await scheduler.run(work("b", 1, log), cost=0)
        gate.set()
        await first


async def test_thirty_two_items_in_one_request_or_in_many_are_admitted_alike() -> None:
    gate, log = threading.Event(), []
    async with running(max_cost=32, max_requests=100) as scheduler:
        tasks = [
            asyncio.create_task(scheduler.run(work("a", 1, log, gate), cost=1)) for _ in range(32)
        ]
        await until(lambda: scheduler.jobs == 32)
        with pytest.raises(QueueFull):
            await scheduler.run(work("b", 1, log), cost=1)
        gate.set()
        await asyncio.gather(*tasks)
        assert scheduler.cost == 0
        assert await scheduler.run(work("c", 1, log), cost=32) == "c"


async def test_a_request_larger_than_the_queue_runs_alone() -> None:
    async with running(max_cost=1) as scheduler:
        assert await scheduler.run(work("a", 1, []), cost=5) == "a"


async def test_timings_say_where_the_time_went() -> None:
    def slow() -> Steps[None]:
        time.sleep(0.02)
        yield

    timing = Timing()
    async with running() as scheduler:
        await scheduler.run(slow(), cost=1, timing=timing)
    assert timing.compute_seconds >= 0.02
    assert 0 <= timing.queue_seconds < 1


async def test_stopping_answers_whoever_still_waits() -> None:
    gate, log = threading.Event(), []
    scheduler = Scheduler(max_cost=10, max_requests=10)
    scheduler.start()
    tasks = [asyncio.create_task(scheduler.run(work(name, 3, log, gate), cost=1)) for name in "ab"]
    await until(lambda: scheduler.jobs == 2)
    await asyncio.sleep(0.01)
    threading.Timer(0.05, gate.set).start()
    await asyncio.to_thread(scheduler.stop)
    async with asyncio.timeout(5):
        done = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(error, ModelNotReady) for error in done)
    with pytest.raises(ModelNotReady):
        await scheduler.run(work("c", 1, log), cost=1)


def test_an_answer_to_a_loop_that_is_gone_is_dropped() -> None:
    scheduler = Scheduler(max_cost=10, max_requests=10)
    gate = threading.Event()

    async def leave() -> None:
        task = asyncio.create_task(scheduler.run(work("a", 1, [], gate), cost=1))
        await until(lambda: scheduler.jobs == 1)
        task.cancel()

    scheduler.start()
    asyncio.run(leave())
    gate.set()
    scheduler.stop()
    assert scheduler.jobs == 0


async def test_an_answered_future_is_not_answered_again() -> None:
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    _answer(future, "first", None)
    _answer(future, "second", None)
    _answer(future, "", ValueError("third"))
    assert await future == "first"
