"""The HTTP surface of the operations: parse, call, render. It computes nothing itself."""

import asyncio
import hashlib
import math
import secrets
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from app.api import openapi as documents
from app.api.metrics import Metrics
from app.api.middleware import Record, record_of
from app.api.requests import INLINE_BYTES, check_limits, is_small, parse_parameters, read_items
from app.compute.codec import COMPUTE
from app.compute.inputs import Inputs, Work, measure
from app.compute.labels import check_label, find_label
from app.errors import ClientDisconnected, DeadlineExceeded, QueueFull
from app.operations.table import OPERATIONS, Operation
from app.serving.registry import Registry, ServedModel
from app.serving.scheduler import Scheduler, Timing
from app.settings import Settings
from app.wire.bodies import Body, parse_body, read_body
from app.wire.rendering import MEDIA_TYPES, Answer, Rendering, negotiate, render
from models import __version__

T = TypeVar("T")

SERVER_SEED_BITS = 53
"""Browsers' numbers are exact below 2^53."""
INLINE_NUMBERS = 16 * 1024
"""Answers of up to so many numbers are rendered on the event loop."""
MAX_PREPROCESSING_HEADER = 1024
IDENTITY_HEADERS = (
    "X-Seed",
    "X-Model-Name",
    "X-Model-Version",
    "X-Bundle-Digest",
    "X-Preprocessing",
    "X-Request-ID",
    "Server-Timing",
    "ETag",
)

ModelName = Annotated[str, Path(description="Name of a model.", examples=["mnist"])]
Version = Annotated[
    int, Path(ge=1, le=2**31 - 1, description="Version of the model.", examples=[1])
]
Handler = Callable[..., Awaitable[Response]]


