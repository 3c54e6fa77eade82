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
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from models.errors import printable
from models.files import own_folder, search
from training.data.arrangement import arrange
from training.data.disk_cache import DiskCache
from training.data.file_split import FileSplit, PictureFile, SkippedFile
from training.data.file_stamp import stamp_file
from training.data.in_threads import map_in_threads
from training.data.inspection import LeftOut, inspect
from training.data.known_files import KnownFiles
from training.data.refusals import is_archive
from training.errors import DatasetError

_NO_CACHE = DiskCache(Path(), limit=0)


@dataclass(frozen=True)
class Folder:
    """Splits, classes and skipped files of a folder."""

    parts: Mapping[str, FileSplit]
    """The given splits, or all as "train"; in the order of the digests."""
    class_names: tuple[str, ...]
    skipped: tuple[SkippedFile, ...]
    warnings: tuple[str, ...] = ()
    """What is doubtful in its layout, a sentence each."""


def read_folder(
    root: Path, *, console: Console | None = None, cache: DiskCache = _NO_CACHE
) -> Folder:
    """Find and decode every picture once; keep its statistics, not its pixels.

    Args:
        root: The folder.
        console: Where to show progress; nowhere by default.
        cache: Has the statistics of files that did not change since an earlier reading, and gets
            those of the others.

    Raises:
        DatasetError: It holds no picture that can be read, or is the folder of a run or a model.
    """
    if own := own_folder(root):
        raise DatasetError(
            f"{root} is {own}, and no folder of pictures. Name the folder of the data.",
            received=str(root),
        )
    paths, folders, skipped = _walk(root)
    files = []
    for path, result in zip(paths, _inspect(paths, root, cache, console), strict=True):
        if isinstance(result, PictureFile):
            files.append(result)
        else:
            skipped.append(_skipped(path, root, result.reason))
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


def _inspect(
    paths: list[Path], root: Path, cache: DiskCache, console: Console | None
) -> list[PictureFile | LeftOut]:
    """What each file is, by an earlier inspection where it did not change since."""
    known = KnownFiles(cache, root)
    found = [_find(path, known) for path in paths]
    unknown = [path for path, one in zip(paths, found, strict=True) if one is None]
    with closing(
        map_in_threads(
            inspect, unknown, words="looking at pictures", console=console if unknown else None
        )
    ) as looked:
        whole = [next(looked) if one is None else one for one in found]
    if any(new.stamp for new, old in zip(whole, found, strict=True) if old is None):
        known.write(whole)
    return whole


def _find(path: Path, known: KnownFiles) -> PictureFile | LeftOut | None:
    try:
        return known.find(path, stamp_file(path)[0])
    except OSError:  # its inspection will say
        return None


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
