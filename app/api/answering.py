"""One request from its body to its answer: parse, compute, render.

What is small is parsed, computed and rendered without leaving the event loop. Only the rest takes
a thread, and ends early where its client leaves.
"""

import asyncio
import math
import secrets
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from starlette.types import Scope

from app.api.body import Incoming, read_body, refuse_body
from app.api.deadline import read_timeout
from app.api.headers import changing_lines, etag_matches, fixed_lines
from app.api.limits import check_limits
from app.api.metrics import Metrics
from app.api.plan import Plan, Plans, make_plan
from app.api.problems import Reply
from app.api.read_items import INLINE_BYTES, is_small, read_items
from app.api.record import Record
from app.api.service import Call, Service, T
from app.compute.cost import Work
from app.compute.inputs import Inputs
from app.compute.labels import check_label
from app.compute.request import ComputeRequest
from app.compute.table import compute
from app.errors import ClientDisconnected, DeadlineExceeded
from app.operations.parameters import Parameters
from app.operations.result import Answer
from app.operations.table import Operation
from app.serving.job import Job, Timing
from app.serving.served_model import ServedModel
from app.wire.bodies import parse_body
from app.wire.items import Body
from app.wire.rendering import render

_NEVER = threading.Event()

SERVER_SEED_BITS = 53
"""Bits of a seed that the server draws: JavaScript's integers are exact below 2^53."""
INLINE_NUMBERS = 16 * 1024
"""Largest answer that is rendered on the event loop instead of on a thread, in numbers."""


async def answer(
    service: Service,
    operation: Operation,
    served: ServedModel,
    plans: Plans,
    scope: Scope,
    incoming: Incoming,
    *,
    versioned: bool,
) -> Reply:
    """Answer one request for one operation within its deadline, if the engine has room for it.

    Args:
        service: Settings, models, scheduler and threads.
        operation: The operation.
        served: The model.
        plans: Those of the operation and the model.
        scope: The request's.
        incoming: Gives the parts of its body, and says when its client hangs up.
        versioned: Whether the URL names a version, whose seeded answers never change.

    Raises:
        VAEError: The request cannot be answered; says why.
    """
    record: Record = scope["vae.record"]
    record.operation, record.model = operation.name, served.name
    service.scheduler.check_open()
    headers = record.headers
    timeout = read_timeout(headers, service.settings)
    call = Call(service, operation, served, plans, incoming, record, timeout)
    body = await _body(call, scope)
    record.end_parsing()
    plan = _plan(call, scope["query_string"], body)
    fixed = plan.lines.get(versioned)
    if fixed is None:
        fixed = fixed_lines(plan, operation, served, versioned=versioned)
    if fixed.etag is not None and etag_matches(headers.get(b"if-none-match"), fixed.etag):
        return 304, fixed.caching, b""
    seed = plan.seed
    if seed is None:
        seed = secrets.randbits(SERVER_SEED_BITS) if plan.draws else 0
    inputs = await _read_inputs(call, plan.parameters, body) if operation.takes else Inputs()
    request = ComputeRequest(operation, served, plan.parameters, seed, plan.label, inputs)
    if inputs.latents is not None:
        check_label(request)
    work = _work(service, plan, request)
    computed = await _compute(call, request, work)
    content = await _render(call, request, plan, work, computed)
    _count(service.metrics, call, computed, work)
    lines = changing_lines(request, computed.warnings, len(content), draws=plan.draws)
    return 200, fixed.all + lines, content


async def _body(call: Call, scope: Scope) -> Body:
    operation, headers = call.operation, call.record.headers
    limit = call.service.settings.max_body_bytes
    if not operation.takes:
        await refuse_body(scope, headers, call.incoming.next_part, operation.name, max_bytes=limit)
        return Body()
    data = await read_body(headers, call.incoming.next_part, max_bytes=limit)
    if len(data) <= INLINE_BYTES:
        return _parse(call, data)
    return await _off_loop(call, partial(_parse, call, data))


def _parse(call: Call, data: bytes) -> Body:
    settings = call.service.settings
    return parse_body(
        data,
        call.record.body_type,
        max_bytes=settings.max_body_bytes,
        max_items=settings.max_items,
        takes=call.operation.takes,
    )


