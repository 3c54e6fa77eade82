"""A request's parameters and items, checked and read, as `app.compute` takes them."""

import math
import re
import struct
import threading
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from operator import attrgetter
from typing import Any

import numpy as np
from pydantic import ValidationError

from app.api.examples import curl_options
from app.api.faults import Fault, explain
from app.api.limits import check_item_count
from app.api.redaction import is_secret
from app.compute.inputs import Inputs
from app.compute.labels import unknown_label
from app.compute.latents import check_latents
from app.errors import ClientDisconnected, InvalidParameter
from app.operations.latents import are_latents
from app.operations.parameters import Parameters
from app.operations.table import OPERATIONS, Operation
from app.serving.served_model import ServedModel
from app.settings import Settings
from app.wire.items import Body, Picture
from models.errors import InputError, ShapeMismatch, closest
from models.images import Observations, ReadOptions, Step, read_images

INLINE_BYTES = 16 * 1024
"""Items up to this are read on the event loop: a thread costs more than they do."""
INLINE_PIXELS = 10_000
"""Pixels of all pictures together that are read there, in about half a millisecond."""
MAX_FAULTS_NAMED = 8
ALIASES = {"count": "n", "num": "n", "num_images": "n", "samples": "num_samples"}
"""Names that callers try, and what they are called here."""
_READING = ("resize", "invert", "centre", "pixel_max", "binarize")
_reading = attrgetter(*_READING)


