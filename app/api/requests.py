"""A request's parameters and items, checked, as `work.py` takes them. It computes nothing."""

import struct
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import ValidationError

from app.compute.cost import Work
from app.compute.inputs import Inputs
from app.compute.latents import check_latents
from app.errors import ClientDisconnected, InvalidParameter
from app.operations.parameters import Parameters
from app.operations.table import Operation
from app.serving.served_model import ServedModel
from app.settings import Settings
from app.wire.bodies import Body, Picture
from models.errors import InputError, PayloadTooLarge, ShapeMismatch
from models.images import Observation, ReadOptions, read_array, read_picture

INLINE_BYTES = 16 * 1024
"""Items up to this are read on the event loop: a thread costs more than they do."""
INLINE_PIXELS = 10_000
MAX_FAULTS_NAMED = 8
_READING = ("resize", "invert", "centre", "pixel_max", "binarize")


def parse_parameters(
    operation: Operation, pairs: list[tuple[str, str]], members: Mapping[str, Any]
) -> Parameters:
    """The parameters, from the query and from the body's members.

    Raises:
        InvalidParameter: Unknown, twice, in conflict or out of bounds; says which.
    """
    query = dict(pairs)
    if len(query) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidParameter(
            f"A parameter is given once; the query has {twice[:60]!r} more than once. Give it once."
        )
    parameters = _validated(operation, {**members, **query})
    for name in query.keys() & members.keys():
        if getattr(_validated(operation, {name: members[name]}), name) != getattr(parameters, name):
            raise InvalidParameter(
                f"Query and body agree where both give a parameter; {name!r} is "
                f"{query[name][:60]!r} in the query and {str(members[name])[:60]!r} in the body. "
                "Give it once."
            )
    return parameters


def _validated(operation: Operation, values: Mapping[str, Any]) -> Parameters:
    try:
        return operation.parameters.model_validate(dict(values))
    except ValidationError as error:
        faults = [_fault(dict(fault)) for fault in error.errors(include_url=False)]
        known = ", ".join(operation.parameters.model_fields)
        raise InvalidParameter(
            f"Parameters are as GET /openapi.json says; {'; '.join(faults[:MAX_FAULTS_NAMED])}. "
            f"`{operation.name}` knows {known}."
        ) from error


def _fault(fault: Mapping[str, Any]) -> str:
    where = str(fault["loc"][0])[:60] if fault["loc"] else "the parameters"
    if fault["type"] == "extra_forbidden":
        return f"{where!r} is not known"
    return f"{where}: {fault['msg']} (received {str(fault['input'])[:60]!r})"


def kind_of_items(operation: Operation, served: ServedModel, body: Body) -> str:
    """Whether the body's items are images or latents.

    An npy body may be either: where an operation takes both, its shape decides.

    Raises:
        ShapeMismatch: It holds neither, both, or the other one.
    """
    has = {"images": bool(body.images), "latents": bool(body.latents)}
    possible = [kind for kind in operation.takes if has[kind]]
    if len(possible) == 2 and body.images[0] is body.latents[0]:
        is_latent = body.latents[0].shape[1:] == served.vae.latent_shape
        return "latents" if is_latent else "images"
    if len(possible) != 1:
        wanted = " or ".join(f"`{kind}`" for kind in operation.takes)
        received = " and ".join(f"`{kind}`" for kind, there in has.items() if there) or "nothing"
        raise ShapeMismatch(
            f"`{operation.name}` takes {wanted}; received {received}. Send one of them, with at "
            "least one item."
        )
    return possible[0]


def is_small(body: Body) -> bool:
    """Whether the items are read faster than a thread is woken."""
    size = 0
    for item in [*body.images, *body.latents]:
        if isinstance(item, Picture) and not _is_tiny_png(item.data):
            return False
        size += len(item.data) if isinstance(item, Picture) else item.nbytes
    return size <= INLINE_BYTES


