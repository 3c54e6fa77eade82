"""A folder of pictures as a data set: which files, which classes, which splits.

    <folder>/*.png                        no labels, split by content hash (`make_splits.py`)
    <folder>/<class>/**/*.png             labels: the subfolders' names, in sorted order
    <folder>/train/..., val/..., test/... the splits as given, either form within each; what is
                                          missing of val (valid, validation, dev) and test is split
                                          from train

`arrangement.py` finds splits and classes, and says what is doubtful. Folders around all of it are
ignored.

Files that cannot be read are left out and listed with the reason: hidden ones, other formats,
damaged pictures, those of more than 89 million pixels (all that `models.images.decoding` refuses).
So are pictures that this project drew (sheets, plots) and the folders of its runs and models.
A link to a file is read as that file; a link to a folder, which may lead in circles, is skipped.
"""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from jaxtyping import Shaped, UInt16
from rich.console import Console

from models.errors import InputError, OutOfSupport, printable
from models.files import own_folder, search
from models.images import MAX_PIXELS, ImageSpec, is_drawn, read_levels
from models.images.decoding import Pixels, decode
from training.data.arrangement import arrange
from training.data.file_split import (
    FILE_OPTIONS,
    FileSplit,
    PictureFile,
    SkippedFile,
    map_in_threads,
)
from training.data.refusals import is_archive
from training.errors import DatasetError

_MAX_BYTES = 2**29
_MAX_COUNTED = 2**14
_ANY = ImageSpec(channels=1, height=1, width=1)


@dataclass(frozen=True)
class Folder:
    """Splits, classes and skipped files of a folder."""

    parts: Mapping[str, FileSplit]
    """The given splits, or all as "train"; in the order of the digests."""
    class_names: tuple[str, ...]
    skipped: tuple[SkippedFile, ...]
    warnings: tuple[str, ...] = ()
    """What is doubtful in its layout, a sentence each."""


def read_folder(root: Path, *, console: Console | None = None) -> Folder:
    """Find and decode every picture once; keep its statistics, not its pixels.

    Raises:
        DatasetError: It holds no picture that can be read, or is the folder of a run or a model.
    """
    if own := own_folder(root):
        raise DatasetError(
            f"{root} is {own}, and no folder of pictures. Name the folder of the data.",
            received=str(root),
        )
    paths, folders, skipped = _walk(root)
    found = map_in_threads(_inspect, paths, words="looking at pictures", console=console)
    files = []
    for path, result in zip(paths, found, strict=True):
        if isinstance(result, PictureFile):
            files.append(result)
        else:
            skipped.append(_skipped(path, root, result))
    if not files:
        reasons = "; ".join(f"{one.path}: {one.reason.split('. ')[0]}" for one in skipped[:3])
        noun = "file or folder" if len(skipped) == 1 else "files and folders"
        others = f", but {len(skipped):,} other {noun} ({reasons})" if skipped else ""
        raise DatasetError(
            f"{root} holds no picture that can be read{others}. {_fix(paths)}",
            received=str(root),
        )
    files.sort(key=lambda file: (file.digest, file.path))
    arranged = arrange(files, root=root, folders=folders)
    skipped += [_skipped(path, root, reason) for path, reason in arranged.outside.items()]
    return Folder(
        arranged.parts,
        tuple(map(printable, arranged.class_names)),
        tuple(sorted(skipped, key=lambda one: one.path)),
        tuple(arranged.warnings),
    )


def _fix(paths: list[Path]) -> str:
    """What to do with a folder that has files and no pictures."""
    arrays = [path for path in paths if path.suffix.lower() in (".npz", ".npy")]
    if arrays:
        return f"Name the file of arrays instead: {arrays[0]}"
    if archives := [path for path in paths if is_archive(path)]:
        return f"Unpack {archives[0].name} first."
    return "Put PNG, JPEG, WebP, GIF, BMP, TIFF or PGM files there, or name another folder."


def _walk(root: Path) -> tuple[list[Path], list[Path], list[SkippedFile]]:
    """Every file that may be a picture, every folder but those about our own, what was skipped."""
    found = search(root)
    skipped = [*found.left_out, *found.unreadable]
    return found.files, found.folders, [_skipped(path, root, reason) for path, reason in skipped]


def _skipped(path: Path, root: Path, reason: str) -> SkippedFile:
    return SkippedFile(printable(os.path.relpath(path, root)), reason)


# One file


def _inspect(path: Path) -> PictureFile | str:
    """Statistics of a picture file, or the reason to leave it out."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            return "not a regular file"
        if found.st_size == 0:
            return "an empty file"
        if found.st_size > _MAX_BYTES:
            return f"larger than {_MAX_BYTES:,} bytes"
        data = path.read_bytes()
        return "drawn by vae or vae-lab" if is_drawn(data) else _describe(path, data)
    except FileNotFoundError:
        return "a link to nothing"
    except OSError as error:
        return f"{error.strerror}"
    except MemoryError:
        return "more memory than there is"
    except OutOfSupport as error:
        return f"{str(error).partition('. ')[0]}. Save floats in 0..1."
    except InputError as error:
        return str(error)


def _describe(path: Path, data: bytes) -> PictureFile:
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
