"""A request's items, images or latents, checked and read as `app.compute` takes them."""

import math
import struct
import threading
from dataclasses import replace
from functools import lru_cache
from operator import attrgetter
from typing import Any

import numpy as np

from app.api.examples import curl_options
from app.api.limits import check_item_count
from app.compute.inputs import Inputs
from app.compute.latents import check_latents
from app.errors import ClientDisconnected
from app.operations.latents import are_latents
from app.operations.parameters import Parameters
from app.operations.table import OPERATIONS, Operation
from app.serving.served_model import ServedModel
from app.settings import Settings
from app.wire.items import Body, Picture
from models.errors import InputError, ShapeMismatch
from models.images import ImageSpec, Observations, ReadOptions, Step, read_images

INLINE_BYTES = 16 * 1024
"""Items up to this are read on the event loop: a thread costs more than they do."""
INLINE_PIXELS = 10_000
"""Pixels of all pictures together that are read there, in about half a millisecond."""
MAX_FAULTS_NAMED = 8
_READING = ("resize", "invert", "centre", "pixel_max", "binarize")
_reading = attrgetter(*_READING)


def kind_of_items(operation: Operation, served: ServedModel, body: Body) -> str:
    """Whether the body's items are images or latents.

    An npy body may be either: where an operation takes both, its shape decides.

    Raises:
        ShapeMismatch: The body holds none of what the operation takes, or both kinds.
    """
    has_images = bool(body.images) and "images" in operation.takes
    has_latents = bool(body.latents) and "latents" in operation.takes
    if has_images is not has_latents:
        return "images" if has_images else "latents"
    if has_images and body.images[0] is body.latents[0]:
        shape = body.latents[0].shape
        return "latents" if are_latents(shape, served.vae.latent_shape) else "images"
    received = [kind for kind in ("images", "latents") if getattr(body, kind)]
    raise _wrong_items(operation, served, received)


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
    for item in (*body.images, *body.latents):
        if isinstance(item, Picture):
            size += len(item.data)
            pixels += _pixels_of_png(item.data[:24])
        else:
            size += item.nbytes
    return size <= INLINE_BYTES and pixels <= INLINE_PIXELS


@lru_cache(maxsize=256)
def _pixels_of_png(beginning: bytes) -> float:
    """Pixels by the header of a PNG; infinite in other formats, which hide many in few bytes."""
    if not beginning.startswith(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR") or len(beginning) < 24:
        return math.inf
    width, height = struct.unpack_from(">II", beginning, 16)
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
    if operation.exact_items is not None and operation.exact_items != inputs.num_items:
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
    images, spec = body.images, served.bundle.config.image
    if len(images) > 1 or not isinstance(images[0], Picture):
        check_item_count(sum(map(_least_items, images)), settings)
    parts: list[Observations] = []
    faults: list[tuple[int, str]] = []
    errors: list[InputError] = []
    failed = 0
    for item in images:
        if stop.is_set():
            raise ClientDisconnected("Nobody waits for the answer any more.")
        try:
            parts.append(_read(item, spec, options))
        except InputError as error:
            errors.append(error)
            position = sum(map(len, parts)) + failed
            named = [(position + i, reason) for i, reason in error.items]
            faults += named or [(position, str(error))]
            failed += len(named) or 1
    if errors:
        raise type(errors[0])(str(errors[0]), items=tuple(faults), **errors[0].details) from errors[
            0
        ]
    return _as_inputs(parts[0] if len(parts) == 1 else _joined(parts))


def _read(item: Picture | np.ndarray, spec: ImageSpec, options: ReadOptions) -> Observations:
    if isinstance(item, Picture):
        return read_images(item.data, spec, options=options, media_type=item.media_type)
    return read_images(item, spec, options=options)


def _joined(parts: list[Observations]) -> Observations:
    return Observations(
        np.concatenate([part.x for part in parts]),
        tuple(steps for part in parts for steps in part.steps),
        tuple(warnings for part in parts for warnings in part.warnings),
    )


def _as_inputs(found: Observations) -> Inputs:
    steps = found.steps
    if steps.count(steps[0]) == len(steps):  # many images share their steps
        words, objects = _described(steps[0])
        preprocessing, preprocessing_steps = (words,) * len(steps), (objects,) * len(steps)
    else:
        described = [_described(one) for one in steps]
        preprocessing, preprocessing_steps = zip(*described, strict=True)
    inputs = Inputs(found.x, None, preprocessing, preprocessing_steps)
    if any(found.warnings):
        inputs.warnings = tuple(
            replace(warned, item=index)
            for index, some in enumerate(found.warnings)
            for warned in some
        )
    return inputs


@lru_cache(maxsize=256)
def _described(
    steps: tuple[Step, ...],
) -> tuple[tuple[str, ...], tuple[dict[str, str | None], ...]]:
    """Steps in words, and as objects."""
    return tuple(step.words for step in steps), tuple(step.to_json() for step in steps)


def _least_items(item: Picture | np.ndarray) -> int:
    """How many images an item holds at least, by its axes alone."""
    return len(item) if isinstance(item, np.ndarray) and item.ndim > 3 else 1
