import asyncio
import inspect

import pytest

from app.serving.job import Job, Timing
from app.serving.lane import ComputeLane
from app.serving.pass_times import PassTimes
from tests.app.serving.jobs import LONG, Network, until, work

pytestmark = pytest.mark.anyio


async def test_a_job_abandoned_before_its_turn_never_begins() -> None:
    network = Network()
    job = Job(
        work(network, 1), asyncio.get_running_loop().create_future(), Timing(), network, "work",
        cost=1.0, row_cost=1.0, expected=LONG,
    )  # fmt: skip
    job.abandoned = True
    settled: list[Job[int]] = []
    lane = ComputeLane(PassTimes(), settled.extend, lambda *_: None, threads=1)
    lane.start()
    lane.put(job)
    try:
        await until(lambda: inspect.getgeneratorstate(job.steps) == inspect.GEN_CLOSED)
    finally:
        lane.stop()
    assert not network.batches
    assert not settled
