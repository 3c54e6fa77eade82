"""The engine: nobody's cancellation, failure or size is another's trouble."""

import asyncio
import threading
import time

import pytest
import torch
from torch import Tensor

from app.errors import ModelNotReady
from app.serving import lane
from app.serving.job import Timing
from app.serving.scheduler import Scheduler
from models.estimators.steps import Pass, Steps
from tests.app.serving.jobs import (
    LENGTHS,
    LONG,
    SHORT,
    TINY,
    Network,
    run,
    running,
    through,
    until,
    work,
)

pytestmark = pytest.mark.anyio


async def test_short_jobs_of_one_kind_share_a_pass() -> None:
    gate = threading.Event()
    network, other = Network(gate), Network(gate)
    async with running() as scheduler:
        first = run(scheduler, work(other, 0), other, SHORT)
        await until(lambda: scheduler.jobs == 1)
        tasks = [run(scheduler, work(network, n), network, SHORT) for n in range(1, 6)]
        await until(lambda: scheduler.jobs == 6)
        await asyncio.sleep(0.01)
        gate.set()
        assert await asyncio.gather(first, *tasks) == [0, 1, 2, 3, 4, 5]
    assert (other.batches, network.batches) == ([[0]], [[1, 2, 3, 4, 5]])


@pytest.mark.parametrize(("cpus", "shared"), [(1, 1), (2, 1), (3, 2), (8, 3)])
async def test_a_shared_pass_leaves_a_processor_to_the_event_loop(
    monkeypatch: pytest.MonkeyPatch, cpus: int, shared: int
) -> None:
    monkeypatch.setattr(lane, "usable_cpus", lambda: cpus)
    gate = threading.Event()
    network, other = Network(gate), Network(gate)
    threads: list[tuple[int, int]] = []
    note = lambda asked, requests, rows: threads.append((requests, torch.get_num_threads()))  # noqa: E731
    async with running(on_chunk=note, threads=3) as scheduler:
        tasks = [run(scheduler, work(other, 0), other, SHORT)]
        await until(lambda: scheduler.jobs == 1)
        tasks += [run(scheduler, work(network, n), network, SHORT) for n in range(1, 4)]
        await until(lambda: scheduler.jobs == 4)
        gate.set()
        await asyncio.gather(*tasks)
    assert threads == [(1, 3), (3, shared)]


async def test_a_chunk_takes_no_more_rows_than_fit_into_its_time() -> None:
    gate, network = threading.Event(), Network(threading.Event())
    network.gate = gate
    async with running() as scheduler:
        tasks = [run(scheduler, work(network, n, rows=20), network, SHORT) for n in range(3)]
        await until(lambda: scheduler.jobs == 3)
        gate.set()
        assert await asyncio.gather(*tasks) == [0, 1, 2]
    assert [len(batch) for batch in network.batches] == [20, 20, 20]


async def test_chunks_last_as_long_as_they_are_asked_to() -> None:
    network = Network()
    async with running(chunk_seconds=0.5) as scheduler:
        scheduler.times.rows_within = lambda asked, seconds: round(64 * seconds)
        await run(scheduler, work(network, 1, rows=64), network, LONG)
    assert [len(batch) for batch in network.batches] == [32, 32]


async def test_tiny_jobs_of_one_turn_share_a_pass_on_the_event_loop() -> None:
    network, thread = Network(), threading.current_thread()
    seen: list[threading.Thread] = []
    note = lambda asked, requests, rows: seen.append(threading.current_thread())  # noqa: E731
    async with running(on_chunk=note) as scheduler:
        tasks = [run(scheduler, work(network, n, passes=2), network, TINY) for n in range(4)]
        assert await asyncio.gather(*tasks) == [0, 1, 2, 3]
    assert network.batches == [[0, 1, 2, 3]] * 2
    assert seen == [thread] * 2


async def test_many_tiny_jobs_that_take_long_together_leave_the_event_loop() -> None:
    network, seen = Network(), set()
    note = lambda asked, requests, rows: seen.add(threading.current_thread().name)  # noqa: E731
    async with running(on_chunk=note) as scheduler:
        passes = [work(network, n, rows=16) for n in range(8)]
        tasks = [run(scheduler, one, network, TINY, row_cost=0.5) for one in passes]
        assert await asyncio.gather(*tasks) == [*range(8)]
    assert seen == {"compute"}


async def test_a_pass_that_proves_long_leaves_the_event_loop() -> None:
    network, seen = Network(), set()
    note = lambda asked, requests, rows: seen.add(threading.current_thread().name)  # noqa: E731
    async with running(on_chunk=note) as scheduler:
        assert await run(scheduler, work(network, 7), network, TINY, row_cost=1.0) == 7
    assert seen == {"compute"}


