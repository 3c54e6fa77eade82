"""The one way from a picture or an array to an observation, and back; it runs no model.

Training and serving both come through here, so the same file gives the same tensor. In order:

    decode        files only: upright, transparency on the spec's background     (`decoding.py`)
    invert        v -> white - v; transparent pixels stay the background
    grey, repeat  colour to grey: (19595 R + 38470 G + 7471 B + 2^15) >> 16 (BT.601), or grey to RGB
    resize        in float32, antialiased; not when the size is right: integers stay (`fitting.py`)
    centre        the foreground's centre of mass to the middle, as in MNIST     (`fitting.py`)
    levels        v -> v (levels - 1) / white to the nearest, halves up; two levels: binarised

Every step that did something is named in `Observation.preprocessing`, sizes as width x height.
The way back (`to_unit`, `to_uint8`, `to_png`, `grid`, `to_animation`) is `pictures.py`'s.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float32, Integer, Shaped
from pydantic import Field

from models.config import Config
from models.errors import (
    InputError,
    OutOfSupport,
    ShapeMismatch,
    UnsupportedOperation,
)
from models.images.axes import as_batch
from models.images.decoding import MAX_PIXELS, check_size, decode
from models.images.fitting import centre, fit
from models.images.spec import ImageSpec
from models.images.writing import grid, to_animation, to_png, to_uint8, to_unit
from models.noise import NoiseStream, pixel_seed

__all__ = [
    "Observation",
    "ReadOptions",
    "grid",
    "read_array",
    "read_levels",
    "read_picture",
    "to_animation",
    "to_png",
    "to_uint8",
    "to_unit",
]

Batch = Shaped[np.ndarray, "batch channel height width"]
_ROWS = 256


class ReadOptions(Config):
    """What a caller may ask of the reading, beyond the bundle's image spec."""

    resize: Literal["auto", "never"] = "auto"
    """`never` refuses a picture of another size."""
    invert: bool = False
    """Black on white becomes white on black."""
    centre: bool = False
    """Move the foreground's centre of mass to the middle by whole pixels, as MNIST was made."""
    pixel_max: Literal[1, 255, 65535] | None = None
    """White in an array of numbers: by default 255 of integers, 1 of floats and bools. A picture
    file says its own."""
    binarize: Literal["threshold"] | None = None
    """Threshold at one half, whatever binarisation the spec names."""
    max_pixels: Annotated[int, Field(ge=1, le=MAX_PIXELS)] = 4096 * 3072
    """Limit of width x height of one picture."""


@dataclass(frozen=True)
class Observation:
    """One datum as the model takes it.

    Attributes:
        x: (channels, height, width) in the values of the image spec.
        preprocessing: What was done to get there, in order, in words.
    """

    x: Float32[np.ndarray, "channel height width"]
    preprocessing: tuple[str, ...]


@dataclass(frozen=True)
class _Pictures:
    """Pictures of one size on their way: values in 0..white, and the steps of each so far."""

    values: Batch
    white: int
    steps: list[tuple[str, ...]]

    def then(self, values: Batch, *words: str) -> "_Pictures":
        return _Pictures(values, self.white, [(*done, *words) for done in self.steps])


def read_picture(
    data: bytes,
    spec: ImageSpec,
    *,
    options: ReadOptions = ReadOptions(),  # noqa: B008 - frozen
    media_type: str | None = None,
) -> Observation:
    """Read one picture file.

    Args:
        data: The whole file: PNG, JPEG, WebP, GIF (first frame), BMP or TIFF.
        spec: What the model's observations are.
        options: What the caller asked for.
        media_type: What the sender calls the file; None or application/octet-stream asks the bytes.

    Raises:
        UnsupportedMedia: Another format, or not the one that `media_type` names.
        PayloadTooLarge: More than `options.max_pixels` pixels, or 65,535 on a side.
        CorruptImage: Truncated or damaged.
        OutOfSupport: A float TIFF outside 0..1.
        ShapeMismatch: Another size, and `options.resize` is "never".
    """
    return _observations(_load(data, spec, options, media_type), spec, options)[0]


