"""Levels of pictures that are made while each is looked at, so that none is decoded twice.

Which split a picture is in is known when all were looked at. Until then its levels lie in a scratch
file beside the cache, which has no name and is gone with the process.
"""

import os
import weakref
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Bool, Int64, Shaped

from models.images import ImageSpec
from models.images.levels import cached_spec
from training.data.disk_cache import DiskCache

Row = Shaped[np.ndarray, "channel height width"]
Rows = Sequence[Shaped[np.ndarray, "_ _ _"]]
"""Levels of one picture for several specs."""


class LevelsAhead:
    """The levels of pictures at their positions, for each of some image specs."""

    def __init__(self, specs: Sequence[ImageSpec], count: int, cache: DiskCache) -> None:
        """Make room for the levels of so many pictures; nothing is kept where there is none.

        Args:
            specs: What levels will be asked for, as a recipe has it.
            count: Number of pictures.
            cache: Where they will be kept in the end. It has room for them twice, or none is made.
        """
        wanted = {_key(one): one for spec in specs for one in (cached_spec(spec), spec)}
        self._starts: dict[str, int] = {}
        size = 0
        for key, spec in wanted.items():
            self._starts[key] = size
            size += count * prod(spec.shape) * level_type(spec).itemsize
        self._file: BinaryIO | None = cache.scratch(size) if size else None
        self.specs: tuple[ImageSpec, ...] = ()
        if self._file is not None:
            self.specs = tuple(wanted.values())
            weakref.finalize(self, self._file.close)
        self._is_there = np.zeros(count if self.specs else 0, dtype=bool)

    def add(self, position: int, levels: Rows) -> None:
        """Keep the levels of a picture for each of `specs`; none where they could not be made."""
        if self._file is None or not levels:
            return
        try:
            for spec, row in zip(self.specs, levels, strict=True):
                os.pwrite(
                    self._file.fileno(), np.ascontiguousarray(row).data, self._place(position, spec)
                )
        except OSError:  # a file system that reserves nothing, and is full
            self.close()
        else:
            self._is_there[position] = True

    def has(
        self, positions: Int64[np.ndarray, " chosen"], spec: ImageSpec
    ) -> Bool[np.ndarray, " chosen"]:
        """Whether the levels of each picture are here."""
        if self._file is None or _key(spec) not in self._starts:
            return np.zeros(len(positions), dtype=bool)
        found: Bool[np.ndarray, " chosen"] = self._is_there[positions]
        return found

    def read(self, position: int, spec: ImageSpec) -> Row:
        """The levels of a picture that are here."""
        assert self._file is not None
        dtype = level_type(spec)
        size = prod(spec.shape) * dtype.itemsize
        data = os.pread(self._file.fileno(), size, self._place(position, spec))
        return np.frombuffer(data, dtype).reshape(spec.shape)

    def close(self) -> None:
        """Give the room back."""
        if self._file is not None:
            self._file.close()
        self._file = None

    def _place(self, position: int, spec: ImageSpec) -> int:
        return self._starts[_key(spec)] + position * prod(spec.shape) * level_type(spec).itemsize


def level_type(spec: ImageSpec) -> np.dtype:
    """The type of levels."""
    return np.dtype(np.uint8 if spec.levels <= 256 else np.uint16)


def _key(spec: ImageSpec) -> str:
    """Equal for specs of the same levels."""
    return spec.model_dump_json(exclude={"values"})


NONE_AHEAD = LevelsAhead((), 0, DiskCache(Path(), limit=0))
"""Of pictures whose levels nobody asked for."""