@pytest.mark.parametrize("seconds", [TINY, SHORT])
async def test_of_jobs_that_share_a_pass_only_the_failing_one_fails(seconds: float) -> None:
    gate = threading.Event()
    network = Network(None if seconds == TINY else gate)
    async with running() as scheduler:
        numbers = [*range(12), -1, *range(13, 32)]
        tasks = [run(scheduler, work(network, n), network, seconds) for n in numbers]
        await asyncio.sleep(0.01)
        gate.set()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert scheduler.jobs == 0
    assert isinstance(done[12], ValueError)
    assert done[:12] + done[13:] == numbers[:12] + numbers[13:]


@pytest.mark.parametrize("seconds", [TINY, SHORT, LONG])
async def test_a_job_that_needs_no_pass_ends(seconds: float) -> None:
    def immediate() -> Steps[str]:
        return "done"
        yield

    async with running() as scheduler:
        assert await run(scheduler, immediate(), Network(), seconds) == "done"
        with pytest.raises(ValueError, match="at once"):
            await run(scheduler, failing_at_once(), Network(), seconds)


def failing_at_once() -> Steps[str]:
    raise ValueError("at once")
    yield


async def test_a_failure_between_passes_is_its_own_jobs_only() -> None:
    def failing(network: Network) -> Steps[str]:
        yield Pass(through, (network,), (torch.zeros(1, 2),))
        raise ValueError("mine")

    network = Network()
    async with running() as scheduler:
        tasks = [
            run(scheduler, failing(network), network, SHORT),
            run(scheduler, work(network, 3, passes=3), network, SHORT),
        ]
        done = await asyncio.gather(*tasks, return_exceptions=True)
    assert (str(done[0]), done[1]) == ("mine", 3)


@pytest.mark.parametrize("seconds", [TINY, SHORT])
async def test_a_fault_of_the_engine_fails_its_jobs_and_the_lane_goes_on(seconds: float) -> None:
    network = Network()
    async with running() as scheduler:
        scheduler.times.add = lambda asked, rows, seconds: 1 / 0  # type: ignore[method-assign]
        tasks = [run(scheduler, work(network, n), network, seconds) for n in range(3)]
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(error) for error in done] == [ZeroDivisionError] * 3
        scheduler.times.add = lambda asked, rows, seconds: None  # type: ignore[method-assign]
        assert await run(scheduler, work(network, 2), network, seconds) == 2


