"""Answers that run without a task: from future to future, to their end, fault or cancellation."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from app.api.run import Run

pytestmark = pytest.mark.anyio


def begin(make: Callable[[], Coroutine[Any, Any, None]]) -> tuple[Run, set[Any], list[str]]:
    """A run that has begun, those that run, and what was called."""
    running: set[Any] = set()
    called: list[str] = []
    run = Run(make(), running, lambda: called.append("fault"))
    run.add_done_callback(lambda _: called.append("end"))
    run.begin()
    return run, running, called


async def test_it_runs_at_once_and_goes_on_with_each_future() -> None:
    loop = asyncio.get_running_loop()
    futures = [loop.create_future() for _ in range(2)]
    seen: list[int] = []

    async def answer() -> None:
        seen.append(0)
        seen.extend([await future for future in futures])

    run, running, called = begin(answer)
    assert (seen, running, called) == ([0], {run}, [])
    futures[0].set_result(1)
    await asyncio.sleep(0)
    assert (seen, running) == ([0], {run})
    futures[1].set_result(2)
    await asyncio.sleep(0)
    assert (seen, running, called) == ([0, 1, 2], set(), ["end"])
    run.add_done_callback(lambda _: called.append("late"))
    assert called == ["end", "late"]


async def test_a_fault_of_what_is_awaited_is_the_coroutines() -> None:
    future = asyncio.get_running_loop().create_future()
    caught: list[BaseException] = []

    async def answer() -> None:
        try:
            await future
        except TimeoutError as error:
            caught.append(error)

    _, _, called = begin(answer)
    future.set_exception(TimeoutError())
    await asyncio.sleep(0)
    assert len(caught) == 1
    assert called == ["end"]


async def test_a_coroutine_that_raises_ends_with_a_fault(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def answer() -> None:
        raise ValueError("unexpected")

    _, running, called = begin(answer)
    assert (running, called) == (set(), ["fault", "end"])
    assert "unexpected" in caplog.text


async def test_a_cancelled_run_cleans_up_and_ends() -> None:
    future = asyncio.get_running_loop().create_future()
    cleaned: list[bool] = []

    async def answer() -> None:
        try:
            await future
        finally:
            cleaned.append(True)

    run, running, called = begin(answer)
    run.cancel("no more patience")
    await asyncio.sleep(0)
    assert cleaned == [True]
    assert (running, called) == (set(), ["fault", "end"])
