"""The HTTP surface of the operations: parse, call, render. It computes nothing itself."""

import asyncio
import hashlib
import math
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, cast

import numpy as np
from fastapi import APIRouter, Path, Request
from pydantic import ValidationError
from starlette.responses import Response

from app import documents
from app.batching import Scheduler, Timing
from app.bodies import Body, Picture, parse_body, read_body
from app.compute import COMPUTE, Inputs, Work, check_latents, measure
from app.errors import ClientDisconnected, InvalidParameter
from app.media import MEDIA_TYPES, Answer, Rendering, negotiate, render
from app.metrics import Metrics
from app.middleware import Record, record_of
from app.operations import OPERATIONS, Operation, Parameters
from app.registry import Registry, ServedModel
from app.settings import Settings
from models import __version__
from models.errors import InputError, PayloadTooLarge, ShapeMismatch
from models.images import Observation, ReadOptions, read_array, read_picture

T = TypeVar("T")

SERVER_SEED_BITS = 53
"""Browsers' numbers are exact below 2^53."""
INLINE_BYTES = 16 * 1024
"""Bodies up to this are parsed and read on the event loop: a thread costs more than they do."""
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


@dataclass(frozen=True)
class Service:
    """What every request needs."""

    settings: Settings
    registry: Registry
    scheduler: Scheduler
    metrics: Metrics
    readers: ThreadPoolExecutor
    """Threads for bodies to read and answers to render, apart from compute."""


def operations_router(service: Service) -> APIRouter:
    """Each operation for the default model, for a model, and for a version of it."""
    router = APIRouter()
    for operation in OPERATIONS.values():
        handlers: tuple[tuple[str, Callable[..., Awaitable[Response]]], ...] = (
            ("/v1", _for_default(service, operation)),
            ("/v1/models/{model}", _for_model(service, operation)),
            ("/v1/models/{model}/versions/{version}", _for_version(service, operation)),
        )
        for prefix, handler in handlers:
            router.add_api_route(
                f"{prefix}/{operation.name}",
                handler,
                methods=[operation.method],
                **documents.route(operation, prefix),
            )
    return router


