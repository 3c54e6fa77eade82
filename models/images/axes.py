"""The axes of an array of pictures: which are batch, channels, height and width, by shape alone.

In the model's own size, the first that fits:

    (height, width)                                          one picture of a grey model
    (channels, height, width), (height, width, channels)     one picture
    (batch, height, width)                                   grey pictures
    (batch, channels, height, width), channels also last     pictures

The model's pixels in another order are refused with the expression that mends it (`orders.py`):
flat rows, the batch last, rows and columns exchanged, or any (`permuted.py`). In another size:

    2 axes  (height, width): one grey picture
    3 axes  (height, width, channels) if the last is 1 or 3; (channels, height, width) if the first
            is 1, or 3 and the model is in colour; else (batch, height, width)
    4 axes  (batch, height, width, channels) if the last is 1 or 3; (batch, channels, height, width)
            if the second is

Where another reading is as likely, the array is refused and both are named; where it is less
likely, `axes_warnings` names it.
"""

from collections.abc import Sequence
from math import prod

import numpy as np
from jaxtyping import Shaped

from models.errors import ShapeMismatch
from models.images.orders import (
    CHANNELS,
    LEAST_SIDE,
    Reading,
    batch_last,
    find_doubt,
    find_order,
    find_unsized,
    scale_of,
)
from models.images.permuted import find_permuted
from models.images.spec import ImageSpec
from models.warnings import Warned


def as_batch(
    array: np.ndarray, spec: ImageSpec
) -> Shaped[np.ndarray, "batch channel height width"]:
    """View pictures as (batch, channel, height, width).

    Raises:
        ShapeMismatch: Empty, of no shape that the rules above know, or of one that has two
            readings.
    """
    if 0 in array.shape:
        raise _mismatch(array, spec)
    form = _own_form(array.shape, spec)
    if form is None:
        if found := find_order(array.shape, spec.shape):
            raise _doubtful(array, found)
        form = _form(array.shape, spec) if array.ndim in (2, 3, 4) else None
        if found := find_permuted(array.shape, spec.shape, form):
            raise _doubtful(array, found)
        if form is None:
            raise _mismatch(array, spec)
        if found := find_doubt(array.shape, form, channels=spec.channels):
            raise _doubtful(array, found)
    return view(array, form)


def axes_warnings(shape: tuple[int, ...], spec: ImageSpec) -> tuple[Warned, ...]:
    """A warning where an array that `as_batch` reads may be something else."""
    height, width = spec.height, spec.width
    if shape == (3, height, width) and spec.channels == 1:
        kind, doubt, fix = "3 grey pictures", "it is one in colour", "array[None]"
    elif len(shape) == 2 and shape[0] != shape[1] and shape[1] >= LEAST_SIDE**2:
        kind, doubt = "one grey picture", "each row is a picture"
        fix = "array.reshape(-1, 1, height, width)"
    elif len(shape) == 3 and shape[1:] == (height * width, 3):
        kind, doubt = "one picture in colour", "each row is a picture"
        fix = f"array.reshape(-1, {height}, {width}, 3)"
    elif len(shape) == 3 and shape[0] == spec.channels == 3 and height * width in shape[1:]:
        kind, doubt = "one picture in colour", "pictures are flat"
        fix = f"shape (N, 3, {height}, {width})"
    else:
        return ()
    if _own_form(shape, spec) not in (None, "NHW"):
        return ()
    message = f"The array of shape {shape} is read as {kind}. If {doubt}, send {fix}."
    return (Warned("axes_guessed", message),)


def as_stack(
    array: np.ndarray,
) -> Shaped[np.ndarray, "batch channel height width"] | tuple[Reading, ...]:
    """View a data set's pictures, of any size, as (batch, channel, height, width).

    Returns:
        The view, or what else the array may be: then it has no axes, or no order, of pictures.
    """
    shape = array.shape
    form = "NHW" if array.ndim == 3 else None
    if array.ndim == 4:
        form = "NHWC" if shape[-1] in CHANNELS else "NCHW" if shape[1] in CHANNELS else None
    if 0 in shape or form is None:
        return find_unsized(shape)
    return find_doubt(shape, form, channels=None) or view(array, form)


def view(array: np.ndarray, form: str) -> Shaped[np.ndarray, "batch channel height width"]:
    """View an array whose axes are known: HW, CHW, HWC, NHW, NCHW or NHWC."""
    if form.endswith("C"):
        array = np.moveaxis(array, -1, -3)
    elif "C" not in form:
        array = array[..., None, :, :]
    return array if form.startswith("N") else array[None]