def _plan(call: Call, query: bytes, body: Body) -> Plan:
    registry, accept = call.service.registry, call.record.headers.get(b"accept")
    if body.members:
        return make_plan(registry, call.operation, call.served, query, accept, body.members)
    return call.plans.find(registry, call.operation, call.served, query, accept)


async def _read_inputs(call: Call, parameters: Parameters, body: Body) -> Inputs:
    """The body's items as the operation takes them."""
    started_at = time.perf_counter()
    settings, operation, served = call.service.settings, call.operation, call.served
    if is_small(body):
        try:
            return read_items(settings, operation, served, body, parameters, _NEVER)
        finally:
            call.record.end("read", started_at)
    stop = threading.Event()
    read = partial(read_items, settings, operation, served, body, parameters, stop)
    try:
        return await _off_loop(call, read)
    finally:
        stop.set()
        call.record.end("read", started_at)


async def _compute(call: Call, request: ComputeRequest[Any], work: Work) -> Answer:
    timing, served, record = Timing(), call.served, call.record
    scheduler = call.service.scheduler
    job = scheduler.admit(
        compute(request),
        model=served.vae,
        kind=call.operation.name,
        cost=work.cost,
        row_cost=served.cost,
        timing=timing,
        deadline=call.seconds_left,
        on_lane=partial(_hold, call),
    )
    record.stage = "queue"
    try:
        return await job.future
    except TimeoutError:
        raise _too_late(call) from None
    finally:
        scheduler.leave(job)
        record.end_compute(timing, job.admitted_at)


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


async def _render(
    call: Call, request: ComputeRequest[Any], plan: Plan, work: Work, computed: Answer
) -> bytes:
    started_at = time.perf_counter()
    record, envelope = call.record, _envelope(request, draws=plan.draws)
    record.stage = "render"
    given = plan.form, computed, call.operation, plan.rendering, envelope
    if work.numbers <= INLINE_NUMBERS or _numbers(computed) <= INLINE_NUMBERS:
        content = render(*given)
    else:
        content = await _off_loop(call, partial(render, *given))
    record.end("render", started_at)
    return content


def _numbers(computed: Answer) -> int:
    return sum(getattr(column, "size", 0) for column in computed.columns.values())


async def _off_loop(call: Call, function: Callable[[], T]) -> T:
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


def _work(service: Service, plan: Plan, request: ComputeRequest[Any]) -> Work:
    """The work of a request within the limits: the same for all of a plan with as many items."""
    inputs = request.inputs
    key = inputs.num_items, inputs.x is None, inputs.exchanged is None
    work = plan.works.get(key)
    if work is None:
        work = plan.works[key] = check_limits(service.settings, request)
    return work


def _too_late(call: Call) -> DeadlineExceeded:
    seconds = call.timeout
    return DeadlineExceeded(
        f"The request takes longer than {seconds:g} s (X-Request-Timeout-Seconds, or "
        "VAE_REQUEST_TIMEOUT_SECONDS). Send fewer items or samples per request, or retry when the "
        "server is less busy.",
        limit=seconds,
    )


def _envelope(request: ComputeRequest[Any], *, draws: bool) -> dict[str, Any]:
    """Facts of the request: which model, from which seed, and what it saw."""
    served, inputs = request.served, request.inputs
    envelope: dict[str, Any] = {"model": served.name, "version": served.version}
    if draws:
        envelope["seed"] = request.seed
    if inputs.preprocessing is not None:
        envelope["preprocessing"] = inputs.preprocessing
        envelope["preprocessing_steps"] = inputs.preprocessing_steps
    if served.labels:
        envelope["label_used"] = None  # unless the answer says otherwise
    return envelope


def _count(metrics: Metrics, call: Call, computed: Answer, work: Work) -> None:
    operation, model, record = call.operation.name, call.served.name, call.record
    record.items = work.items
    metrics.count_compute(
        operation, model, work.items, record.timings["queue"] / 1e3, record.timings["compute"] / 1e3
    )
    if operation == "elbo":
        percentiles = computed.columns["percentile"]
        metrics.count_percentiles(model, (p for p in percentiles if p and math.isfinite(p)))
