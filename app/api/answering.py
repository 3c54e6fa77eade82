"""One request from its body to its answer: parse, compute, render."""

import asyncio
import math
import secrets
import threading
import time
from collections.abc import Awaitable
from dataclasses import replace
from functools import partial
from typing import Any

from fastapi import Request
from starlette.responses import Response

from app.api.body import read_body, refuse_body
from app.api.headers import caching_headers, etag_matches, identity_headers
from app.api.limits import check_limits
from app.api.metrics import Metrics
from app.api.record import record_of
from app.api.requests import INLINE_BYTES, is_small, parse_parameters, read_items
from app.api.service import Call, Service, T
from app.compute.cost import Work
from app.compute.labels import check_label, find_label
from app.compute.request import ComputeRequest
from app.compute.table import compute
from app.errors import ClientDisconnected, DeadlineExceeded, QueueFull
from app.operations.parameters import Rendering
from app.operations.result import Answer
from app.operations.table import Operation
from app.serving.scheduler import Timing
from app.serving.served_model import ServedModel
from app.wire.bodies import parse_body
from app.wire.items import Body
from app.wire.media_types import MEDIA_TYPES
from app.wire.negotiation import negotiate
from app.wire.rendering import render

SERVER_SEED_BITS = 53
"""Bits of a seed that the server draws: JavaScript's integers are exact below 2^53."""
INLINE_NUMBERS = 16 * 1024
"""Largest answer that is rendered on the event loop instead of on a thread, in numbers."""


async def answer(
    service: Service,
    operation: Operation,
    request: Request,
    served: ServedModel,
    *,
    versioned: bool = False,
) -> Response:
    """Answer one request for one operation within its deadline, if the queue has room for it.

    Args:
        service: Settings, models, scheduler and threads.
        operation: The operation.
        request: The request; its body is not yet read.
        served: The model.
        versioned: Whether the URL names a version, whose seeded answers never change.

    Raises:
        QueueFull: The limit of requests at once is reached.
        DeadlineExceeded: The deadline passed; what was not yet computed is dropped.
    """
    record = record_of(request.scope)
    record.operation, record.model = operation.name, served.name
    settings = service.settings
    if service.in_flight >= settings.max_queue_requests:
        raise QueueFull(
            f"The server is answering {service.in_flight} requests, its limit "
            "(VAE_MAX_QUEUE_REQUESTS). Retry in a second.",
            limit=settings.max_queue_requests,
            headers={"Retry-After": "1"},
        )
    service.in_flight += 1
    try:
        async with asyncio.timeout(settings.request_timeout_seconds):
            return await _answer(service, operation, request, served, versioned=versioned)
    except TimeoutError:
        raise DeadlineExceeded(
            f"The request took longer than {settings.request_timeout_seconds:g} s "
            "(VAE_REQUEST_TIMEOUT_SECONDS). Send fewer items or samples per request, or retry when "
            "the server is less busy.",
            limit=settings.request_timeout_seconds,
        ) from None
    finally:
        service.in_flight -= 1


async def _answer(
    service: Service,
    operation: Operation,
    request: Request,
    served: ServedModel,
    *,
    versioned: bool,
) -> Response:
    body = await _body(service, operation, request)
    call = _call(service, operation, request, served, body)
    headers = caching_headers(call, versioned=versioned)
    if etag_matches(request.headers.get("if-none-match"), headers.get("ETag")):
        return Response(status_code=304, headers=headers)
    call = replace(call, request=await _read_inputs(service, call, body))
    work = check_limits(service.settings, call.request)
    computed = await _compute(service, call, work)
    content = await _render(service, call, computed)
    _count(service.metrics, call, computed, work)
    headers |= identity_headers(call.request, computed.warnings)
    return Response(content, media_type=MEDIA_TYPES[call.form], headers=headers)


async def _body(service: Service, operation: Operation, request: Request) -> Body:
    settings = service.settings
    if not operation.takes:
        await refuse_body(request, operation.name, max_bytes=settings.max_body_bytes)
        return Body()
    data = await read_body(request, max_bytes=settings.max_body_bytes)
    parse = partial(
        parse_body,
        data,
        request.headers.get("content-type"),
        max_bytes=settings.max_body_bytes,
        max_items=settings.max_items,
        takes=operation.takes,
    )
    return parse() if len(data) <= INLINE_BYTES else await service.off_loop(parse)


