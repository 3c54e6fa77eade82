"""Picture files of a folder as a split: read when they are asked for, by several threads."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt16
from rich.console import Console
from rich.progress import MofNCompleteColumn

from models.errors import InputError
from models.images.reading import ReadOptions
from training.data.split import (
    _MAX_THREADS,
    FILE_OPTIONS,
    Cache,
    Facts,
    Item,
    Labels,
    Result,
    Source,
    Split,
)
from training.errors import DatasetError
from training.progress_bar import ProgressBar


@dataclass(frozen=True)
class PictureFile:
    """A picture file that can be read, and what was found in it."""

    path: Path
    digest: bytes
    """Of its decoded pixels: equal for exact copies in whatever lossless format."""
    size: tuple[int, int]
    """(height, width), upright."""
    mode: str
    """In words: channels, bits, transparency."""
    has_colour: bool
    histogram: UInt16[np.ndarray, "256"]
    """Of its values on 256 levels; see `Facts`."""


@dataclass(frozen=True)
class Skipped:
    """A file that is not in the data set."""

    path: str
    """Relative to the data set's folder, fit to be printed."""
    reason: str


@dataclass(frozen=True)
class FileSplit(Split):
    """Picture files of any size, decoded anew by each reading."""

    files: tuple[PictureFile, ...]
    labels: Labels | None = None

    def __len__(self) -> int:
        return len(self.files)

    def take(self, chosen: Int64[np.ndarray, " chosen"]) -> "FileSplit":
        """The pictures at these positions, in this order."""
        labels = None if self.labels is None else self.labels[chosen]
        return FileSplit(tuple(self.files[position] for position in chosen), labels)

    @cached_property
    def facts(self) -> Facts:
        """The sum of what was found in each file."""
        return Facts(
            Counter(file.size for file in self.files),
            Counter(file.mode for file in self.files),
            sum(file.has_colour for file in self.files),
            sum((file.histogram for file in self.files), np.zeros(256, np.int64)),
        )

    @cached_property
    def digests(self) -> list[bytes]:
        """Of the decoded pixels of each file."""
        return [file.digest for file in self.files]

    def content(self) -> Iterator[bytes | memoryview]:
        """Their number, the digest of every picture's pixels, and the labels."""
        yield f"{len(self)} files".encode()
        yield from self.digests
        if self.labels is not None:
            yield self.labels.astype("<i8").data

    def _parts(
        self, read: Callable[[Source, ReadOptions], Cache], console: Console | None
    ) -> Iterator[Cache]:
        def read_one(file: PictureFile) -> Cache:
            try:
                return read(file.path.read_bytes(), FILE_OPTIONS)
            except (OSError, InputError) as error:
                raise DatasetError(
                    f"A picture stays readable while it is in use; received of {file.path}: "
                    f"{error} Restore it, or load the data set again."
                ) from error

        return in_threads(read_one, self.files, words="reading pictures", console=console)


def in_threads(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    words: str,
    console: Console | None,
) -> Iterator[Result]:
    """The function of each item, in order, under a progress bar if there is a console."""
    bar = ProgressBar(MofNCompleteColumn(), console=console, transient=True)
    with bar, ThreadPoolExecutor(min(_MAX_THREADS, os.cpu_count() or 1)) as pool:
        yield from bar.track(pool.map(function, items), total=len(items), description=words)