def _own_form(shape: tuple[int, ...], spec: ImageSpec) -> str | None:
    """The axes of pictures of the model's own size."""
    channels, size = spec.channels, (spec.height, spec.width)
    own: dict[str, tuple[int, ...] | None] = {
        "HW": size if channels == 1 else None,
        "CHW": spec.shape,
        "HWC": (*size, channels),
        "NHW": None if shape[:1] == (4,) and channels == 3 else (*shape[:1], *size),
        "NCHW": (*shape[:1], *spec.shape),
        "NHWC": (*shape[:1], *size, channels),
    }
    return next((form for form, wanted in own.items() if shape == wanted), None)


def _form(shape: tuple[int, ...], spec: ImageSpec) -> str | None:
    """The axes of pictures of another size."""
    if len(shape) == 2:
        return "HW"
    if len(shape) == 3:
        if shape[1:] == (spec.height, spec.width):
            return "NHW"
        if shape[-1] in CHANNELS:
            return "HWC"
        return "CHW" if shape[0] == 1 or shape[0] == spec.channels == 3 else "NHW"
    if shape[-1] in CHANNELS:
        return "NHWC"
    return "NCHW" if shape[1] in CHANNELS else None


def _doubtful(array: np.ndarray, readings: Sequence[Reading]) -> ShapeMismatch:
    kinds, send, fix = explain(array, readings, "array")
    return ShapeMismatch(
        f"The array of images has the shape {array.shape}, which {kinds}. {send}.",
        parameter="images",
        received=array.shape,
        suggestion=fix,
    )


def explain(
    array: np.ndarray, readings: Sequence[Reading], name: str, *, verb: str = "Send"
) -> tuple[str, str, str | None]:
    """What an array may be, what to do in each case, and the first expression.

    Args:
        array: It.
        readings: What it may be.
        name: Its name in expressions.
        verb: What to do with them.
    """
    several = len(readings) > 1
    pixels = array[:, 1:-1] if any(r.has_labels for r in readings) else array
    scale, values = scale_of(pixels)
    kinds = f"{'may be' if several else 'looks like'} {', or '.join(r.words for r in readings)}"
    fixes = [f"{r.expression.format(name)}{scale}" for r in readings if r.expression]
    if not fixes:
        return kinds, f"{values}{verb} picture files, such as PNG", None
    if len(fixes) > 1:
        respectively = f"{', '.join(fixes[:-1])} or {fixes[-1]}"
        return kinds, f"{values}{verb} {respectively}, whichever it is", fixes[0]
    return kinds, f"{values}{verb} {fixes[0]}", fixes[0]


def _mismatch(array: np.ndarray, spec: ImageSpec) -> ShapeMismatch:
    shape, one = array.shape, spec.shape
    fault, fix = _fault_and_fix(array, spec)
    several = f"(N, {', '.join(map(str, one))})"
    advice = "an array of such a shape" if len(shape) != 1 else "all rows of a picture together"
    return ShapeMismatch(
        f"The array of images has the shape {shape}: {fault}. Pictures are {one} or {several}, "
        f"of any height and width. Send {fix or advice}.",
        parameter="images",
        received=shape,
        allowed=(one, ("batch", *one)),
        suggestion=fix,
    )


def _fault_and_fix(array: np.ndarray, spec: ImageSpec) -> tuple[str, str | None]:
    """What is wrong with the shape, and an expression that keeps every pixel where it is."""
    shape, size = array.shape, (spec.height, spec.width)
    if 0 in shape:
        return "it is empty", None
    if array.ndim == 4:
        is_first, is_last = shape[2:] == size, shape[1:3] == size
        first = is_first or (not is_last and shape[1] <= shape[3])
        axis = 1 if first else 3
        found = shape[axis]
        cut = f"array[:, :{found - 1}]" if first else f"array[..., :{found - 1}]"
        fault = f"axis {axis} has {found} channels; 1 or 3 are taken"
        if not is_first and not is_last and (shape[0] in CHANNELS or shape[2] in CHANNELS):
            return fault, batch_last(shape).expression.format("array")
        if found in (2, 4):  # the last one is transparency
            return fault, cut
        return fault, _reshape(spec.shape) if is_first and spec.channels == 1 else None
    fault = f"it has {array.ndim} {'axis' if array.ndim == 1 else 'axes'}; 2, 3 or 4 are taken"
    one = shape[-3:]
    if (
        spec.channels == 1
        and (array.ndim == 1 or shape[-2:] == size)
        and not array.size % prod(size)
    ):
        one = spec.shape
    elif one not in {(n, *size) for n in CHANNELS} | {(*size, n) for n in CHANNELS}:
        return fault, None
    return fault, _reshape(one)


def _reshape(shape: tuple[int, ...]) -> str:
    return f"array.reshape(-1, {', '.join(map(str, shape))})"