def _is_tiny_png(data: bytes) -> bool:
    """By the size in its header; other formats may hide many pixels in few bytes."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR") or len(data) < 24:
        return False
    width, height = struct.unpack_from(">II", data, 16)
    return bool(width * height <= INLINE_PIXELS)


def read_items(
    settings: Settings,
    operation: Operation,
    served: ServedModel,
    body: Body,
    parameters: Parameters,
    stop: threading.Event,
) -> Inputs:
    """The body's items as the operation takes them, on whatever thread.

    Args:
        settings: For the limits.
        operation: Says what it takes.
        served: The model.
        body: The items as sent.
        parameters: Say how pictures are read.
        stop: Set when nobody waits any more.
    """
    if kind_of_items(operation, served, body) == "latents":
        inputs = _latents(served, body)
    else:
        options = ReadOptions(
            max_pixels=settings.max_pixels,
            **{name: getattr(parameters, name) for name in _READING},
        )
        inputs = _images(settings, served, body, options, stop)
    if operation.exact_items not in (None, inputs.num_items):
        raise ShapeMismatch(
            f"`{operation.name}` takes exactly {operation.exact_items} items; received "
            f"{inputs.num_items}. Send as many."
        )
    return inputs


def _latents(served: ServedModel, body: Body) -> Inputs:
    shapes = {part.shape[1:] for part in body.latents}
    if len(shapes) > 1:
        raise ShapeMismatch(
            f"Latents share one shape; received {sorted(shapes)[:MAX_FAULTS_NAMED]}. Make them "
            "alike."
        )
    parts = [np.atleast_1d(part) for part in body.latents]
    return Inputs(latents=check_latents(np.concatenate(parts), served.vae))


def _images(
    settings: Settings,
    served: ServedModel,
    body: Body,
    options: ReadOptions,
    stop: threading.Event,
) -> Inputs:
    """All images, or an error that says which of them are at fault."""
    _check_item_count(sum(map(_least_items, body.images)), settings)
    spec = served.bundle.config.image
    observations: list[Observation] = []
    faults: list[tuple[int, str]] = []
    errors: list[InputError] = []
    for item in body.images:
        if stop.is_set():
            raise ClientDisconnected("Nobody waits for the answer any more.")
        try:
            if isinstance(item, Picture):
                media_type = item.media_type
                observations.append(
                    read_picture(item.data, spec, options=options, media_type=media_type)
                )
            else:
                observations += read_array(item, spec, options=options)
        except InputError as error:
            errors.append(error)
            position = len(observations) + len(faults)
            named = [(position + i, reason) for i, reason in error.items]
            faults += named or [(position, str(error))]
    if errors:
        raise type(errors[0])(str(errors[0]), items=tuple(faults)) from errors[0]
    return Inputs(
        x=np.stack([observation.x for observation in observations]),
        preprocessing=tuple(observation.preprocessing for observation in observations),
        preprocessing_steps=tuple(
            tuple(step.to_json() for step in observation.steps) for observation in observations
        ),
    )


def _least_items(item: Picture | np.ndarray) -> int:
    """How many images an item holds at least, by its axes alone."""
    return len(item) if isinstance(item, np.ndarray) and item.ndim > 3 else 1


def _check_item_count(count: int, settings: Settings) -> None:
    if count > settings.max_items:
        raise PayloadTooLarge(
            f"A request has at most {settings.max_items} items (VAE_MAX_ITEMS); received {count}. "
            "Send it in parts, each with its `first_item`."
        )


def check_limits(settings: Settings, work: Work) -> None:
    """Refuse a request that is too large, before anything of it is computed.

    Raises:
        PayloadTooLarge: Names the limit's setting.
    """
    _check_item_count(work.items, settings)
    for received, limit, what, name in (
        (work.samples, settings.max_num_samples, "samples for each item", "VAE_MAX_NUM_SAMPLES"),
        (work.numbers, settings.max_answer_numbers, "numbers to answer", "VAE_MAX_ANSWER_NUMBERS"),
        (work.cost, settings.max_request_cost, "cost units", "VAE_MAX_REQUEST_COST"),
    ):
        if received > limit:
            raise PayloadTooLarge(
                f"A request has at most {limit:g} {what} ({name}); received {received:g}. Ask for "
                "fewer items or samples."
            )
