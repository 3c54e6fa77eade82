"""The axes of an array of pictures: which are batch, channels, height and width, by shape alone.

    2 axes  (height, width): one grey picture
    3 axes  1. one picture of the model's own shape, channels first or last
            2. (batch, height, width) when height and width are the model's
            3. (height, width, channels) when the last axis is 1 or 3
            4. (channels, height, width) when the first is 1, or 3 and the model is in colour
            5. (batch, height, width)
    4 axes  1. pictures of the model's own shape, channels first or last
            2. (batch, height, width, channels) when the last axis is 1 or 3
            3. (batch, channels, height, width) when the second is 1 or 3

The first rule that fits decides.
"""

from math import prod

import numpy as np
from jaxtyping import Shaped

from models.errors import ShapeMismatch
from models.images.spec import ImageSpec

_CHANNELS = (1, 3)


def as_batch(
    array: np.ndarray, spec: ImageSpec
) -> Shaped[np.ndarray, "batch channel height width"]:
    """View pictures as (batch, channel, height, width).

    Raises:
        ShapeMismatch: Empty, or of no shape that the rules above know.
    """
    if array.ndim not in (2, 3, 4) or 0 in array.shape:
        raise _mismatch(array, spec)
    if array.ndim == 2:
        return array[None, None]
    return _from_three(array, spec) if array.ndim == 3 else _from_four(array, spec)


def _from_three(
    array: np.ndarray, spec: ImageSpec
) -> Shaped[np.ndarray, "batch channel height width"]:
    first, _, last = array.shape
    if array.shape == spec.shape:
        return array[None]
    if array.shape == (spec.height, spec.width, spec.channels):
        return array.transpose(2, 0, 1)[None]
    if array.shape[1:] == (spec.height, spec.width):
        return array[:, None]
    if last in _CHANNELS:
        return array.transpose(2, 0, 1)[None]
    if first == 1 or first == spec.channels == 3:
        return array[None]
    return array[:, None]


def _from_four(
    array: np.ndarray, spec: ImageSpec
) -> Shaped[np.ndarray, "batch channel height width"]:
    _, second, _, last = array.shape
    if array.shape[1:] == spec.shape:
        return array
    if array.shape[1:] == (spec.height, spec.width, spec.channels) or last in _CHANNELS:
        return array.transpose(0, 3, 1, 2)
    if second in _CHANNELS:
        return array
    raise _mismatch(array, spec)


def _mismatch(array: np.ndarray, spec: ImageSpec) -> ShapeMismatch:
    shape, one = array.shape, spec.shape
    fault, fix = _fault_and_fix(array, spec)
    several = f"(N, {', '.join(map(str, one))})"
    return ShapeMismatch(
        f"The array of images has the shape {shape}: {fault}. Pictures are {one} or {several}, "
        f"of any height and width. Send {fix or 'an array of such a shape'}.",
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
        first = shape[2:] == size or (shape[1:3] != size and shape[1] <= shape[3])
        axis = 1 if first else 3
        found = shape[axis]
        cut = f"array[:, :{found - 1}]" if first else f"array[..., :{found - 1}]"
        fault = f"axis {axis} has {found} channels; 1 or 3 are taken"
        return fault, cut if found in (2, 4) else None  # the last one is transparency
    fault = f"it has {array.ndim} {'axis' if array.ndim == 1 else 'axes'}; 2, 3 or 4 are taken"
    one = shape[-3:]
    if array.ndim == 1 and spec.channels == 1 and array.size % prod(size) == 0:
        one = spec.shape
    elif one not in {(n, *size) for n in _CHANNELS} | {(*size, n) for n in _CHANNELS}:
        return fault, None
    return fault, f"array.reshape(-1, {', '.join(map(str, one))})"