def parse_parameters(
    operation: Operation,
    pairs: list[tuple[str, str]],
    members: Mapping[str, Any],
    *,
    served: ServedModel,
) -> Parameters:
    """The parameters, from the query and from the body's members.

    Args:
        operation: Declares them.
        pairs: Names and values of the query.
        members: Names and values of the body, without its items.
        served: The model that the messages name.

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
    declared = operation.parameters.model_fields
    members = {  # null leaves a parameter out
        name: value for name, value in members.items() if value is not None or name not in declared
    }
    parameters = _validated(operation, {**members, **query}, query=query, served=served)
    for name in query.keys() & members.keys():
        in_body = _validated(operation, {name: members[name]}, query={}, served=served)
        if getattr(in_body, name) != getattr(parameters, name):
            raise InvalidParameter(
                f"{name} is {query[name][:60]!r} in the query and {str(members[name])[:60]!r} in "
                "the body. Give it once.",
                parameter=name,
                received=[query[name][:60], str(members[name])[:60]],
            )
    return parameters


def _validated(
    operation: Operation,
    values: Mapping[str, Any],
    *,
    query: Mapping[str, Any],
    served: ServedModel,
) -> Parameters:
    try:
        return operation.parameters.model_validate(dict(values))
    except ValidationError as error:
        found: list[dict[str, Any]] = [dict(f) for f in error.errors(include_url=False)]
        declared = operation.parameters.model_json_schema()["properties"]
        name, received = str(found[0]["loc"][0]), found[0]["input"]
        if name == "label" and served.labels and not isinstance(received, str):
            raise unknown_label(served, received) from error
        if found[0]["type"] == "extra_forbidden":
            first = _unknown_parameter(
                operation, name, received, in_query=name in query, served=served
            )
        else:
            first = explain(name, received, declared[name])
        others = dict.fromkeys(str(fault["loc"][0])[:60] for fault in found[1:])
        listed = ", ".join(list(others)[:MAX_FAULTS_NAMED])
        also = f" Also at fault: {listed}." if others else ""
        raise InvalidParameter(f"{first.message} {first.fix}{also}", **first.details) from error


def _unknown_parameter(
    operation: Operation, name: str, received: Any, *, in_query: bool, served: ServedModel
) -> Fault:
    name, fields = name[:60], operation.parameters.model_fields
    own = [field for field in operation.parameters.__annotations__ if field in fields]
    known = [*own, *(field for field in fields if field not in own)]
    if name in ("images", "latents"):  # JSON's are items; these come from a query or a text field
        return _misplaced_items(operation, name, in_query=in_query)
    if name in ("model", "version"):
        return _misplaced_model(operation, name, received, served)
    if is_secret(name):
        return Fault(
            f"{operation.name} has no parameter {name!r}.",
            "Send the header Authorization: Bearer KEY instead; proxies log a query.",
            {"parameter": name, "suggestion": "Authorization: Bearer KEY"},
        )
    meant = ALIASES.get(name) or closest(name, known if in_query else [*known, *operation.takes])
    meant = meant if meant in (*known, *operation.takes) else None
    details = {"parameter": name, "allowed": known, "suggestion": meant}
    return Fault(
        f"{operation.name} has no parameter {name!r}.",
        f"Did you mean {meant!r}?" if meant else f"It has {', '.join(known)}.",
        details,
    )


def _misplaced_items(operation: Operation, name: str, *, in_query: bool) -> Fault:
    if name not in operation.takes:
        takes = f", but {operation.takes[0]} in the body" if operation.takes else ""
        return Fault(
            f"{operation.name} takes no {name}{takes}.", f"Leave {name} out.", {"parameter": name}
        )
    where = "the query" if in_query else "a text field of the form"
    return Fault(
        f"{name} stands in {where}; items are sent in the body.",
        f"Send files: curl -F {name}=@FILE.",
        {"parameter": name, "suggestion": f"curl -F {name}=@FILE"},
    )


def _misplaced_model(operation: Operation, name: str, received: Any, served: ServedModel) -> Fault:
    """A model or version that stands among the parameters; plain values are put into the path."""
    text = str(received)
    text = text if re.fullmatch(r"[\w.-]{1,60}", text) else ""
    model = (text if name == "model" else "") or served.name
    version = f"/versions/{text or served.version}" if name == "version" else ""
    path = f"/v1/models/{model}{version}/{operation.name}"
    return Fault(
        f"{operation.name} has no parameter {name!r}.",
        f"The {name} is in the path: {path}.",
        {"parameter": name, "suggestion": path},
    )


def kind_of_items(operation: Operation, served: ServedModel, body: Body) -> str:
    """Whether the body's items are images or latents.

    An npy body may be either: where an operation takes both, its shape decides.

    Raises:
        ShapeMismatch: The body holds none of what the operation takes, or both kinds.
    """
    possible = [kind for kind in operation.takes if getattr(body, kind)]
    if len(possible) == 2 and body.images[0] is body.latents[0]:
        shape = body.latents[0].shape
        return "latents" if are_latents(shape, served.vae.latent_shape) else "images"
    if len(possible) != 1:
        received = [kind for kind in ("images", "latents") if getattr(body, kind)]
        raise _wrong_items(operation, served, received)
    return possible[0]


def _wrong_items(operation: Operation, served: ServedModel, received: list[str]) -> ShapeMismatch:
    curl = f"curl {curl_options(operation)}"
    send = {
        "images": f'Send {{"images": ["<base64 of a PNG>"]}}, or a file: {curl}.',
        "latents": f'Send {{"latents": [...]}}, each of {_size_of_latent(served)}, as encode '
        "answers them.",
    }[operation.takes[0]]
    if len(received) == 2:
        message = (
            f"The body holds images and latents; {operation.name} takes one kind. Leave out "
            "images or latents."
        )
    elif received:
        takes = operation.takes[0]
        message = f"The body holds {received[0]}; {operation.name} takes {takes}. {send}"
    else:
        message = f"The body holds no {' and no '.join(operation.takes)}. {send}"
    return ShapeMismatch(
        message,
        parameter="body",
        received=received or None,
        allowed=operation.takes,
        suggestion=curl,
    )


def _size_of_latent(served: ServedModel) -> str:
    shape = served.vae.latent_shape
    return f"{shape[0]} numbers" if len(shape) == 1 else f"shape {shape}"


def is_small(body: Body) -> bool:
    """Whether reading the items takes less time than handing them to a thread."""
    size, pixels = 0, 0.0
    for item in [*body.images, *body.latents]:
        if isinstance(item, Picture):
            size += len(item.data)
            pixels += _pixels_of_png(item.data)
        else:
            size += item.nbytes
    return size <= INLINE_BYTES and pixels <= INLINE_PIXELS


def _pixels_of_png(data: bytes) -> float:
    """Pixels by the header of a PNG; infinite in other formats, which hide many in few bytes."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR") or len(data) < 24:
        return math.inf
    width, height = struct.unpack_from(">II", data, 16)
    return float(width * height)


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
        inputs = _latents(operation, served, body)
    else:
        options = _read_options(settings.max_pixels, *_reading(parameters))
        try:
            inputs = _images(settings, served, body, options, stop)
            if parameters.check and served.offers(OPERATIONS["elbo"]):  # type: ignore[attr-defined]
                other = options.model_copy(update={"invert": not options.invert})
                exchanged = _images(settings, served, body, other, stop).x
                inputs = replace(inputs, exchanged=exchanged)
        except ShapeMismatch as error:
            array = _ambiguous(operation, body)
            is_about_it = array is not None and error.details.get("received") == array.shape
            if array is None or not is_about_it or error.details.get("suggestion"):
                raise
            raise _neither_kind(served, array) from error
    if operation.exact_items not in (None, inputs.num_items):
        raise _wrong_count(operation, served, body, inputs)
    return inputs


