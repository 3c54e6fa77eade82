"""What a request waits for, within its deadline: its job in the engine, and reader threads."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from app.api.service import Call, T
from app.compute.cost import Work
from app.compute.request import ComputeRequest
from app.compute.table import compute
from app.errors import ClientDisconnected, DeadlineExceeded
from app.operations.result import Answer
from app.serving.job import Job, Timing


def begin_compute(call: Call, request: ComputeRequest[Any], work: Work) -> Job[Answer]:
    """Begin a request's job; `end_compute` must be called once nobody waits for it.

    Raises:
        QueueFull, ModelNotReady: The engine has no room, or stops.
    """
    served = call.served
    job = call.service.scheduler.admit(
        compute(request),
        model=served.vae,
        kind=call.operation.name,
        cost=work.cost,
        row_cost=served.cost,
        timing=Timing(),
        deadline=call.seconds_left,
        on_lane=partial(_hold, call),
    )
    call.record.stage = "queue"
    return job


async def computed_by(call: Call, job: Job[Answer]) -> Answer:
    """What the job computes.

    Raises:
        DeadlineExceeded: The deadline passed.
        ClientDisconnected: The client left.
    """
    try:
        return await job.future
    except TimeoutError:
        raise _too_late(call) from None


def end_compute(call: Call, job: Job[Answer]) -> None:
    """Forget a job that has ended, or drop what is left of it, and note how long it took."""
    call.service.scheduler.leave(job)
    call.record.end_compute(job.timing, job.admitted_at)


def _hold(call: Call, job: Job[Any]) -> None:
    """End the wait for a job of the compute lane when its deadline passes or its client hangs up.

    A job on the event loop ends before its client could be seen to leave.
    """
    timer = job.future.get_loop().call_later(call.seconds_left, _give_up, job, TimeoutError())
    gone = ClientDisconnected("The client hung up before the answer.")
    forget_client = call.incoming.when_gone(lambda: _give_up(job, gone))

    def stop(_: object) -> None:
        timer.cancel()
        forget_client()

    job.future.add_done_callback(stop)


def _give_up(job: Job[Any], error: Exception) -> None:
    if not job.future.done():
        job.future.set_exception(error)


async def off_loop(call: Call, function: Callable[[], T]) -> T:
    """Run a function on a reader thread, and wait no longer than the request's deadline.

    Raises:
        DeadlineExceeded: The deadline passed.
    """
    future = call.service.off_loop(function)
    timer = future.get_loop().call_later(call.seconds_left, future.cancel)
    try:
        return await future
    except asyncio.CancelledError:
        if call.seconds_left > 0:
            raise
        raise _too_late(call) from None
    finally:
        timer.cancel()


def _too_late(call: Call) -> DeadlineExceeded:
    seconds = call.timeout
    return DeadlineExceeded(
        f"The request takes longer than {seconds:g} s (X-Request-Timeout-Seconds, or "
        "VAE_REQUEST_TIMEOUT_SECONDS). Send fewer items or samples per request, or retry when the "
        "server is less busy.",
        limit=seconds,
    )
