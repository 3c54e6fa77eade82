"""Grey levels: pixels in 0..white to a model's levels, and levels to the numbers of x.

    quantize   v -> v (levels - 1) / white, to the nearest level, halves up
    binarize   1 where noise x white < v: a grey value is its own probability of white
    to_values  levels as they are, or divided by levels - 1 (`ImageSpec.values`)

Serving and training share these three. `binarize` and `to_values` take numpy arrays and torch
tensors alike: training binarises a cache of grey levels anew at each step, with torch's noise;
serving binarises once, with noise that is a function of the picture.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float32, Integer, Shaped

from models.images.spec import ImageSpec
from models.noise import first_uniforms, pixel_seeds

Levels = Integer[np.ndarray, "batch channel height width"]

_BLOCK = 15_000
"""Pixels at once: in float64 they stay below 128 KiB, from where malloc asks for fresh memory."""
_FINE = 65536
"""Grey levels under a binarisation: enough for any picture, and few enough that the same picture
in bytes and in floats is the same."""


def quantize(
    values: Shaped[np.ndarray, "batch channel height width"], white: int, levels: int
) -> Levels:
    """Pixels in 0..white to the nearest of 0..levels-1, halves up; exact on integers."""
    if values.dtype.kind == "f":
        return _scaled(values, white, levels)
    if white == levels - 1:
        return values
    if levels == 2:
        return (values >= (white + 1) // 2).view(np.uint8)
    if (levels - 1) % white == 0:
        return values.astype(np.uint16) * np.uint16((levels - 1) // white)
    return _table(white, levels).take(values)


def _scaled(
    values: Shaped[np.ndarray, "batch channel height width"], white: int, levels: int
) -> Levels:
    whole = np.empty(values.shape, np.uint8 if levels <= 256 else np.uint16)
    for block in _blocks(len(values), values[:1].size):
        scaled = np.multiply(values[block], (levels - 1) / white, dtype=np.float64)
        scaled += 0.5
        whole[block] = scaled
    return whole


def _blocks(pictures: int, pixels: int) -> Iterator[slice]:
    """Slices of a batch whose temporary arrays stay small: fresh memory costs more than sums do."""
    step = max(1, _BLOCK // pixels)
    return (slice(first, first + step) for first in range(0, pictures, step))


@lru_cache(maxsize=8)
def _table(white: int, levels: int) -> Integer[np.ndarray, " white"]:
    """The level of each of 0..white."""
    table = (2 * np.arange(white + 1, dtype=np.int64) * (levels - 1) + white) // (2 * white)
    return table.astype(np.int32)


def binarize(grey: Any, white: int, noise: Any) -> Any:
    """True with the grey value, over white, as its probability.

    Args:
        grey: An array or tensor in 0..white; black is never true, and white always.
        white: Its largest value.
        noise: Uniforms in [0, 1) of the same shape and library.
    """
    return noise * white < grey


def binarize_by_content(
    values: Shaped[np.ndarray, "batch channel height width"], white: int
) -> Levels:
    """0 or 1, with noise that depends on each picture's pixels alone: repeatable without a seed.

    Noise is drawn where pixels are neither black, which is never 1, nor white, which always is.
    """
    if values.dtype.kind == "f":
        values, white = quantize(values, white, _FINE), _FINE - 1
    binary: np.ndarray = np.equal(values, white, order="C")
    for block in _blocks(len(values), values[:1].size):
        some = values[block]
        if np.count_nonzero(binary[block] != (some != 0)):
            grey = quantize(some, white, _FINE).astype(np.uint16, copy=False)
            noise = first_uniforms(pixel_seeds(grey), "binarization", grey.shape[1:])
            binary[block] = binarize(grey, _FINE - 1, noise)
    return binary.view(np.uint8)


def to_observations(
    levels: Levels, spec: ImageSpec
) -> Float32[np.ndarray, "batch channel height width"]:
    """Levels to the numbers of observations, in C order."""
    if levels.size <= _BLOCK:
        small: np.ndarray = to_values(levels.astype(np.float32, order="C"), spec)
        return small
    x = np.empty(levels.shape, np.float32)
    for block in _blocks(len(x), x[:1].size):
        x[block] = to_values(levels[block].astype(np.float32), spec)
    return x


def to_values(levels: Any, spec: ImageSpec) -> Any:
    """Levels, as a float array or tensor, to the numbers of an observation."""
    return levels / (spec.levels - 1) if spec.values == "unit" else levels


def cached_levels(spec: ImageSpec) -> int:
    """Levels of a training cache: 256 of grey where each step binarises anew, else the model's."""
    return 256 if spec.binarization == "stochastic" else spec.levels


def cached_spec(spec: ImageSpec) -> ImageSpec:
    """The spec of a training cache: that of grey levels where each step binarises anew."""
    if spec.binarization != "stochastic":
        return spec
    return spec.model_copy(update={"levels": cached_levels(spec), "binarization": "none"})


def background_level(spec: ImageSpec, white: int) -> int:
    """The spec's background among the integers 0..white."""
    return round(spec.background * white / 255)