def _for_default(service: Service, operation: Operation) -> Callable[..., Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        return await answer(service, operation, request, service.registry.find())

    return handle


def _for_model(service: Service, operation: Operation) -> Callable[..., Awaitable[Response]]:
    async def handle(request: Request, model: ModelName) -> Response:
        return await answer(service, operation, request, service.registry.find(model))

    return handle


def _for_version(service: Service, operation: Operation) -> Callable[..., Awaitable[Response]]:
    async def handle(request: Request, model: ModelName, version: Version) -> Response:
        served = service.registry.find(model, version)
        return await answer(service, operation, request, served, immutable=True)

    return handle


async def answer(
    service: Service,
    operation: Operation,
    request: Request,
    served: ServedModel,
    *,
    immutable: bool = False,
) -> Response:
    """Serve one operation.

    Args:
        service: What every request needs.
        operation: The operation.
        request: The request; its body is not yet read.
        served: The model.
        immutable: Whether the URL names a version, so that a seeded answer never changes.
    """
    deadline = asyncio.get_running_loop().time() + service.settings.request_timeout_seconds
    record = record_of(request.scope)
    record.operation, record.model = operation.name, served.name
    body = await _body(service, operation, request)
    parameters = parse_parameters(operation, request, body.members)
    form = _form(operation, parameters, request)
    served.check_needs(operation, parameters)
    seeded = getattr(parameters, "seed", None) is not None
    headers = caching_headers(operation, parameters, served, form, seeded and immutable)
    if "ETag" in headers and _matches(request.headers.get("if-none-match"), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    inputs = await _inputs(service, operation, served, body, parameters, record)
    work = measure(operation, served, inputs, parameters)
    check_limits(service.settings, work)
    seed = parameters.seed if seeded else secrets.randbits(SERVER_SEED_BITS)  # type: ignore[attr-defined]
    computed = await _compute(
        service, request, record, deadline, (operation, served, inputs, parameters, seed), work
    )
    drawn = seed if draws(operation, parameters) else None
    content = await _render(service, form, computed, parameters, served, inputs, drawn, record)
    _count(service, operation, served, computed, work, record)
    headers |= identity_headers(served, drawn, inputs.preprocessing)
    return Response(content, media_type=MEDIA_TYPES[form], headers=headers)


# Parsing ---------------------------------------------------------------------------------------


async def _body(service: Service, operation: Operation, request: Request) -> Body:
    if operation.method == "GET":
        return Body()
    data = await read_body(request, max_bytes=service.settings.max_body_bytes)
    if len(data) <= INLINE_BYTES:
        return parse_body(data, request.headers)
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(service.readers, parse_body, data, request.headers)


def parse_parameters(
    operation: Operation, request: Request, members: Mapping[str, Any]
) -> Parameters:
    """The parameters, from the query and from the body's members.

    Raises:
        InvalidParameter: Unknown, twice, in conflict or out of bounds; says which.
    """
    pairs = request.query_params.multi_items()
    given: dict[str, Any] = dict(pairs)
    if len(given) != len(pairs):
        twice = sorted({name for name, _ in pairs if [n for n, _ in pairs].count(name) > 1})
        raise InvalidParameter(
            f"A parameter is given once; the query has {twice[0][:60]!r} more than once."
        )
    queried = _validated(operation, given) if given else None
    merged = _validated(operation, {**members, **given}) if members or not given else queried
    for name in given.keys() & members.keys():
        in_body = _validated(operation, {name: members[name]})
        if getattr(in_body, name) != getattr(queried, name):
            raise InvalidParameter(
                f"Query and body agree where both give a parameter; {name!r} is "
                f"{given[name][:60]!r} in the query and {str(members[name])[:60]!r} in the body. "
                "Give it once."
            )
    return cast(Parameters, merged)


def _validated(operation: Operation, values: Mapping[str, Any]) -> Parameters:
    try:
        return operation.parameters.model_validate(dict(values))
    except ValidationError as error:
        faults = []
        for fault in error.errors(include_url=False, include_context=False):
            where = ".".join(str(part) for part in fault["loc"][:1])[:60]
            received = (
                "" if fault["type"] == "extra_forbidden" else f" (received {fault['input']!r:.80})"
            )
            faults.append(f"{where}: {fault['msg']}{received}")
        known = ", ".join(operation.parameters.model_fields)
        raise InvalidParameter(
            f"Parameters are as GET /openapi.json says; {'; '.join(faults[:8])}. "
            f"`{operation.name}` knows {known}."
        ) from error


def _form(operation: Operation, parameters: Any, request: Request) -> str:
    formats: tuple[str, ...] = operation.formats
    if getattr(parameters, "output", None) == "logits":
        formats = tuple(name for name in formats if name != "png")
    if parameters.format in formats:
        return str(parameters.format)
    if parameters.format is not None:
        return negotiate(MEDIA_TYPES[parameters.format], formats)
    return negotiate(request.headers.get("accept"), formats)


async def _inputs(
    service: Service,
    operation: Operation,
    served: ServedModel,
    body: Body,
    parameters: Parameters,
    record: Record,
) -> Inputs:
    """The body's items as the operation takes them."""
    if not operation.takes:
        return Inputs()
    started_at = time.perf_counter()
    read = _reader(service.settings, operation, served, body, parameters)
    if _is_small(body):
        inputs = read()
    else:
        inputs = await asyncio.get_running_loop().run_in_executor(service.readers, read)
    record.timings["read"] = time.perf_counter() - started_at
    return inputs


def _is_small(body: Body) -> bool:
    """Arrays that are cheap to read; a small picture file may hold many pixels, so none is."""
    arrays = [item for item in [*body.images, *body.latents] if isinstance(item, np.ndarray)]
    only_arrays = not any(isinstance(item, Picture) for item in body.images)
    return only_arrays and sum(array.nbytes for array in arrays) <= INLINE_BYTES


def _reader(
    settings: Settings, operation: Operation, served: ServedModel, body: Body, parameters: Any
) -> Callable[[], Inputs]:
    """A function that reads the items, on whatever thread."""
    kind = _kind(operation, served, body)
    if kind == "latents":
        return lambda: _latents(operation, served, body)
    options = ReadOptions(
        **{
            name: getattr(parameters, name) for name in ReadOptions.model_fields if name in _READING
        },
        max_pixels=settings.max_pixels,
    )
    return lambda: _images(settings, operation, served, body, options)


_READING = ("resize", "invert", "centre", "pixel_max", "binarize")


def _kind(operation: Operation, served: ServedModel, body: Body) -> str:
    """Whether the items are images or latents.

    An npy body may be either: where an operation takes both, its shape decides.
    """
    has = {"images": bool(body.images), "latents": bool(body.latents)}
    possible = [kind for kind in operation.takes if has[kind]]
    if len(possible) == 2 and body.latents and body.images and body.images[0] is body.latents[0]:
        shape = served.vae.latent_shape
        return "latents" if body.latents[0].shape[1:] == shape else "images"
    if len(possible) != 1:
        wanted = " or ".join(f"`{kind}`" for kind in operation.takes)
        received = " and ".join(f"`{kind}`" for kind, there in has.items() if there) or "nothing"
        raise ShapeMismatch(
            f"`{operation.name}` takes {wanted}; received {received}. Send one of them, with at "
            "least one item."
        )
    return possible[0]


def _latents(operation: Operation, served: ServedModel, body: Body) -> Inputs:
    try:
        joined = np.concatenate(body.latents)
    except ValueError as error:
        shapes = [part.shape[1:] for part in body.latents[:8]]
        raise ShapeMismatch(
            f"Latents share one shape; received {shapes}. Make them alike."
        ) from error
    latents = check_latents(joined, served.vae.latent_shape)
    _check_count(operation, len(latents))
    return Inputs(latents=latents)


def _images(
    settings: Settings,
    operation: Operation,
    served: ServedModel,
    body: Body,
    options: ReadOptions,
) -> Inputs:
    """All images, or an error that says which of them are at fault."""
    spec = served.bundle.config.image
    observations: list[Observation] = []
    faults: list[tuple[int, str]] = []
    first: InputError | None = None
    if len(body.images) > settings.max_items:
        raise _too_many_items(len(body.images), settings)
    for item in body.images:
        try:
            if isinstance(item, Picture):
                found = [read_picture(item.data, spec, options=options, media_type=item.media_type)]
            else:
                _check_array_items(item, settings)
                found = read_array(item, spec, options=options)
            observations += found
        except InputError as error:
            first = first or error
            position = len(observations) + len(faults)
            faults += [(position + i, why) for i, why in error.items] or [(position, str(error))]
    if first is not None:
        raise type(first)(str(first), items=tuple(faults[: settings.max_items])) from first
    _check_count(operation, len(observations))
    return Inputs(
        x=np.stack([observation.x for observation in observations]),
        preprocessing=tuple(observation.preprocessing for observation in observations),
    )


def _check_array_items(array: np.ndarray, settings: Settings) -> None:
    if array.ndim > 3 and len(array) > settings.max_items:
        raise _too_many_items(len(array), settings)


def _check_count(operation: Operation, count: int) -> None:
    if count < 1 or (operation.items_at_least == 2 and count != 2):
        wanted = "exactly two items" if operation.items_at_least == 2 else "at least one item"
        raise ShapeMismatch(f"`{operation.name}` takes {wanted}; received {count}.")


def _too_many_items(count: int, settings: Settings) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"A request has at most {settings.max_items} items (VAE_MAX_ITEMS); received {count}. "
        "Send it in parts, each with its `first_item`."
    )


def check_limits(settings: Settings, work: Work) -> None:
    """Refuse a request that is too large, before anything of it is computed.

    Raises:
        PayloadTooLarge: Names the limit's setting.
    """
    if work.items > settings.max_items:
        raise _too_many_items(work.items, settings)
    limits = (
        (work.samples, settings.max_num_samples, "samples for each item", "VAE_MAX_NUM_SAMPLES"),
        (
            work.numbers,
            settings.max_answer_numbers,
            "numbers in its answer",
            "VAE_MAX_ANSWER_NUMBERS",
        ),
        (work.cost, settings.max_request_cost, "cost units", "VAE_MAX_REQUEST_COST"),
    )
    for received, limit, what, name in limits:
        if received > limit:
            raise PayloadTooLarge(
                f"A request has at most {limit:g} {what} ({name}); received {received:g}. Ask for "
                "fewer items or samples."
            )


def draws(operation: Operation, parameters: Any) -> bool:
    """Whether anything in the answer rests on the seed."""
    if operation.name == "sample":
        return True
    if hasattr(parameters, "num_samples"):
        return bool(parameters.num_samples)
    return getattr(parameters, "output", None) == "sample"


# Calling ---------------------------------------------------------------------------------------


async def _compute(
    service: Service,
    request: Request,
    record: Record,
    deadline: float,
    call: tuple[Operation, ServedModel, Inputs, Any, int],
    work: Work,
) -> Answer:
    operation, served, inputs, parameters, seed = call
    timing = Timing()
    steps = COMPUTE[operation.name](served, inputs, parameters, seed)
    job = service.scheduler.run(steps, cost=work.cost, deadline=deadline, timing=timing)
    try:
        return await unless_disconnected(request, job)
    finally:
        record.timings["queue"] = timing.queue_seconds
        record.timings["compute"] = timing.compute_seconds


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


async def _render(
    service: Service,
    form: str,
    computed: Answer,
    parameters: Any,
    served: ServedModel,
    inputs: Inputs,
    seed: int | None,
    record: Record,
) -> bytes:
    started_at = time.perf_counter()
    rendering = Rendering(
        encoding=getattr(parameters, "encoding", "png"),
        dtype=getattr(parameters, "dtype", "float32"),
        columns=getattr(parameters, "columns", None),
    )
    envelope: dict[str, Any] = {"model": served.name, "version": served.version}
    if seed is not None:
        envelope["seed"] = seed
    if inputs.preprocessing is not None:
        envelope["preprocessing"] = inputs.preprocessing
    numbers = sum(getattr(column, "size", 0) for column in computed.columns.values())
    if numbers <= INLINE_NUMBERS:
        content = render(form, computed, rendering, envelope)
    else:
        loop = asyncio.get_running_loop()
        content = await loop.run_in_executor(
            service.readers, render, form, computed, rendering, envelope
        )
    record.timings["render"] = time.perf_counter() - started_at
    return content


def identity_headers(
    served: ServedModel,
    seed: int | None,
    preprocessing: tuple[tuple[str, ...], ...] | None,
) -> dict[str, str]:
    """Which model answered, from which seed, and what it saw."""
    headers = {
        "X-Model-Name": served.name,
        "X-Model-Version": str(served.version),
        "X-Bundle-Digest": served.bundle.digest,
    }
    if seed is not None:
        headers["X-Seed"] = str(seed)
    if preprocessing is not None:
        headers["X-Preprocessing"] = preprocessing_header(preprocessing)
    return headers


def preprocessing_header(preprocessing: tuple[tuple[str, ...], ...]) -> str:
    """The steps of each item, items apart by " | "; once where all are alike; "none" for none."""
    items = [", ".join(steps) or "none" for steps in preprocessing]
    text = items[0] if len(set(items)) == 1 else " | ".join(items)
    text = text.encode("ascii", "replace").decode()
    if len(text) > MAX_PREPROCESSING_HEADER:
        return text[: MAX_PREPROCESSING_HEADER - 3] + "..."
    return text


def caching_headers(
    operation: Operation, parameters: Any, served: ServedModel, form: str, immutable: bool
) -> dict[str, str]:
    """How long an answer may be kept: a seeded GET is the same for ever, from one version's URL."""
    headers = {"Vary": "Accept", "Cache-Control": "no-store"}
    if operation.method == "GET" and parameters.seed is not None:
        parts = (served.bundle.digest, __version__, parameters.model_dump_json(), form)
        digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
        headers["ETag"] = f'"{digest[:32]}"'
        headers["Cache-Control"] = (
            "private, max-age=31536000, immutable" if immutable else "private, no-cache"
        )
    return headers


def _matches(if_none_match: str | None, etag: str) -> bool:
    candidates = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return etag in candidates or "*" in candidates


def _count(
    service: Service,
    operation: Operation,
    served: ServedModel,
    computed: Answer,
    work: Work,
    record: Record,
) -> None:
    metrics = service.metrics
    metrics.items.labels(operation.name, served.name).inc(work.items)
    metrics.queue_seconds.labels(operation.name).observe(record.timings["queue"])
    metrics.compute_seconds.labels(operation.name, served.name).observe(record.timings["compute"])
    if operation.name == "elbo":
        percentiles = computed.columns["percentile"]
        finite = (p for p in percentiles if p is not None and math.isfinite(p))
        metrics.count_percentiles(served.name, finite)
