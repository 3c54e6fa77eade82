"""Picture files and arrays to observations.

Training and serving both come through here, so the same file gives the same tensor. In order:

    decode        files only: upright, transparency on the spec's background     (`decoding.py`)
    invert        v -> white - v; transparent pixels stay the background
    grey, repeat  colour to grey (`colour.py`), or grey to RGB
    resize        in float32, antialiased; not when the size is right: integers stay (`fitting.py`)
    centre        the foreground's centre of mass to the middle, as in MNIST     (`fitting.py`)
    levels        to the nearest level, or binarised; then to the numbers of x    (`levels.py`)

`Observation.steps` names every step that did something (`preprocessing.py`), and
`Observation.warnings` what is doubtful about the picture (`warnings.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float32, Shaped
from pydantic import Field

from models.config import MAX_PIXELS, Config
from models.errors import ShapeMismatch, UnsupportedOperation
from models.images.axes import as_batch, axes_warnings
from models.images.colour import to_grey
from models.images.decoding import Pixels, check_size, decode
from models.images.fitting import centre, fit
from models.images.levels import (
    Levels,
    binarize_by_content,
    cached_spec,
    quantize,
    to_observations,
)
from models.images.pixel_range import MAX_WHITE, check_numbers, check_range
from models.images.preprocessing import Step
from models.images.spec import ImageSpec
from models.images.warnings import (
    are_constant,
    are_wide,
    constant_warning,
    extremes,
    range_warnings,
    size_warnings,
)
from models.warnings import Warned

Batch = Shaped[np.ndarray, "batch channel height width"]


class ReadOptions(Config):
    """Choices of a caller, beyond the model's image spec."""

    layout: Literal["by shape", "NCHW"] = "by shape"
    """`NCHW`: an array is (batch, channel, height, width), whatever its shape looks like."""
    resize: Literal["auto", "never"] = "auto"
    """`never` refuses a picture of another size."""
    invert: bool = False
    """Black on white becomes white on black."""
    centre: bool = False
    """Move the foreground's centre of mass to the middle by whole pixels, as MNIST was made."""
    pixel_max: Annotated[int, Field(ge=1, le=MAX_WHITE)] | None = None
    """White: by default 255 of integers in an array, 1 of floats and booleans. A picture file says
    its own, and a smaller one stands for fewer bits in a deeper file."""
    binarize: Literal["threshold"] | None = None
    """Binarise at one half, where the spec does so by chance."""
    max_pixels: Annotated[int, Field(ge=1, le=MAX_PIXELS)] = 4096 * 3072
    """Largest width x height of one picture."""


@dataclass(frozen=True)
class Observation:
    """One datum as the model takes it.

    Attributes:
        x: (channels, height, width) in the values of the image spec.
        steps: What was done to get there, in order.
        warnings: What is doubtful about the picture.
    """

    x: Float32[np.ndarray, "channel height width"]
    steps: tuple[Step, ...]
    warnings: tuple[Warned, ...] = ()

    @property
    def preprocessing(self) -> tuple[str, ...]:
        """The steps in words."""
        return tuple(step.words for step in self.steps)


@dataclass(slots=True)
class Observations:
    """The pictures of one file or array as the model takes them.

    Attributes:
        x: (batch, channels, height, width) in the values of the image spec.
        steps: What was done to each picture, in order.
        warnings: What is doubtful about each picture.
    """

    x: Float32[np.ndarray, "batch channel height width"]
    steps: tuple[tuple[Step, ...], ...]
    warnings: tuple[tuple[Warned, ...], ...]

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> Observation:
        return Observation(self.x[index], self.steps[index], self.warnings[index])


@dataclass(slots=True)
class _Pictures:
    """Pictures of one size on their way: values in 0..white, and what was done so far."""

    values: Batch
    white: int
    steps: tuple[Step, ...] = ()
    """Steps of every picture."""
    moves: Sequence[Step] = ()
    """The last step of each picture, where they differ."""
    white_in_use: int | None = None
    """White by the bits that a file says are in use, where these are fewer."""

    def then(self, values: Batch, *steps: Step) -> "_Pictures":
        return _Pictures(values, self.white, (*self.steps, *steps))