@dataclass
class Service:
    """What every request needs."""

    settings: Settings
    registry: Registry
    scheduler: Scheduler
    metrics: Metrics
    readers: ThreadPoolExecutor
    """Threads for bodies to read and answers to render, apart from compute."""
    in_flight: int = 0
    """Operations being answered."""

    async def off_loop(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run a function on a reader thread."""
        return await asyncio.get_running_loop().run_in_executor(self.readers, function, *arguments)


@dataclass(frozen=True)
class Call:
    """One request for one operation, once its parameters are known."""

    request: Request
    record: Record
    operation: Operation
    served: ServedModel
    parameters: Any
    form: str
    seed: int
    seeded: bool
    """Whether the caller gave the seed."""
    label: int | None
    """Index of the label that the caller gave."""

    @property
    def draws(self) -> bool:
        """Whether anything in the answer rests on the seed."""
        return self.operation.draws(self.parameters, self.served.capabilities)


# Routes ----------------------------------------------------------------------------------------


def operations_router(service: Service) -> APIRouter:
    """Each operation for the default model, for a model, and for a version of it."""
    router = APIRouter()
    for operation in OPERATIONS.values():
        handlers = {
            "/v1": _for_default(service, operation),
            "/v1/models/{model}": _for_model(service, operation),
            "/v1/models/{model}/versions/{version}": _for_version(service, operation),
        }
        for prefix, handler in handlers.items():
            router.add_api_route(
                f"{prefix}/{operation.name}",
                handler,
                methods=[operation.method],
                **documents.route(operation, prefix),
            )
    return router


def _for_default(service: Service, operation: Operation) -> Handler:
    async def handle(request: Request) -> Response:
        return await answer(service, operation, request, service.registry.find())

    return handle


def _for_model(service: Service, operation: Operation) -> Handler:
    async def handle(request: Request, model: ModelName) -> Response:
        return await answer(service, operation, request, service.registry.find(model))

    return handle


def _for_version(service: Service, operation: Operation) -> Handler:
    async def handle(request: Request, model: ModelName, version: Version) -> Response:
        served = service.registry.find(model, version)
        return await answer(service, operation, request, served, versioned=True)

    return handle


async def answer(
    service: Service,
    operation: Operation,
    request: Request,
    served: ServedModel,
    *,
    versioned: bool = False,
) -> Response:
    """Serve one operation within its time, if there is room for it.

    Args:
        service: What every request needs.
        operation: The operation.
        request: The request; its body is not yet read.
        served: The model.
        versioned: Whether the URL names a version, so that a seeded answer never changes.

    Raises:
        QueueFull: As many requests as may be are being answered.
        DeadlineExceeded: The time is over; what was not yet computed is dropped.
    """
    record = record_of(request.scope)
    record.operation, record.model = operation.name, served.name
    settings = service.settings
    if service.in_flight >= settings.max_queue_requests:
        raise QueueFull(
            f"At most {settings.max_queue_requests} requests are answered at once "
            "(VAE_MAX_QUEUE_REQUESTS); there are as many. Try again in a second.",
            headers={"Retry-After": "1"},
        )
    service.in_flight += 1
    try:
        async with asyncio.timeout(settings.request_timeout_seconds):
            return await _answer(service, operation, request, served, versioned=versioned)
    except TimeoutError:
        raise DeadlineExceeded(
            f"A request is answered within {settings.request_timeout_seconds:g} s "
            "(VAE_REQUEST_TIMEOUT_SECONDS); this one was not. Ask for fewer items or samples, or "
            "try again later."
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
    call = _call(operation, request, served, body)
    headers = caching_headers(call, versioned=versioned)
    if _matches(request.headers.get("if-none-match"), headers.get("ETag")):
        return Response(status_code=304, headers=headers)
    inputs = await _inputs(service, call, body)
    work = measure(operation, served, inputs, call.parameters)
    check_limits(service.settings, work)
    computed = await _compute(service, call, inputs, work)
    content = await _render(service, call, computed, inputs)
    _count(service.metrics, call, computed, work)
    headers |= identity_headers(call, inputs)
    return Response(content, media_type=MEDIA_TYPES[call.form], headers=headers)


# Parsing ---------------------------------------------------------------------------------------


async def _body(service: Service, operation: Operation, request: Request) -> Body:
    if not operation.takes:
        return Body()
    settings = service.settings
    data = await read_body(request, max_bytes=settings.max_body_bytes)
    parse = partial(
        parse_body,
        data,
        request.headers,
        max_bytes=settings.max_body_bytes,
        max_items=settings.max_items,
    )
    return parse() if len(data) <= INLINE_BYTES else await service.off_loop(parse)


def _call(operation: Operation, request: Request, served: ServedModel, body: Body) -> Call:
    pairs = request.query_params.multi_items()
    parameters: Any = parse_parameters(operation, pairs, body.members)
    served.check_needs(operation, parameters)
    given = getattr(parameters, "seed", None)
    return Call(
        request=request,
        record=record_of(request.scope),
        operation=operation,
        served=served,
        parameters=parameters,
        form=_form(operation, parameters, request),
        seed=given if given is not None else secrets.randbits(SERVER_SEED_BITS),
        seeded=given is not None,
        label=find_label(served, getattr(parameters, "label", None)),
    )


def _form(operation: Operation, parameters: Any, request: Request) -> str:
    """The form of the answer: the one asked for by name, or the best of the Accept header."""
    formats = operation.formats
    if getattr(parameters, "output", None) == "logits":
        formats = tuple(form for form in formats if form != "png")
    if parameters.format is not None:
        return negotiate(MEDIA_TYPES[parameters.format], formats)
    return negotiate(request.headers.get("accept"), formats)


async def _inputs(service: Service, call: Call, body: Body) -> Inputs:
    """The body's items as the operation takes them."""
    if not call.operation.takes:
        return Inputs(label=call.label)
    started_at = time.perf_counter()
    stop = threading.Event()
    read = (service.settings, call.operation, call.served, body, call.parameters, stop)
    try:
        if is_small(body):
            inputs = read_items(*read)
        else:
            inputs = await service.off_loop(read_items, *read)
        inputs = replace(inputs, label=call.label)
        check_label(call.served, inputs)
        return inputs
    finally:
        stop.set()
        call.record.timings["read"] = time.perf_counter() - started_at


# Calling ---------------------------------------------------------------------------------------


async def _compute(service: Service, call: Call, inputs: Inputs, work: Work) -> Answer:
    timing = Timing()
    steps = COMPUTE[call.operation.name](call.served, inputs, call.parameters, call.seed)
    job = service.scheduler.run(steps, cost=work.cost, timing=timing)
    try:
        return await unless_disconnected(call.request, job)
    finally:
        call.record.timings["queue"] = timing.queue_seconds
        call.record.timings["compute"] = timing.compute_seconds


async def unless_disconnected(request: Request, work: Awaitable[T]) -> T:
    """Await work, and cancel it when the client hangs up.

    Raises:
        ClientDisconnected: It did.
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


# Rendering -------------------------------------------------------------------------------------


async def _render(service: Service, call: Call, computed: Answer, inputs: Inputs) -> bytes:
    started_at = time.perf_counter()
    parameters = call.parameters
    rendering = Rendering(
        primary=call.operation.primary,
        per_item=call.operation.per_item,
        encoding=getattr(parameters, "encoding", "png"),
        dtype=getattr(parameters, "dtype", "float32"),
        columns=getattr(parameters, "columns", None),
    )
    arguments = (call.form, computed, rendering, _envelope(call, inputs))
    numbers = sum(getattr(column, "size", 0) for column in computed.columns.values())
    if numbers <= INLINE_NUMBERS:
        content = render(*arguments)
    else:
        content = await service.off_loop(render, *arguments)
    call.record.timings["render"] = time.perf_counter() - started_at
    return content


def _envelope(call: Call, inputs: Inputs) -> dict[str, Any]:
    """What is said of the request: which model, from which seed, and what it saw."""
    envelope: dict[str, Any] = {"model": call.served.name, "version": call.served.version}
    if call.draws:
        envelope["seed"] = call.seed
    if inputs.preprocessing is not None:
        envelope["preprocessing"] = inputs.preprocessing
    if call.served.labels:
        envelope["label_used"] = None  # unless the answer says otherwise
    return envelope


def identity_headers(call: Call, inputs: Inputs) -> dict[str, str]:
    """The envelope for forms that have none."""
    headers = {
        "X-Model-Name": call.served.name,
        "X-Model-Version": str(call.served.version),
        "X-Bundle-Digest": call.served.bundle.digest,
    }
    if call.draws:
        headers["X-Seed"] = str(call.seed)
    if inputs.preprocessing is not None:
        headers["X-Preprocessing"] = preprocessing_header(inputs.preprocessing)
    return headers


def preprocessing_header(preprocessing: tuple[tuple[str, ...], ...]) -> str:
    """The steps of each item, items apart by " | "; once where all are alike; "none" for none."""
    items = [", ".join(steps) or "none" for steps in preprocessing]
    text = items[0] if len(set(items)) == 1 else " | ".join(items)
    text = text.encode("ascii", "replace").decode()
    if len(text) > MAX_PREPROCESSING_HEADER:
        return text[: MAX_PREPROCESSING_HEADER - 3] + "..."
    return text


def caching_headers(call: Call, *, versioned: bool) -> dict[str, str]:
    """How long an answer may be kept: a seeded GET for ever, from the URL of one version."""
    headers = {"Vary": "Accept", "Cache-Control": "no-store"}
    if call.operation.method == "GET" and call.seeded:
        digest = call.served.bundle.digest
        parts = (digest, __version__, call.parameters.model_dump_json(), call.form)
        headers["ETag"] = f'"{hashlib.sha256("|".join(parts).encode()).hexdigest()[:32]}"'
        kept = "max-age=31536000, immutable" if versioned else "no-cache"
        headers["Cache-Control"] = f"private, {kept}"
    return headers


def _matches(if_none_match: str | None, etag: str | None) -> bool:
    if if_none_match is None or etag is None:
        return False
    candidates = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in candidates or "*" in candidates


def _count(metrics: Metrics, call: Call, computed: Answer, work: Work) -> None:
    operation, model, timings = call.operation.name, call.served.name, call.record.timings
    metrics.items.labels(operation, model).inc(work.items)
    metrics.queue_seconds.labels(operation).observe(timings["queue"])
    metrics.compute_seconds.labels(operation, model).observe(timings["compute"])
    if operation == "elbo":
        percentiles = computed.columns["percentile"]
        metrics.count_percentiles(model, (p for p in percentiles if p and math.isfinite(p)))
