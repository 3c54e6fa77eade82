"""A request's parameters and items, checked and read, as `app.compute` takes them."""

import struct
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import ValidationError

from app.api.faults import Fault, explain
from app.api.limits import check_item_count
from app.compute.inputs import Inputs
from app.compute.latents import check_latents
from app.errors import ClientDisconnected, InvalidParameter
from app.operations.parameters import Parameters
from app.operations.table import Operation
from app.serving.served_model import ServedModel
from app.settings import Settings
from app.wire.bodies import Body, Picture
from models.errors import InputError, ShapeMismatch, closest
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
        twice = next(name for name in names if names.count(name) > 1)[:60]
        raise InvalidParameter(
            f"{twice} is given twice in the query. Give it once.", parameter=twice
        )
    parameters = _validated(operation, {**members, **query}, query=query)
    for name in query.keys() & members.keys():
        in_body = _validated(operation, {name: members[name]}, query={})
        if getattr(in_body, name) != getattr(parameters, name):
            raise InvalidParameter(
                f"{name} is {query[name][:60]!r} in the query and {str(members[name])[:60]!r} in "
                "the body. Give it once.",
                parameter=name,
                received=[query[name][:60], str(members[name])[:60]],
            )
    return parameters


def _validated(
    operation: Operation, values: Mapping[str, Any], *, query: Mapping[str, Any]
) -> Parameters:
    try:
        return operation.parameters.model_validate(dict(values))
    except ValidationError as error:
        found: list[dict[str, Any]] = [dict(f) for f in error.errors(include_url=False)]
        declared = operation.parameters.model_json_schema()["properties"]
        faults = [
            _unknown_parameter(operation, fault, in_query=fault["loc"][0] in query)
            if fault["type"] == "extra_forbidden"
            else explain(str(fault["loc"][0]), fault["input"], declared[fault["loc"][0]])
            for fault in found
        ]
        first, others = faults[0], faults[1:MAX_FAULTS_NAMED]
        also = f" Also wrong: {' '.join(fault.message for fault in others)}" if others else ""
        raise InvalidParameter(f"{first.message} {first.fix}{also}", **first.details) from error


def _unknown_parameter(operation: Operation, fault: Mapping[str, Any], *, in_query: bool) -> Fault:
    name, known = str(fault["loc"][0])[:60], list(operation.parameters.model_fields)
    if name in ("images", "latents"):  # JSON's are items; these come from a query or a text field
        where = "the query" if in_query else "a text field of the form"
        return Fault(
            f"{name} stands in {where}; items are sent in the body.",
            f"Send files: curl -F {name}=@FILE.",
            {"parameter": name, "suggestion": f"curl -F {name}=@FILE"},
        )
    meant = closest(name, known if in_query else [*known, *operation.takes])
    details = {"parameter": name, "allowed": known, "suggestion": meant}
    return Fault(
        f"{operation.name} has no parameter {name!r}.",
        f"Did you mean {meant!r}?" if meant else f"It has {', '.join(known)}.",
        details,
    )


def kind_of_items(operation: Operation, served: ServedModel, body: Body) -> str:
    """Whether the body's items are images or latents.

    An npy body may be either: where an operation takes both, its shape decides.

    Raises:
        ShapeMismatch: The body holds none of what the operation takes, or both kinds.
    """
    has = {"images": bool(body.images), "latents": bool(body.latents)}
    possible = [kind for kind in operation.takes if has[kind]]
    if len(possible) == 2 and body.images[0] is body.latents[0]:
        is_latent = body.latents[0].shape[1:] == served.vae.latent_shape
        return "latents" if is_latent else "images"
    if len(possible) != 1:
        raise _wrong_items(operation, served, [kind for kind, there in has.items() if there])
    return possible[0]


def _wrong_items(operation: Operation, served: ServedModel, received: list[str]) -> ShapeMismatch:
    wanted = operation.takes[0]
    shape = ", ".join(map(str, served.vae.latent_shape))
    send = {
        "images": 'Send {"images": ["<base64 of a PNG>"]}, or files: curl -F images=@digit.png.',
        "latents": f'Send {{"latents": [...]}}, each of shape ({shape}), as encode answers them.',
    }[wanted]
    if len(received) == 2:
        message = (
            f"The body holds images and latents; {operation.name} takes one kind. Leave out "
            "images or latents."
        )
    elif received:
        message = f"{operation.name} takes {wanted}, and the body holds {received[0]}. {send}"
    else:
        message = f"The body holds no {' and no '.join(operation.takes)}. {send}"
    return ShapeMismatch(
        message, parameter="body", received=received or None, allowed=operation.takes
    )


def is_small(body: Body) -> bool:
    """Whether reading the items takes less time than handing them to a thread."""
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
    """Read the body's items as the operation takes them, on whatever thread.

    Args:
        settings: The limits.
        operation: Which kind of items it takes, and how many.
        served: The model.
        body: The items as sent.
        parameters: How pictures are read.
        stop: Set when the caller no longer waits.
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
        kinds = " or ".join(operation.takes)
        raise ShapeMismatch(
            f"{operation.name} takes exactly {operation.exact_items} {kinds}; the body holds "
            f"{inputs.num_items}. Send {operation.exact_items}.",
            parameter="body",
            received=inputs.num_items,
            allowed=(operation.exact_items,),
            suggestion=operation.exact_items,
        )
    return inputs


def _latents(served: ServedModel, body: Body) -> Inputs:
    shapes = {part.shape[1:] for part in body.latents}
    if len(shapes) > 1:
        shape = served.vae.latent_shape
        named = ", ".join(str(list(found)) for found in sorted(shapes)[:MAX_FAULTS_NAMED])
        raise ShapeMismatch(
            f"latents have different shapes: {named}. Send each of shape {list(shape)}, as encode "
            "answers them.",
            parameter="latents",
            received=[list(found) for found in sorted(shapes)[:MAX_FAULTS_NAMED]],
            allowed=[list(shape)],
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
    """Read all images; raise one error that names every image at fault."""
    check_item_count(sum(map(_least_items, body.images)), settings)
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
        raise type(errors[0])(str(errors[0]), items=tuple(faults), **errors[0].details) from errors[
            0
        ]
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