def read_picture(
    data: bytes,
    spec: ImageSpec,
    *,
    options: ReadOptions = ReadOptions(),  # noqa: B008 - frozen
    media_type: str | None = None,
) -> Observation:
    """Read one picture file.

    Args:
        data: The whole file: PNG, JPEG, WebP, GIF (first frame), BMP, TIFF or Netpbm.
        spec: Size, colour and levels of the model's observations.
        options: The caller's choices.
        media_type: The sender's name for the format; with None or application/octet-stream, the
            first bytes decide.

    Raises:
        UnsupportedMedia: Another format, or not the one that `media_type` names.
        PayloadTooLarge: More than `options.max_pixels` pixels, or 65,535 on a side.
        CorruptImage: Truncated or damaged.
        OutOfSupport: A float TIFF outside 0..1.
        ShapeMismatch: Another size, and `options.resize` is "never".
    """
    return read_images(data, spec, options=options, media_type=media_type)[0]


def read_images(
    source: bytes | Pixels | np.ndarray,
    spec: ImageSpec,
    *,
    options: ReadOptions = ReadOptions(),  # noqa: B008 - frozen
    media_type: str | None = None,
) -> Observations:
    """Read one picture file, also a decoded one, or one or many pictures given as numbers.

    `axes.as_batch` says which axis of an array is which. Pixels stand on the background that they
    were decoded with, whatever the spec's is.

    Raises:
        ShapeMismatch: Empty, not a picture's shape, or of another size with `resize` "never".
        OutOfSupport: Negative, above white, NaN or infinite; `items` says which pictures.
        InputError: No real numbers; or integers of maximum 1 without `pixel_max`.
        PayloadTooLarge: More than `options.max_pixels` pixels in one picture, or 65,535 on a side.
        UnsupportedMedia, CorruptImage: As `read_picture`.
    """
    pictures = _load(source, spec, options, media_type)
    guessed: tuple[Warned, ...] = ()
    if isinstance(source, np.ndarray) and options.layout != "NCHW":
        guessed = axes_warnings(source.shape, spec)
    return _observations(pictures, spec, options, guessed)


def read_levels(
    source: bytes | Pixels | np.ndarray,
    spec: ImageSpec,
    *,
    options: ReadOptions = ReadOptions(),  # noqa: B008 - frozen
) -> Shaped[np.ndarray, "batch channel height width"]:
    """Read pictures as compact integers without noise, for a training cache.

    Returns:
        The levels 0..levels-1 as uint8 (uint16 above 256 levels), also for `values` "unit". For
        a stochastic binarisation the grey levels 0..255, since training draws anew at each step.
    """
    if options.binarize is None:
        spec = cached_spec(spec)
    pictures = _prepared(_load(source, spec, options, None), spec, options)
    found, _ = _levels(pictures, spec, options)
    return found.astype(np.uint8 if spec.levels <= 256 else np.uint16)


def _load(
    source: bytes | Pixels | np.ndarray,
    spec: ImageSpec,
    options: ReadOptions,
    media_type: str | None,
) -> _Pictures:
    if isinstance(source, np.ndarray):
        batch = source if options.layout == "NCHW" else as_batch(source, spec)
        values, white = check_numbers(batch, options.pixel_max)
        height, width = values.shape[2:]
        check_size((width, height), options.max_pixels)
        return _Pictures(values, white)
    pixels = source
    if not isinstance(pixels, Pixels):
        background = 255 - spec.background if options.invert else spec.background
        pixels = decode(
            pixels, background=background, max_pixels=options.max_pixels, media_type=media_type
        )
    values, white = pixels.values[None], pixels.maximum
    given = options.pixel_max
    if given is not None:
        white = given if white == 1 else min(white, given)
    if given is not None or white == 1:
        check_range(values, white)
    return _Pictures(values, white, pixels.steps, (), pixels.maximum_in_use)


def _observations(
    pictures: _Pictures, spec: ImageSpec, options: ReadOptions, guessed: tuple[Warned, ...]
) -> Observations:
    as_sent = pictures
    pictures = _prepared(pictures, spec, options)
    levels, last = _levels(pictures, spec, options)
    warnings = _warnings(as_sent, levels, pictures.steps, spec, guessed)
    return Observations(to_observations(levels, spec), _steps_of_each(pictures, last), warnings)


