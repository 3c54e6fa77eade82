"""The levels of a split's pictures, decoded once and kept on disk for each image spec.

    levels-<folder and spec>-<split>    `levels` (picture, channel, height, width) in the split's
                                        order, and `stamp`, that of each picture's file

An entry whose stamps are the split's is mapped as it is. Otherwise the rows of files that did not
change are copied from it and from those of the other splits, and the other files are decoded.
"""

import json
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
from jaxtyping import Shaped
from rich.console import Console

from models.images import ImageSpec
from training.data.array_file import ArrayFile, Form
from training.data.disk_cache import DiskCache
from training.data.file_stamp import LENGTH, NO_STAMP
from training.data.in_threads import map_in_threads
from training.data.reading_code import reading_version

SPLITS = ("train", "validation", "test")
_UNKNOWN = bytes(LENGTH)
"""Stands for `NO_STAMP` among stamps of one length."""

Levels = Shaped[np.ndarray, "batch channel height width"]
Row = Shaped[np.ndarray, "channel height width"]


@dataclass(frozen=True)
class KeptLevels:
    """Where the levels of a split of a folder are kept."""

    cache: DiskCache
    folder: Path
    split: str
    """One of `SPLITS`; empty for some pictures of one, whose levels are found but not kept."""

    def read(
        self,
        stamps: Sequence[bytes],
        read_one: Callable[[int], tuple[Row, bytes]],
        *,
        spec: ImageSpec,
        console: Console | None,
    ) -> Levels:
        """Levels of the split's pictures, kept or read; mapped from disk where they are kept.

        Args:
            stamps: The stamp of each picture's file.
            read_one: Reads the levels of the picture at a position, and its file's stamp.
            spec: What the levels are made by. Its `values` do not matter.
            console: Where to show progress; nowhere if None.
        """
        key = self._key(spec)
        names = {split: f"levels-{key}-{split}" for split in SPLITS}
        entries = {split: self.cache.find(name) for split, name in names.items()}
        own = entries.get(self.split)
        if own is not None and all(stamps) and own.arrays["stamp"].tobytes() == b"".join(stamps):
            return own.arrays["levels"]
        known = _rows_by_stamp(entry for entry in entries.values() if entry is not None)
        form = Form(np.dtype(np.uint8 if spec.levels <= 256 else np.uint16), spec.shape)
        form = replace(form, shape=(len(stamps), *form.shape))

        def rows() -> Generator[tuple[Row, bytes]]:
            return _rows(stamps, known, read_one, console)

        if self.split and len(stamps):
            with closing(rows()) as found:
                kept = self.cache.write(
                    names[self.split],
                    {"levels": form, "stamp": Form(np.dtype(np.uint8), (len(stamps), LENGTH))},
                    _with_stamps_last(found),
                    about={
                        "folder": os.path.abspath(self.folder),
                        "holds": f"{self.split}, {spec.width}x{spec.height}x{spec.channels}",
                        "pictures": str(len(stamps)),
                        "spec": spec.model_dump_json(exclude={"values"}),
                    },
                )
            if kept is not None:
                return kept.arrays["levels"]
        whole = np.empty(form.shape, form.dtype)
        for position, (row, _) in enumerate(rows()):
            whole[position] = row
        return whole

    def of_a_part(self) -> "KeptLevels":
        """The same for some of the split's pictures."""
        return replace(self, split="")

    def _key(self, spec: ImageSpec) -> str:
        """Equal for levels that are equal picture by picture."""
        what = [
            reading_version(),
            os.path.abspath(self.folder),
            spec.model_dump(exclude={"values"}),
        ]
        return sha256(json.dumps(what).encode()).hexdigest()[:32]


NOT_KEPT = KeptLevels(DiskCache(Path(), limit=0), Path(), "")
"""Of pictures that are decoded anew by each reading."""


def _rows_by_stamp(entries: Iterable[ArrayFile]) -> dict[bytes, Row]:
    known = {}
    for entry in entries:
        stamps, levels = entry.arrays["stamp"].tobytes(), np.asarray(entry.arrays["levels"])
        for row, level in enumerate(levels):
            known[stamps[row * LENGTH : (row + 1) * LENGTH]] = level
    known.pop(_UNKNOWN, None)
    return known


def _rows(
    stamps: Sequence[bytes],
    known: dict[bytes, Row],
    read_one: Callable[[int], tuple[Row, bytes]],
    console: Console | None,
) -> Generator[tuple[Row, bytes]]:
    """The levels of each picture in order, and its file's stamp; unknown ones are read."""
    unknown = [position for position, stamp in enumerate(stamps) if stamp not in known]
    shown = console if unknown else None
    with closing(
        map_in_threads(read_one, unknown, words="reading pictures", console=shown)
    ) as read:
        for stamp in stamps:
            yield (known[stamp], stamp) if stamp in known else next(read)


def _with_stamps_last(rows: Iterator[tuple[Row, bytes]]) -> Iterator[bytes | np.ndarray]:
    stamps = bytearray()
    for row, stamp in rows:
        stamps += _UNKNOWN if stamp == NO_STAMP else stamp
        yield row
    yield bytes(stamps)