@lru_cache(maxsize=256)
def _read_options(max_pixels: int, *choices: Any) -> ReadOptions:
    return ReadOptions(max_pixels=max_pixels, **dict(zip(_READING, choices, strict=True)))


def _ambiguous(operation: Operation, body: Body) -> np.ndarray | None:
    """The array that may be images or latents: an npy body, or an unnamed array of an npz."""
    both = len(operation.takes) == 2 and body.images and body.latents
    return body.latents[0] if both and body.images[0] is body.latents[0] else None


def _neither_kind(served: ServedModel, array: np.ndarray) -> ShapeMismatch:
    pictures, latents = (
        f"(N, {', '.join(map(str, shape))})"
        for shape in (served.bundle.config.image.shape, served.vae.latent_shape)
    )
    return ShapeMismatch(
        f"The body's array of shape {array.shape} is neither pictures nor latents. {served.name} "
        f"takes pictures {pictures} or latents {latents}. Send what encode or sample gives.",
        parameter="body",
        received=list(array.shape),
        allowed=[pictures, latents],
    )


def _wrong_count(
    operation: Operation, served: ServedModel, body: Body, inputs: Inputs
) -> ShapeMismatch:
    count, wanted = inputs.num_items, operation.exact_items
    kind = "images" if inputs.latents is None else "latents"
    noun = kind if count > 1 else kind[:-1]
    array = _ambiguous(operation, body)
    seen, curl = "", f"curl {curl_options(operation, kind)}"
    if array is not None and inputs.latents is None:
        sides = ", ".join(map(str, served.vae.latent_shape))
        seen = (
            f" An array of shape {array.shape} is read as pictures; {served.name}'s latents have "
            f"the shape ({wanted}, {sides})."
        )
    return ShapeMismatch(
        f"The body holds {count} {noun}; {operation.name} takes {wanted}.{seen} Send {wanted}: "
        f"{curl}.",
        parameter="body",
        received=count,
        allowed=(wanted,),
        suggestion=curl,
    )


def _latents(operation: Operation, served: ServedModel, body: Body) -> Inputs:
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
            suggestion=f"curl {curl_options(operation, 'latents')}",
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
    parts: list[Observations] = []
    position = 0
    faults: list[tuple[int, str]] = []
    errors: list[InputError] = []
    for item in body.images:
        if stop.is_set():
            raise ClientDisconnected("Nobody waits for the answer any more.")
        try:
            if isinstance(item, Picture):
                found = read_images(item.data, spec, options=options, media_type=item.media_type)
            else:
                found = read_images(item, spec, options=options)
            parts.append(found)
            position += len(parts[-1])
        except InputError as error:
            errors.append(error)
            named = [(position + i, reason) for i, reason in error.items]
            faults += named or [(position, str(error))]
            position += len(named) or 1
    if errors:
        raise type(errors[0])(str(errors[0]), items=tuple(faults), **errors[0].details) from errors[
            0
        ]
    return _as_inputs(parts)


def _as_inputs(parts: list[Observations]) -> Inputs:
    steps = [steps for part in parts for steps in part.steps]
    described = {key: _described(one) for key, one in {id(one): one for one in steps}.items()}
    found = [described[id(one)] for one in steps]  # many images share their steps
    warnings = [warnings for part in parts for warnings in part.warnings]
    return Inputs(
        x=parts[0].x if len(parts) == 1 else np.concatenate([part.x for part in parts]),
        preprocessing=tuple(words for words, _ in found),
        preprocessing_steps=tuple(objects for _, objects in found),
        warnings=tuple(
            replace(warned, item=index) for index, some in enumerate(warnings) for warned in some
        ),
    )


@lru_cache(maxsize=256)
def _described(
    steps: tuple[Step, ...],
) -> tuple[tuple[str, ...], tuple[dict[str, str | None], ...]]:
    """Steps in words, and as objects."""
    return tuple(step.words for step in steps), tuple(step.to_json() for step in steps)


def _least_items(item: Picture | np.ndarray) -> int:
    """How many images an item holds at least, by its axes alone."""
    return len(item) if isinstance(item, np.ndarray) and item.ndim > 3 else 1
