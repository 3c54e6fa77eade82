"""One request from its body to its answer: parse, compute, render.

What is small is parsed, computed and rendered without leaving the event loop. Only the rest takes
a thread, and ends early where its client leaves.
"""

import math
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from starlette.types import Scope

from app.api.body import Incoming, read_body, refuse_body
from app.api.computing import begin_compute, computed_by, end_compute, off_loop
from app.api.deadline import read_timeout
from app.api.headers import changing_lines, etag_matches, fixed_lines
from app.api.limits import check_limits
from app.api.metrics import Metrics
from app.api.plan import Plan, Plans, make_plan
from app.api.read_items import INLINE_BYTES, is_small, read_items
from app.api.record import Record
from app.api.reply import Reply
from app.api.service import Call, Service, T
from app.api.streaming import Stream
from app.compute.cost import Work
from app.compute.inputs import Inputs
from app.compute.labels import check_label
from app.compute.request import ComputeRequest
from app.operations.parameters import Parameters
from app.operations.result import Answer
from app.operations.table import Operation
from app.serving.served_model import ServedModel
from app.wire.bodies import parse_body
from app.wire.items import Body
from app.wire.media_types import STREAM_TYPES
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
    call = begin_call(service, operation, served, plans, scope, incoming)
    headers = call.record.headers
    body = await _body(call, scope)
    call.record.end_parsing()
    plan = find_plan(call, scope["query_string"], body, accept=headers.get(b"accept"))
    fixed = plan.lines.get(versioned)
    if fixed is None:
        fixed = fixed_lines(plan, operation, served, versioned=versioned)
    if fixed.etag is not None and etag_matches(headers.get(b"if-none-match"), fixed.etag):
        return 304, fixed.caching, b""
    request, work = await prepare(call, plan, body)
    if plan.form in STREAM_TYPES:
        stream = await _stream(call, request, plan, work, scope)
        return 200, fixed.all + changing_lines(request, (), None, draws=plan.draws), stream
    computed = await compute_answer(call, request, work)
    content = await _render(call, request, plan, work, computed)
    lines = changing_lines(request, computed.warnings, len(content), draws=plan.draws)
    return 200, fixed.all + lines, content


def begin_call(
    service: Service,
    operation: Operation,
    served: ServedModel,
    plans: Plans,
    scope: Scope,
    incoming: Incoming,
) -> Call:
    """Begin to answer a request, as `answer` explains the arguments.

    Raises:
        ModelNotReady: The server is shutting down.
        InvalidParameter: The deadline is no number of seconds.
    """
    record: Record = scope["vae.record"]
    record.operation, record.model = operation.name, served.name
    service.scheduler.check_open()
    timeout = read_timeout(record.headers, service.settings)
    return Call(service, operation, served, plans, incoming, record, timeout)


async def _body(call: Call, scope: Scope) -> Body:
    operation, headers = call.operation, call.record.headers
    limit = call.service.settings.max_body_bytes
    if not operation.takes:
        await refuse_body(scope, headers, call.incoming.next_part, operation.name, max_bytes=limit)
        return Body()
    data = await read_body(headers, call.incoming.next_part, max_bytes=limit)
    if len(data) <= INLINE_BYTES:
        return _parse(call, data)
    return await off_loop(call, partial(_parse, call, data))


def _parse(call: Call, data: bytes) -> Body:
    settings = call.service.settings
    return parse_body(
        data,
        call.record.body_type,
        max_bytes=settings.max_body_bytes,
        max_items=settings.max_items,
        takes=call.operation.takes,
    )


def find_plan(call: Call, query: bytes, body: Body, *, accept: bytes | None) -> Plan:
    """The plan of a request, by its query, its body's parameters and its Accept header.

    Raises:
        InvalidParameter, UnsupportedOperation, NotAcceptable: It cannot be done; says why.
    """
    registry = call.service.registry
    if body.members:
        return make_plan(registry, call.operation, call.served, query, accept, body.members)
    return call.plans.find(registry, call.operation, call.served, query, accept)


async def prepare(call: Call, plan: Plan, body: Body) -> tuple[ComputeRequest[Any], Work]:
    """Read the items of a request, draw its seed, and hold it against the limits.

    Raises:
        InputError, InvalidParameter: An item or the label is at fault.
        PayloadTooLarge: It is over a limit; says which, and what fits.
    """
    operation, parameters, seed = call.operation, plan.parameters, plan.seed
    if seed is None:
        seed = secrets.randbits(SERVER_SEED_BITS) if plan.draws else 0
    inputs = await _read_inputs(call, parameters, body) if operation.takes else Inputs()
    request = ComputeRequest(operation, call.served, parameters, seed, plan.label, inputs)
    if inputs.latents is not None:
        check_label(request)
    return request, _work(call.service, plan, request)


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
        return await off_loop(call, read)
    finally:
        stop.set()
        call.record.end("read", started_at)


async def compute_answer(call: Call, request: ComputeRequest[Any], work: Work) -> Answer:
    """What the engine computes for a request, counted in the metrics.

    Raises:
        QueueFull, ModelNotReady: The engine has no room, or stops.
        DeadlineExceeded, ClientDisconnected: Nobody waits any more.
    """
    job = begin_compute(call, request, work)
    try:
        computed = await computed_by(call, job)
    finally:
        end_compute(call, job)
    _count(call.service.metrics, call, computed, work)
    return computed


async def _stream(
    call: Call,
    request: ComputeRequest[Any],
    plan: Plan,
    work: Work,
    scope: Scope,
) -> Stream:
    """The answer line by line, from the first line on."""

    async def finish(computed: Answer) -> bytes:
        content = await _render(call, request, plan, work, computed)
        _count(call.service.metrics, call, computed, work)
        return content

    stream = Stream(call, scope, plan.form)
    job = begin_compute(call, replace(request, report=stream.report), work)
    await stream.begin(job, finish)
    return stream


async def _render(
    call: Call, request: ComputeRequest[Any], plan: Plan, work: Work, computed: Answer
) -> bytes:
    form = "json" if plan.form in STREAM_TYPES else plan.form
    envelope = describe_request(request, draws=plan.draws)
    write = partial(render, form, computed, call.operation, plan.rendering, envelope)
    return await render_by(call, work, computed, write)


async def render_by(call: Call, work: Work, computed: Answer, write: Callable[[], T]) -> T:
    """Write an answer: on the event loop, or on a thread if it is long."""
    started_at = time.perf_counter()
    call.record.stage = "render"
    if work.numbers <= INLINE_NUMBERS or _numbers(computed) <= INLINE_NUMBERS:
        written = write()
    else:
        written = await off_loop(call, write)
    call.record.end("render", started_at)
    return written


def _numbers(computed: Answer) -> int:
    return sum(getattr(column, "size", 0) for column in computed.columns.values())


def _work(service: Service, plan: Plan, request: ComputeRequest[Any]) -> Work:
    """The work of a request within the limits: the same for all of a plan with as many items."""
    inputs = request.inputs
    key = inputs.num_items, inputs.x is None, inputs.exchanged is None
    work = plan.works.get(key)
    if work is None:
        work = plan.works[key] = check_limits(service.settings, request)
    return work


def describe_request(request: ComputeRequest[Any], *, draws: bool) -> dict[str, Any]:
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
    if operation == "anomaly":
        drift = call.served.drift
        window = call.service.settings.drift_window
        if drift.add(computed.columns["p_value"].tolist(), window) and drift.p_value is not None:
            metrics.show_drift(model, call.served.version, drift.p_value)