def _call(
    service: Service, operation: Operation, request: Request, served: ServedModel, body: Body
) -> Call:
    pairs = request.query_params.multi_items()
    parameters: Any = parse_parameters(operation, pairs, body.members, served=served)
    service.registry.check_needs(served, operation, parameters)
    given = getattr(parameters, "seed", None)
    return Call(
        http=request,
        record=record_of(request.scope),
        request=ComputeRequest(
            operation,
            served,
            parameters,
            seed=given if given is not None else secrets.randbits(SERVER_SEED_BITS),
            label=find_label(served, getattr(parameters, "label", None)),
        ),
        form=_form(operation, parameters, request),
        seeded=given is not None,
    )


def _form(operation: Operation, parameters: Any, request: Request) -> str:
    """Format of the answer: the one asked for by name, or the best of the Accept header."""
    formats = operation.formats
    if getattr(parameters, "output", None) == "logits":
        formats = tuple(form for form in formats if form != "png")
    return negotiate(request.headers.get("accept"), formats, wanted=parameters.format)


async def _read_inputs(service: Service, call: Call, body: Body) -> ComputeRequest[Any]:
    """The request with the body's items as the operation takes them."""
    request = call.request
    if not request.operation.takes:
        return request
    started_at = time.perf_counter()
    stop = threading.Event()
    read = (service.settings, request.operation, request.served, body, request.parameters, stop)
    try:
        if is_small(body):
            inputs = read_items(*read)
        else:
            inputs = await service.off_loop(read_items, *read)
        request = replace(request, inputs=inputs)
        check_label(request)
        return request
    finally:
        stop.set()
        call.record.timings["read"] = time.perf_counter() - started_at


async def _compute(service: Service, call: Call, work: Work) -> Answer:
    timing = Timing()
    job = service.scheduler.run(compute(call.request), cost=work.cost, timing=timing)
    try:
        return await unless_disconnected(call.http, job)
    finally:
        call.record.timings["queue"] = timing.queue_seconds
        call.record.timings["compute"] = timing.compute_seconds


async def unless_disconnected(request: Request, work: Awaitable[T]) -> T:
    """Await work, and cancel it when the client hangs up.

    Raises:
        ClientDisconnected: The client hung up.
    """
    task = asyncio.ensure_future(work)
    watcher = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait((task, watcher), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientDisconnected("The client hung up before the answer.")
    finally:
        task.cancel()
        watcher.cancel()
        await asyncio.gather(task, watcher, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _render(service: Service, call: Call, computed: Answer) -> bytes:
    started_at = time.perf_counter()
    operation, parameters = call.request.operation, call.request.parameters
    options = parameters if isinstance(parameters, Rendering) else Rendering()
    arguments = (call.form, computed, operation, options, _envelope(call.request))
    numbers = sum(getattr(column, "size", 0) for column in computed.columns.values())
    if numbers <= INLINE_NUMBERS:
        content = render(*arguments)
    else:
        content = await service.off_loop(render, *arguments)
    call.record.timings["render"] = time.perf_counter() - started_at
    return content


def _envelope(request: ComputeRequest[Any]) -> dict[str, Any]:
    """Facts of the request: which model, from which seed, and what it saw."""
    envelope: dict[str, Any] = {"model": request.served.name, "version": request.served.version}
    if request.draws:
        envelope["seed"] = request.seed
    if request.inputs.preprocessing is not None:
        envelope["preprocessing"] = request.inputs.preprocessing
        envelope["preprocessing_steps"] = request.inputs.preprocessing_steps
    if request.served.labels:
        envelope["label_used"] = None  # unless the answer says otherwise
    return envelope


def _count(metrics: Metrics, call: Call, computed: Answer, work: Work) -> None:
    operation, model = call.request.operation.name, call.request.served.name
    timings = call.record.timings
    metrics.items.labels(operation, model).inc(work.items)
    metrics.queue_seconds.labels(operation).observe(timings["queue"])
    metrics.compute_seconds.labels(operation, model).observe(timings["compute"])
    if operation == "elbo":
        percentiles = computed.columns["percentile"]
        metrics.count_percentiles(model, (p for p in percentiles if p and math.isfinite(p)))