async def test_parts_that_cannot_be_joined_fail_their_job_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = Network()
    async with running() as scheduler:
        with monkeypatch.context() as patch:
            patch.setattr(Pass, "join", lambda self, results: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                await run(scheduler, work(network, 1, rows=50), network, SHORT)
        assert await run(scheduler, work(network, 2), network, SHORT) == 2


async def test_one_of_three_in_line_is_cancelled_and_the_others_are_answered() -> None:
    gate = threading.Event()
    network = Network(gate)
    async with running() as scheduler:
        tasks = [run(scheduler, work(network, n, passes=3), network, SHORT) for n in range(3)]
        await until(lambda: scheduler.jobs == 3)
        tasks[1].cancel()
        await asyncio.sleep(0)
        gate.set()
        done = await asyncio.gather(*tasks, return_exceptions=True)
    assert (done[0], done[2]) == (0, 2)
    assert isinstance(done[1], asyncio.CancelledError)


async def test_work_that_is_cancelled_before_it_ran_never_runs() -> None:
    gate = threading.Event()
    network, other = Network(gate), Network()
    async with running() as scheduler:
        first = run(scheduler, work(network, 1), network, LONG)
        await until(lambda: scheduler.jobs == 1)
        second = run(scheduler, work(other, 2), other, LONG)
        await until(lambda: scheduler.jobs == 2)
        second.cancel()
        await asyncio.sleep(0)
        gate.set()
        assert await first == 1
    assert other.batches == []


async def test_where_all_work_is_cancelled_the_thread_waits_for_more() -> None:
    gate = threading.Event()
    network = Network(gate)
    async with running() as scheduler:
        tasks = [run(scheduler, work(network, n, 9), network, seconds) for n, seconds in LENGTHS]
        await until(lambda: scheduler.jobs == 2)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        gate.set()
        assert await run(scheduler, work(network, 3), network, SHORT) == 3


async def test_tiny_work_that_is_cancelled_in_its_turn_never_runs() -> None:
    network = Network()
    async with running() as scheduler:
        tasks = [run(scheduler, work(network, n), network, TINY) for n in range(2)]
        await asyncio.sleep(0)  # both are admitted; their pass comes in the next turn
        tasks[0].cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(done[0], asyncio.CancelledError)
    assert done[1] == 1


async def test_work_that_is_cancelled_while_it_runs_stops_after_its_chunk() -> None:
    gate = threading.Event()
    network = Network(gate)
    async with running() as scheduler:
        task = run(scheduler, work(network, 1, passes=1000), network, LONG)
        await until(lambda: scheduler.jobs == 1)
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.sleep(0.01)
        gate.set()
        assert await run(scheduler, work(network, 2), network, LONG) == 2
    assert network.batches == [[1], [2]]


async def test_a_short_job_does_not_wait_behind_long_ones() -> None:
    gate = threading.Event()
    network = Network(gate)
    async with running() as scheduler:
        long = [run(scheduler, work(network, n, 50, 32), network, LONG) for n in (1, 2)]
        await until(lambda: scheduler.jobs == 2)
        short = run(scheduler, work(network, 3), network, SHORT)
        await until(lambda: scheduler.jobs == 3)
        gate.set()
        await asyncio.gather(*long, short)
    assert [3] in network.batches[:3]


async def test_a_stream_of_short_jobs_does_not_starve_a_long_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.serving.lane.SHORT_TURN_SECONDS", 0.0)
    gate = threading.Event()
    network = Network(gate)
    async with running() as scheduler:
        long = run(scheduler, work(network, 1, passes=4), network, LONG)
        await until(lambda: scheduler.jobs == 1)
        short = [run(scheduler, work(network, 2, rows=32), network, SHORT) for _ in range(8)]
        await until(lambda: scheduler.jobs == 9)
        gate.set()
        await asyncio.gather(long, *short)
    assert [1] not in network.batches[-2:]


async def test_long_jobs_run_in_order_of_arrival_and_shorter_ones_ahead() -> None:
    gate = threading.Event()
    networks = [Network(gate) for _ in range(4)]
    ended: list[int] = []
    async with running() as scheduler:
        for number, seconds in enumerate((LONG, 5.0, 5.0, LONG)):
            network = networks[number]
            task = run(scheduler, work(network, number, passes=3), network, seconds)
            task.add_done_callback(lambda done: ended.append(done.result()))
            await until(lambda: scheduler.jobs == number + 1)  # noqa: B023
        gate.set()
        await until(lambda: len(ended) == 4)
    assert ended == [0, 3, 1, 2]


async def test_a_long_job_that_can_no_longer_end_in_time_never_begins() -> None:
    gate = threading.Event()
    network, other = Network(), Network(gate)
    async with running() as scheduler:
        first = run(scheduler, work(other, 1), other, 0.1)
        await until(lambda: scheduler.jobs == 1)
        late = run(scheduler, work(network, 2), network, 0.1, deadline=0.25)
        await asyncio.sleep(0.16)
        gate.set()
        assert await first == 1
        with pytest.raises(TimeoutError):
            await late
        assert not network.batches
        guessed = run(scheduler, work(network, 3), network, 0.3, deadline=0.25)
        assert await guessed == 3  # nobody knows better before it has run


async def test_timings_say_where_the_time_went() -> None:
    def slow(rows: Tensor) -> tuple[Tensor]:
        time.sleep(0.02)
        return (rows,)

    def steps() -> Steps[None]:
        yield Pass(lambda model, rows: slow(rows), (Network(),), (torch.zeros(1, 2),))

    timing = Timing()
    async with running() as scheduler:
        await run(scheduler, steps(), Network(), SHORT, timing=timing)
    assert timing.compute_seconds >= 0.02
    assert 0 <= timing.queue_seconds < 1


async def test_stopping_answers_whoever_still_waits() -> None:
    gate = threading.Event()
    network = Network(gate)
    scheduler = Scheduler(max_wait=1000.0, max_requests=10)
    scheduler.start()
    tasks = [run(scheduler, work(network, n, passes=3), network, LONG) for n in range(2)]
    await until(lambda: scheduler.jobs == 2)
    await asyncio.sleep(0.01)
    threading.Timer(0.05, gate.set).start()
    scheduler.stop()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(error, ModelNotReady) for error in done)
    with pytest.raises(ModelNotReady):
        await run(scheduler, work(network, 3), network, LONG)


def test_a_value_for_a_loop_that_is_gone_is_dropped() -> None:
    scheduler = Scheduler(max_wait=10.0, max_requests=10)
    gate = threading.Event()
    network = Network(gate)

    async def leave() -> None:
        run(scheduler, work(network, 1), network, SHORT)
        await until(lambda: scheduler.jobs == 1)

    scheduler.start()
    asyncio.run(leave())
    gate.set()
    scheduler.stop()
    assert scheduler.jobs == 0
