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
    if 0 in shape:
        fault, fix = f"The array of pictures is empty: its shape is {shape}", None
    else:
        fault, fix = f"An array of shape {shape} is not pictures", _find_expression(array, spec)
    send = f" Send {fix}." if fix else ""
    return ShapeMismatch(
        f"{fault}. Pictures are (height, width), (height, width, channels) or (channels, height, "
        f"width) with 1 or 3 channels, here {one}, or a batch of these.{send}",
        received=shape,
        allowed=(one, ("batch", *one)),
        suggestion=fix,
    )


def _find_expression(array: np.ndarray, spec: ImageSpec) -> str | None:
    """An expression that makes pictures of the array: without its transparency, or reshaped."""
    if array.ndim == 4 and array.shape[1] in (2, 4):
        return f"array[:, :{array.shape[1] - 1}]"
    if array.ndim == 4 and array.shape[-1] in (2, 4):
        return f"array[..., :{array.shape[-1] - 1}]"
    if array.size % prod(spec.shape) == 0:
        return f"array.reshape(-1, {', '.join(map(str, spec.shape))})"
    return None
