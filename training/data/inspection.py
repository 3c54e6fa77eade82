"""One file of a folder: its statistics as a picture, or the reason to leave it out."""

import stat
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from jaxtyping import Shaped, UInt16

from models.errors import InputError, OutOfSupport
from models.images import MAX_PIXELS, ImageSpec, is_drawn, read_levels
from models.images.decoding import Pixels, decode
from training.data.file_split import FILE_OPTIONS, PictureFile
from training.data.file_stamp import NO_STAMP, stamp_file

_MAX_BYTES = 2**29
_MAX_COUNTED = 2**14
_ANY = ImageSpec(channels=1, height=1, width=1)


@dataclass(frozen=True)
class LeftOut:
    """Why a file is left out."""

    reason: str
    stamp: bytes = NO_STAMP
    """The stamp of a file whose content is the reason."""


def inspect(path: Path) -> PictureFile | LeftOut:
    """Decode a file once: the statistics of a picture, or the reason to leave the file out."""
    stamp = NO_STAMP
    try:
        stamp, found = stamp_file(path)
        if not stat.S_ISREG(found.st_mode):
            return LeftOut("not a regular file")
        if found.st_size == 0:
            return LeftOut("an empty file")
        if found.st_size > _MAX_BYTES:
            return LeftOut(f"larger than {_MAX_BYTES:,} bytes")
        data = path.read_bytes()
        if is_drawn(data):
            return LeftOut("drawn by vae or vae-lab", stamp)
        return _describe(path, data, stamp)
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


def _describe(path: Path, data: bytes, stamp: bytes) -> PictureFile:
    pixels = _decoded(data, background=0)
    values, is_clear = pixels.values, any(step.op == "alpha" for step in pixels.steps)
    if pixels.maximum == 1:
        read_levels(data, _ANY, options=FILE_OPTIONS)  # refuses floats outside 0..1
    has_colour = len(values) == 3 and bool((values != values[:1]).any())
    digest = sha256(repr((values.shape[1:], values.dtype.str, has_colour)).encode())
    # What is equal on black and on white is equal on every background.
    for one in (pixels, _decoded(data, background=255)) if is_clear else (pixels,):
        digest.update(np.ascontiguousarray(one.values if has_colour else one.values[:1]).data)
    return PictureFile(
        path=path,
        digest=digest.digest(),
        size=(values.shape[1], values.shape[2]),
        mode=_mode(pixels, is_clear=is_clear),
        has_colour=has_colour,
        histogram=_histogram(values, pixels.maximum),
        stamp=stamp,
    )


def _decoded(data: bytes, *, background: int) -> Pixels:
    return decode(data, background=background, max_pixels=MAX_PIXELS, media_type=None)


def _mode(pixels: Pixels, *, is_clear: bool) -> str:
    channels = "RGB" if len(pixels.values) == 3 else "grey"
    depth = {255: "8 bits", 65535: "16 bits", 1: "floats"}[pixels.maximum]
    return f"{channels}, {depth}{', transparent' if is_clear else ''}"


def _histogram(
    values: Shaped[np.ndarray, "channel height width"], white: int
) -> UInt16[np.ndarray, "256"]:
    """Counts of at most 16,384 values: a thousand files take half a megabyte."""
    step = -(-values.size // _MAX_COUNTED) | 1  # odd: not always the same columns
    some = values.reshape(-1)[::step]
    if white != 255:
        some = np.rint(some * (255 / white)).astype(np.uint8)
    return np.bincount(some, minlength=256).astype(np.uint16)
