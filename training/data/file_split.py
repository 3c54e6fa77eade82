"""A split in picture files of any size, decoded anew by each reading, in several threads."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Int64, UInt16
from rich.console import Console

from models.errors import InputError
from models.images import MAX_PIXELS, ReadOptions
from training.data.image_statistics import ImageStatistics
from training.data.split import Cache, Labels, Source, Split
from training.errors import DatasetError
from training.progress_bar import ProgressBar

FILE_OPTIONS = ReadOptions(max_pixels=MAX_PIXELS)
_MAX_THREADS = 8

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class PictureFile:
    """A picture file that can be read, and its statistics."""

    path: Path
    digest: bytes
    """Digest of the decoded pixels: equal for exact copies in any lossless format."""
    size: tuple[int, int]
    """(height, width), upright."""
    mode: str
    """Channels, bits and transparency, in words."""
    has_colour: bool
    histogram: UInt16[np.ndarray, "256"]
    """Counts of its values on 256 levels; see `ImageStatistics`."""


@dataclass(frozen=True)
class SkippedFile:
    """A file of the folder that is not in the data set."""

    path: str
    """Relative to the data set's folder, printable."""
    reason: str


@dataclass(frozen=True)
class FileSplit(Split):
    """Picture files and their labels."""

    files: tuple[PictureFile, ...]
    labels: Labels | None = None

    def __len__(self) -> int:
        return len(self.files)

    def take(self, chosen: Int64[np.ndarray, " chosen"]) -> "FileSplit":
        """The pictures at these positions, in this order."""
        labels = None if self.labels is None else self.labels[chosen]
        return FileSplit(tuple(self.files[position] for position in chosen), labels)

    @cached_property
    def statistics(self) -> ImageStatistics:
        """Sums over the files."""
        return ImageStatistics(
            Counter(file.size for file in self.files),
            Counter(file.mode for file in self.files),
            sum(file.has_colour for file in self.files),
            sum((file.histogram for file in self.files), np.zeros(256, np.int64)),
        )

    @cached_property
    def digests(self) -> list[bytes]:
        """The digest of each file's decoded pixels."""
        return [file.digest for file in self.files]

    def content(self) -> Iterator[bytes | memoryview]:
        """Number of files, the digest of each one's pixels, and the labels."""
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
                reason = str(error).split(". ")[0].rstrip(".")
                raise DatasetError(
                    f"{file.path} can no longer be read: {reason}. Restore the file, or run the "
                    "command again without it."
                ) from error

        return map_in_threads(read_one, self.files, words="reading pictures", console=console)


def map_in_threads(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    words: str,
    console: Console | None,
) -> Iterator[Result]:
    """Results of each item, in order, under a progress bar if there is a console."""
    bar = ProgressBar(console=console, transient=True)
    with bar, ThreadPoolExecutor(min(_MAX_THREADS, os.cpu_count() or 1)) as pool:
        yield from bar.track(pool.map(function, items), total=len(items), description=words)