def _warnings(
    as_sent: _Pictures,
    levels: Levels,
    steps: tuple[Step, ...],
    spec: ImageSpec,
    guessed: tuple[Warned, ...],
) -> tuple[tuple[Warned, ...], ...]:
    """What is doubtful about each picture, as it was sent and as it is now.

    Args:
        as_sent: The pictures before all steps but those of their files.
        levels: The pictures after them.
        steps: The steps.
        spec: The size that they were brought to.
        guessed: Warnings of every picture.
    """
    values, white = as_sent.values, as_sent.white
    height, width = values.shape[2:]
    sizes = size_warnings(width, height, spec)
    lows, highs = extremes(values)
    wide = are_wide(lows, highs, white)
    constant = None if wide and levels is values else are_constant(levels)
    if wide and (constant is None or True not in constant):
        return ((*guessed, *sizes),) * len(values)
    ranges = range_warnings(
        lows, highs, white, floats=values.dtype.kind == "f", white_in_use=as_sent.white_in_use
    )
    warnings = [(*guessed, *content, *sizes) for content in ranges]
    for index, is_constant in enumerate(constant or ()):
        is_plain = lows[index] == highs[index]
        if (is_plain or is_constant) and not ranges[index]:  # of both, the range is the cause
            warned = constant_warning(steps, is_plain=is_plain)
            warnings[index] = (*guessed, warned, *sizes)
    return tuple(warnings)


def _steps_of_each(pictures: _Pictures, last: tuple[Step, ...]) -> tuple[tuple[Step, ...], ...]:
    if pictures.moves:
        return tuple((*pictures.steps, move, *last) for move in pictures.moves)
    return ((*pictures.steps, *last),) * len(pictures.values)


def _prepared(pictures: _Pictures, spec: ImageSpec, options: ReadOptions) -> _Pictures:
    """To the spec's size and channels, still on the scale 0..white."""
    if options.invert:
        white = pictures.values.dtype.type(pictures.white)
        pictures = pictures.then(white - pictures.values, Step("invert", "invert"))
    _, channels, height, width = pictures.values.shape
    if channels == 3 and spec.channels == 1:
        done = Step("grey", f"grey {spec.grey}", before="RGB", after="grey", how=spec.grey)
        pictures = pictures.then(to_grey(pictures.values), done)
    if height != spec.height or width != spec.width:
        pictures = _resized(pictures, spec, options)
    if channels == 1 and spec.channels == 3:
        done = Step("repeat", "repeat grey to RGB", before="grey", after="RGB")
        pictures = pictures.then(np.repeat(pictures.values, 3, axis=1), done)
    return _centred(pictures, spec) if options.centre else pictures


def _resized(pictures: _Pictures, spec: ImageSpec, options: ReadOptions) -> _Pictures:
    if options.resize == "never":
        height, width = pictures.values.shape[2:]
        received, allowed = f"{width}x{height}", f"{spec.width}x{spec.height}"
        raise ShapeMismatch(
            f"The picture is {received} (width x height); with resize=never this model takes "
            f"{allowed} only. Resize it to {allowed}, or leave out resize=never.",
            parameter="resize",
            received=received,
            allowed=(allowed,),
            suggestion="auto",
        )
    values, steps = fit(pictures.values, spec, pictures.white)
    return pictures.then(values, *steps)


def _centred(pictures: _Pictures, spec: ImageSpec) -> _Pictures:
    values, moves = centre(pictures.values, spec, pictures.white)
    return _Pictures(values, pictures.white, pictures.steps, moves)


def _levels(
    pictures: _Pictures, spec: ImageSpec, options: ReadOptions
) -> tuple[Levels, tuple[Step, ...]]:
    """The integers 0..levels-1, and the step that made them, if any."""
    if options.binarize is not None and spec.binarization == "none":
        raise UnsupportedOperation(
            f"binarize={options.binarize} is for models of 2 levels; this one has {spec.levels}. "
            "Leave out binarize.",
            parameter="binarize",
            received=options.binarize,
        )
    values, white = pictures.values, pictures.white
    method = options.binarize or spec.binarization
    if method != "none":
        stochastic = method == "stochastic"
        binary = binarize_by_content(values, white) if stochastic else quantize(values, white, 2)
        return binary, _levels_steps(2, values.dtype.kind, white, method)
    levels = quantize(values, white, spec.levels)
    if white == spec.levels - 1:
        return levels, ()
    return levels, _levels_steps(spec.levels, values.dtype.kind, white)


@lru_cache(maxsize=256)
def _levels_steps(
    levels: int, kind: str, white: int, method: str | None = None
) -> tuple[Step, ...]:
    """The step from pixels of a kind of type, in 0..white, to levels."""
    before = None if kind == "f" else str(white + 1)
    if method is None:
        return (Step("levels", f"levels {levels}", before, str(levels)),)
    return (Step("binarize", f"binarize {method}", before, str(levels), method),)
