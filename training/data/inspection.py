"""One encoded picture: its statistics and its levels, or the reason to leave it out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np
from jaxtyping import Int64, Shaped

from models.errors import InputError, OutOfSupport
from models.images import (
    MAX_PIXELS,
    ImageSpec,
    ReadOptions,
    is_drawn,
    read_images,
    read_levels,
)
from models.images.decoding import Pixels, decode
from training.data.file_stamp import NO_STAMP
from training.data.levels_ahead import Row, Rows
from training.data.looks import look_at
from training.data.samples import Reader, Unreadable

FILE_OPTIONS = ReadOptions(max_pixels=MAX_PIXELS)
_MAX_COUNTED = 2**14
_ANY = ImageSpec(channels=1, height=1, width=1)


_LEVELS = np.arange(256)


@dataclass(frozen=True)
class Inspected:
    """Statistics of a picture that can be decoded."""

    digest: bytes
    """Digest of the decoded pixels: equal for exact copies in any lossless format."""
    look: bytes
    """What it looks like; see `look_at`."""
    size: tuple[int, int]
    """(height, width), upright."""
    mode: str
    """Channels, bits and transparency, in words."""
    has_colour: bool
    used: bytes
    """A bit for each of 256 levels, whether a value has it; see `ImageStatistics`."""
    num_values: int
    total: int
    squares: int
    stamp: bytes = NO_STAMP
    """Its stamp before it was read."""
    levels: Rows = field(default=(), repr=False)
    """Its levels for each spec that was asked for; none if one of them cannot be made."""


@dataclass(frozen=True)
class LeftOut:
    """Why a picture is left out."""

    reason: str
    stamp: bytes = NO_STAMP
    """The stamp of a picture whose content is the reason."""


def inspect(read: Reader, *, specs: Sequence[ImageSpec] = ()) -> Inspected | LeftOut:
    """Decode a picture once: its statistics and levels, or the reason to leave it out."""
    stamp = NO_STAMP
    try:
        data, stamp = read()
        if is_drawn(data):
            return LeftOut("drawn by vae or vae-lab", stamp)
        return _describe(data, stamp, specs)
    except Unreadable as error:
        return LeftOut(str(error))
    except FileNotFoundError:
        return LeftOut("a link to nothing")
    except OSError as error:
        return LeftOut(f"{error.strerror}")
    except MemoryError:
        return LeftOut("more memory than there is")
    except OutOfSupport as error:
        return LeftOut(f"{str(error).partition('. ')[0]}. Save floats in 0..1.", stamp)
    except InputError as error:
        is_passing = isinstance(error.__cause__, MemoryError)
        return LeftOut(str(error), NO_STAMP if is_passing else stamp)


def read_row(source: bytes | Pixels, spec: ImageSpec) -> Row:
    """Levels of one picture; for a stochastic binarisation 0 and 1, as the service binarises.

    Those are of `values` "unit", too.
    """
    if spec.binarization == "stochastic":
        binary: Row = read_images(source, spec, options=FILE_OPTIONS).x[0].astype(np.uint8)
        return binary
    row: Row = read_levels(source, spec, options=FILE_OPTIONS)[0]
    return row


def _describe(data: bytes, stamp: bytes, specs: Sequence[ImageSpec]) -> Inspected:
    pixels = _decoded(data, background=0)
    values, is_clear = pixels.values, any(step.op == "alpha" for step in pixels.steps)
    if pixels.maximum == 1:
        read_levels(pixels, _ANY, options=FILE_OPTIONS)  # refuses floats outside 0..1
    seen = {0: pixels, 255: _decoded(data, background=255)} if is_clear else {0: pixels}
    has_colour = len(values) == 3 and bool((values != values[:1]).any())
    digest = sha256(repr((values.shape[1:], values.dtype.str, has_colour)).encode())
    # What is equal on black and on white is equal on every background.
    for one in seen.values():
        digest.update(np.ascontiguousarray(one.values if has_colour else one.values[:1]).data)
    counts = _histogram(values, pixels.maximum)
    return Inspected(
        digest=digest.digest(),
        look=look_at(values[None], white=pixels.maximum).tobytes(),
        size=(values.shape[1], values.shape[2]),
        mode=_mode(pixels, is_clear=is_clear),
        has_colour=has_colour,
        used=np.packbits(counts > 0).tobytes(),
        num_values=int(counts.sum()),
        total=int(counts @ _LEVELS),
        squares=int(counts @ _LEVELS**2),
        stamp=stamp,
        levels=_levels(data, seen, specs),
    )


def _levels(data: bytes, seen: dict[int, Pixels], specs: Sequence[ImageSpec]) -> Rows:
    """Levels for each spec, of the pixels on its background where that makes a difference."""
    for background in {spec.background for spec in specs} - set(seen) if len(seen) > 1 else ():
        seen[background] = _decoded(data, background=background)
    try:
        return tuple(read_row(seen.get(spec.background, seen[0]), spec) for spec in specs)
    except InputError:  # whoever needs them reads the picture again, and says why
        return ()


def _decoded(data: bytes, *, background: int) -> Pixels:
    return decode(data, background=background, max_pixels=MAX_PIXELS, media_type=None)


def _mode(pixels: Pixels, *, is_clear: bool) -> str:
    channels = "RGB" if len(pixels.values) == 3 else "grey"
    depth = {255: "8 bits", 65535: "16 bits", 1: "floats"}[pixels.maximum]
    return f"{channels}, {depth}{', transparent' if is_clear else ''}"


def _histogram(
    values: Shaped[np.ndarray, "channel height width"], white: int
) -> Int64[np.ndarray, "256"]:
    """Counts of at most 16,384 values on 256 levels."""
    step = -(-values.size // _MAX_COUNTED) | 1  # odd: not always the same columns
    some = values.reshape(-1)[::step]
    if white != 255:
        some = np.rint(some * (255 / white)).astype(np.uint8)
    return np.bincount(some, minlength=256)