def read_array(
    array: np.ndarray,
    spec: ImageSpec,
    *,
    options: ReadOptions = ReadOptions(),  # noqa: B008 - frozen
) -> list[Observation]:
    """Read one or many pictures given as numbers; `layout.as_batch` says which axis is which.

    Raises:
        ShapeMismatch: Empty, not a picture's shape, or of another size with `resize` "never".
        OutOfSupport: Negative, above white, NaN or infinite; `items` says which pictures.
        InputError: No real numbers; or integers of maximum 1 without `pixel_max`.
        PayloadTooLarge: More than `options.max_pixels` pixels in one picture, or 65,535 on a side.
    """
    return _observations(_load(array, spec, options, None), spec, options)


def read_levels(
    source: bytes | np.ndarray,
    spec: ImageSpec,
    *,
    options: ReadOptions = ReadOptions(),  # noqa: B008 - frozen
) -> Shaped[np.ndarray, "batch channel height width"]:
    """Read the same as compact integers without noise, for a training cache.

    Returns:
        The levels 0..levels-1 as uint8 (uint16 above 256 levels), also for `values` "unit". For
        a stochastic binarisation the grey values 0..255, since training draws anew each time.
    """
    levels, binarization = spec.levels, spec.binarization
    if binarization == "stochastic" and options.binarize is None:
        levels, binarization = 256, "none"
    plain = spec.model_copy(update={"levels": levels, "binarization": binarization})
    pictures = _prepared(_load(source, plain, options, None), plain, options)
    found, _ = _levels(pictures, plain, options)
    return found.astype(np.uint8 if levels <= 256 else np.uint16)


def _load(
    source: bytes | np.ndarray, spec: ImageSpec, options: ReadOptions, media_type: str | None
) -> _Pictures:
    if isinstance(source, np.ndarray):
        values, white = _numbers(as_batch(source, spec), options.pixel_max)
        height, width = values.shape[2:]
        check_size((width, height), options.max_pixels)
        return _Pictures(values, white, [()] * len(values))
    background = 255 - spec.background if options.invert else spec.background
    pixels = decode(
        source, background=background, max_pixels=options.max_pixels, media_type=media_type
    )
    if pixels.maximum == 1:
        _check_range(pixels.values[None], 1)
    return _Pictures(pixels.values[None], pixels.maximum, [pixels.steps])


def _observations(pictures: _Pictures, spec: ImageSpec, options: ReadOptions) -> list[Observation]:
    pictures = _prepared(pictures, spec, options)
    levels, words = _levels(pictures, spec, options)
    x = levels.astype(np.float32)
    if spec.values == "unit":
        x /= np.float32(spec.levels - 1)
    return [
        Observation(one, (*steps, *words)) for one, steps in zip(x, pictures.steps, strict=True)
    ]


# Numbers


def _numbers(values: Batch, pixel_max: int | None) -> tuple[Batch, int]:
    """Check an array's type and range; what white is in it."""
    if values.dtype.kind not in "buif":
        raise InputError(
            f"Pixels are real numbers; received an array of {values.dtype}. Convert it to uint8 or "
            "float32."
        )
    integers = values.dtype.kind in "ui"
    white = pixel_max or (255 if integers else 1)
    if values.dtype.kind == "b":
        values = values.view(np.uint8)
    _check_range(values, white)
    if integers and pixel_max is None and values.max() == 1:
        raise InputError(
            "Integers are read as 0..255 unless pixel_max says otherwise; received integers whose "
            "maximum is 1. Pass pixel_max=1 for 0/1 pictures, or pixel_max=255 if they are black."
        )
    if values.dtype.kind != "f":
        return values.astype(np.uint8 if white <= 255 else np.uint16, copy=False), white
    return values, white


def _check_range(values: Batch, white: int) -> None:
    if values.min() >= 0 and values.max() <= white:  # false for NaN
        return
    items = tuple(
        (index, reason)
        for index, one in enumerate(values)
        if (reason := _fault(one, white)) is not None
    )
    raise OutOfSupport(
        f"Pixels lie in 0..{white} here; received others in {len(items)} of {len(values)} "
        "pictures. Scale them, or say what white is by pixel_max.",
        items=items,
    )


def _fault(picture: Shaped[np.ndarray, "channel height width"], white: int) -> str | None:
    low, high = picture.min(), picture.max()
    if not np.isfinite(low) or not np.isfinite(high):
        return "NaN or infinite"
    if low < 0:
        return f"value {low} is negative"
    return f"value {high} is above pixel_max {white}" if high > white else None


# Preparation


