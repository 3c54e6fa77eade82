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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int64
from rich.console import Console

from models.errors import printable
from models.files import Found, own_folder, search
from training.data.arrangement import PictureFile, arrange
from training.data.digests import keys
from training.data.disk_cache import DiskCache
from training.data.file_split import FileSplit, SkippedFile
from training.data.file_stamp import NO_STAMP, stamp_file
from training.data.pictures import NO_CACHE, SpecsAhead, look
from training.data.refusals import is_archive
from training.data.samples import Reader, Samples, Stamps, Unreadable, pack_stamps
from training.errors import DatasetError

_MAX_BYTES = 2**29


@dataclass(frozen=True)
class Folder:
    """Splits, classes and skipped files of a folder."""

    parts: Mapping[str, FileSplit]
    """The given splits, or all as "train"; in the order of the digests."""
    class_names: tuple[str, ...]
    skipped: tuple[SkippedFile, ...]
    warnings: tuple[str, ...] = ()
    """What is doubtful in its layout, a sentence each."""


class FolderFiles(Samples):
    """The files of a folder."""

    def __init__(self, root: Path, paths: Sequence[str]) -> None:
        self.root, self.paths = root, paths

    def __len__(self) -> int:
        return len(self.paths)

    def stamps(self) -> Stamps:
        return pack_stamps([_find_stamp(path) for path in self.paths])

    def readers(self, positions: Int64[np.ndarray, " chosen"]) -> Iterator[Reader]:
        return (partial(_read, self.paths[position]) for position in positions)

    def name(self, position: int) -> str:
        return printable(os.path.relpath(self.paths[position], self.root))


def read_folder(
    root: Path,
    *,
    console: Console | None = None,
    cache: DiskCache = NO_CACHE,
    found: Found | None = None,
    specs: SpecsAhead = (),
) -> Folder:
    """Find and decode every picture once; keep its statistics, not its pixels.

    Args:
        root: The folder.
        console: Where to show progress; nowhere by default.
        cache: Has the statistics of files that did not change since an earlier reading, and gets
            those of the others.
        found: What a search of the folder found, if it was searched.
        specs: What levels to make of files that are decoded.

    Raises:
        DatasetError: It holds no picture that can be read, or is the folder of a run or a model.
    """
    if own := own_folder(root):
        raise DatasetError(
            f"{root} is {own}, and no folder of pictures. Name the folder of the data.",
            received=str(root),
        )
    found = found or search(root)
    files = FolderFiles(root, [os.fspath(path) for path in found.files])
    pictures, left_out = look(files, console=console, cache=cache, specs=specs)
    skipped = [
        *(_skipped(path, root, reason) for path, reason in (*found.left_out, *found.unreadable)),
        *(SkippedFile(files.name(position), reason) for position, reason in left_out.items()),
    ]
    if not len(pictures):
        reasons = "; ".join(f"{one.path}: {one.reason.split('. ')[0]}" for one in skipped[:3])
        noun = "file or folder" if len(skipped) == 1 else "files and folders"
        others = f", but {len(skipped):,} other {noun} ({reasons})" if skipped else ""
        raise DatasetError(
            f"{root} holds no picture that can be read{others}. {_fix(found.files)}",
            received=str(root),
        )
    # Files are sorted by their paths, and so are those of one digest.
    order = np.argsort(keys(pictures.table.records["digest"]), kind="stable").tolist()
    positions = pictures.positions.tolist()
    arranged = arrange(
        [PictureFile(found.files[positions[row]], row) for row in order],
        root=root,
        folders=found.folders,
    )
    skipped += [_skipped(path, root, reason) for path, reason in arranged.outside.items()]
    return Folder(
        {name: FileSplit(pictures, one.rows, one.labels) for name, one in arranged.parts.items()},
        tuple(map(printable, arranged.class_names)),
        tuple(sorted(skipped, key=lambda one: one.path)),
        tuple(arranged.warnings),
    )


def _find_stamp(path: str) -> bytes:
    try:
        return stamp_file(path)[0]
    except OSError:  # its reader will say
        return NO_STAMP


def _read(path: str) -> tuple[bytes, bytes]:
    """A file's bytes, and its stamp before.

    Raises:
        OSError: It cannot be read.
        Unreadable: It is no file that may be a picture.
    """
    stamp, found = stamp_file(path)
    if not stat.S_ISREG(found.st_mode):
        raise Unreadable("not a regular file")
    if found.st_size == 0:
        raise Unreadable("an empty file")
    if found.st_size > _MAX_BYTES:
        raise Unreadable(f"larger than {_MAX_BYTES:,} bytes")
    with open(path, "rb", buffering=0) as file:
        return file.read(), stamp


def _fix(paths: list[Path]) -> str:
    """What to do with a folder that has files and no pictures."""
    arrays = [path for path in paths if path.suffix.lower() in (".npz", ".npy")]
    if arrays:
        return f"Name the file of arrays instead: {arrays[0]}"
    if archives := [path for path in paths if is_archive(path)]:
        return f"Unpack {archives[0].name} first."
    return "Put PNG, JPEG, WebP, GIF, BMP, TIFF or PGM files there, or name another folder."


def _skipped(path: Path, root: Path, reason: str) -> SkippedFile:
    return SkippedFile(printable(os.path.relpath(path, root)), reason)
