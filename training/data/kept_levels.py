"""The levels of a split's pictures, decoded once and kept on disk for each image spec.

    levels-<set and spec>-<split>       `levels` (picture, channel, height, width) in the split's
                                        order, and `stamp`, that of each picture

An entry whose stamps are the split's is mapped as it is. Otherwise the rows of pictures that did
not change are copied from it and from those of the other splits, and the other pictures are read.
Levels are written a few megabytes at a time: the memory never holds all of them.
"""

import json
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from hashlib import sha256
from math import prod
from pathlib import Path

import numpy as np
from jaxtyping import Int64, Shaped

from models.images import ImageSpec
from training.data.array_file import ArrayFile, Form
from training.data.disk_cache import DiskCache
from training.data.file_stamp import LENGTH, NO_STAMP
from training.data.levels_ahead import Row, level_type
from training.data.reading_code import reading_version
from training.data.samples import Stamps
from training.data.stamps import Places, find_stamps

SPLITS = ("train", "validation", "test")
_BLOCK_BYTES = 2**22

Levels = Shaped[np.ndarray, "batch channel height width"]
ReadRows = Callable[[Int64[np.ndarray, " chosen"]], Generator[tuple[Row, bytes]]]
"""Reads the levels of the split's pictures at ascending positions, each with its stamp."""


@dataclass(frozen=True)
class KeptLevels:
    """Where the levels of a split are kept."""

    cache: DiskCache
    place: Path
    """The folder or file of the set."""
    split: str
    """One of `SPLITS`; empty for some pictures of one, whose levels are found but not kept."""
    num_pictures: int = 0
    """Pictures of all splits together, whose levels the cache should have room for."""

    def read(self, stamps: Stamps, read_rows: ReadRows, *, spec: ImageSpec) -> Levels:
        """Levels of the split's pictures, kept or read; mapped from disk where they are kept.

        Args:
            stamps: The stamp of each picture.
            read_rows: Reads those that are not kept.
            spec: What the levels are made by. Its `values` do not matter.
        """
        key = self._key(spec)
        names = {split: f"levels-{key}-{split}" for split in SPLITS}
        entries = {split: self.cache.find(name) for split, name in names.items()}
        own = entries.get(self.split)
        if own is not None and _are_stamps_of(own, stamps):
            return own.arrays["levels"]
        form = Form(level_type(spec), spec.shape)
        form = replace(form, shape=(len(stamps), *form.shape))
        known = [entry for entry in entries.values() if entry is not None]

        def blocks() -> Generator[tuple[Levels, Stamps]]:
            return _blocks(stamps, known, read_rows, form)

        if self.split and len(stamps):
            with closing(blocks()) as found:
                kept = self.cache.write(
                    names[self.split],
                    {"levels": form, "stamp": Form(np.dtype(np.uint8), (len(stamps), LENGTH))},
                    _with_stamps_last(found, stamps),
                    about={
                        "folder": os.path.abspath(self.place),
                        "holds": f"{self.split}, {spec.width}x{spec.height}x{spec.channels}",
                        "pictures": str(len(stamps)),
                        "spec": spec.model_dump_json(exclude={"values"}),
                    },
                    together=self.num_pictures * prod(spec.shape) * form.dtype.itemsize,
                )
            if kept is not None:
                return kept.arrays["levels"]
        whole, first = np.empty(form.shape, form.dtype), 0
        for levels, _ in blocks():
            whole[first : first + len(levels)] = levels
            first += len(levels)
        return whole

    def of_a_part(self) -> "KeptLevels":
        """The same for some of the split's pictures."""
        return replace(self, split="")

    def _key(self, spec: ImageSpec) -> str:
        """Equal for levels that are equal picture by picture."""
        what = [
            reading_version(),
            os.path.abspath(self.place),
            spec.model_dump(exclude={"values"}),
        ]
        return sha256(json.dumps(what).encode()).hexdigest()[:32]


NOT_KEPT = KeptLevels(DiskCache(Path(), limit=0), Path(), "")
"""Of pictures that are decoded anew by each reading."""


def _are_stamps_of(entry: ArrayFile, stamps: Stamps) -> bool:
    return bool(stamps.any(axis=1).all()) and np.array_equal(entry.arrays["stamp"], stamps)


def _blocks(
    stamps: Stamps, known: Sequence[ArrayFile], read_rows: ReadRows, form: Form
) -> Generator[tuple[Levels, Stamps]]:
    """The levels of some pictures after the others, with their stamps; unknown ones are read."""
    places = [find_stamps(stamps, entry.arrays["stamp"]) for entry in known]
    is_unknown = np.ones(len(stamps), dtype=bool)
    for place in places:
        is_unknown &= place < 0
    size = max(1, _BLOCK_BYTES // (prod(form.shape[1:]) * form.dtype.itemsize))
    with closing(read_rows(np.flatnonzero(is_unknown))) as read:
        for first in range(0, len(stamps), size):
            some = slice(first, first + size)
            levels = np.empty((len(stamps[some]), *form.shape[1:]), form.dtype)
            is_known = _copy(levels, [place[some] for place in places], known)
            of_these = stamps[some].copy()
            for row in np.flatnonzero(~is_known):
                levels[row], stamp = next(read)
                of_these[row] = np.frombuffer(stamp, np.uint8) if stamp != NO_STAMP else 0
            yield levels, of_these


def _copy(
    levels: Levels, places: Sequence[Places], known: Sequence[ArrayFile]
) -> Shaped[np.ndarray, " row"]:
    """Copy the rows that entries have; returns which these are."""
    is_known = np.zeros(len(levels), dtype=bool)
    for place, entry in zip(places, known, strict=True):
        is_here = (place >= 0) & ~is_known
        levels[is_here] = entry.arrays["levels"][place[is_here]]
        is_known |= is_here
    return is_known


def _with_stamps_last(
    blocks: Iterator[tuple[Levels, Stamps]], stamps: Stamps
) -> Iterator[np.ndarray]:
    whole, first = np.empty_like(stamps), 0
    for levels, some in blocks:
        whole[first : first + len(some)] = some
        first += len(some)
        yield levels
    yield whole