def _prepared(pictures: _Pictures, spec: ImageSpec, options: ReadOptions) -> _Pictures:
    """To the spec's size and channels, still on the scale 0..white."""
    if options.invert:
        white = pictures.values.dtype.type(pictures.white)
        pictures = pictures.then(white - pictures.values, "invert")
    if spec.channels == 1 and pictures.values.shape[1] == 3:
        pictures = pictures.then(_grey(pictures.values), f"grey {spec.grey}")
    pictures = _resized(pictures, spec, options)
    if spec.channels == 3 and pictures.values.shape[1] == 1:
        pictures = pictures.then(np.repeat(pictures.values, 3, axis=1), "repeat grey to RGB")
    return _centred(pictures, spec) if options.centre else pictures


def _grey(colour: Batch) -> Shaped[np.ndarray, "batch 1 height width"]:
    """BT.601 in 16-bit fixed point, exactly as Pillow's "L"; rows in strips to bound memory."""
    grey = np.empty((len(colour), 1, *colour.shape[2:]), colour.dtype)
    whole = colour.dtype.kind == "u"
    for index, top in np.ndindex(len(colour), -(-colour.shape[2] // _ROWS)):
        rows = slice(top * _ROWS, (top + 1) * _ROWS)
        red, green, blue = colour[index, :, rows].astype(np.uint32 if whole else np.float64)
        mixed = 19595 * red + 38470 * green + 7471 * blue
        grey[index, 0, rows] = (mixed + 2**15) >> 16 if whole else mixed / 2**16
    return grey


def _resized(pictures: _Pictures, spec: ImageSpec, options: ReadOptions) -> _Pictures:
    height, width = pictures.values.shape[2:]
    if options.resize == "never" and (height, width) != (spec.height, spec.width):
        raise ShapeMismatch(
            f"Pictures have the model's size, {spec.width}x{spec.height} (width x height), under "
            f"resize=never; received {width}x{height}. Resize them, or leave resize=never out."
        )
    values, words = fit(pictures.values, spec, pictures.white)
    return pictures.then(values, *words)


def _centred(pictures: _Pictures, spec: ImageSpec) -> _Pictures:
    values, words = centre(pictures.values, spec, pictures.white)
    steps = [(*done, word) for done, word in zip(pictures.steps, words, strict=True)]
    return _Pictures(values, pictures.white, steps)


# Levels


def _levels(
    pictures: _Pictures, spec: ImageSpec, options: ReadOptions
) -> tuple[Integer[np.ndarray, "batch channel height width"], tuple[str, ...]]:
    """The integers 0..levels-1, and the words for it."""
    if options.binarize is not None and spec.binarization == "none":
        raise UnsupportedOperation(
            f"Only models of two levels binarise; this one has {spec.levels}. Leave binarize out."
        )
    values, white = pictures.values, pictures.white
    method = options.binarize or spec.binarization
    if method == "stochastic":
        grey = _quantized(values, white, 65536).astype(np.uint16)
        return np.stack([_stochastic(one) for one in grey]), ("binarize stochastic",)
    levels = _quantized(values, white, spec.levels)
    if method == "threshold":
        return levels, ("binarize threshold",)
    return levels, () if white == spec.levels - 1 else (f"levels {spec.levels}",)


def _quantized(
    values: Batch, white: int, levels: int
) -> Integer[np.ndarray, "batch channel height width"]:
    """v (levels - 1) / white to the nearest integer, halves upwards; exact for integers."""
    if values.dtype.kind == "f":
        scaled = values.astype(np.float64)
        scaled *= (levels - 1) / white
        scaled += 0.5
        return scaled.astype(np.int32)
    if white == levels - 1:
        return values
    table = (2 * np.arange(white + 1, dtype=np.int64) * (levels - 1) + white) // (2 * white)
    return np.take(table.astype(np.int32), values)


def _stochastic(
    grey: Shaped[np.ndarray, "channel height width"],
) -> Shaped[np.ndarray, "channel height width"]:
    """1 with the grey value as its probability; the noise is a function of the grey pixels alone.

    Grey comes in 65536 levels: fine enough for any picture, coarse enough that the same picture in
    bytes and in floats is the same here. Black and white never change.
    """
    noise = NoiseStream(pixel_seed(grey), 0, "binarization").uniform(*grey.shape)
    return (noise * 65535 < grey).astype(np.uint8)
