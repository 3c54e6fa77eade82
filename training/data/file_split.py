"""A split in picture files of any size, decoded in several threads where levels are not kept."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64, UInt16
from rich.console import Console

from models.errors import InputError
from models.images import MAX_PIXELS, ImageSpec, ReadOptions, read_images, read_levels
from models.images.levels import cached_spec, to_observations
from training.data.file_stamp import NO_STAMP, stamp_file
from training.data.image_statistics import ImageStatistics
from training.data.kept_levels import NOT_KEPT, KeptLevels, Levels, Row
from training.data.split import Labels, Split
from training.errors import DatasetError

FILE_OPTIONS = ReadOptions(max_pixels=MAX_PIXELS)


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
    stamp: bytes = NO_STAMP
    """The file's stamp before it was read."""


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
    kept: KeptLevels = NOT_KEPT
    """Where levels of its pictures are kept."""

    def __len__(self) -> int:
        return len(self.files)

    def take(self, chosen: Int64[np.ndarray, " chosen"]) -> "FileSplit":
        """The pictures at these positions, in this order."""
        labels = None if self.labels is None else self.labels[chosen]
        files = tuple(self.files[position] for position in chosen)
        return FileSplit(files, labels, self.kept.of_a_part())

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

    def read_levels(self, spec: ImageSpec, *, console: Console | None = None) -> Levels:
        return self._levels(cached_spec(spec), console)

    def observations(
        self, spec: ImageSpec, *, console: Console | None = None
    ) -> Float32[np.ndarray, "batch channel height width"]:
        return to_observations(self._levels(spec, console), spec)

    def observations_by_chunk(
        self, spec: ImageSpec, size: int
    ) -> Iterator[Float32[np.ndarray, "batch channel height width"]]:
        if self.kept.cache.limit == 0:
            yield from super().observations_by_chunk(spec, size)
            return
        levels = self._levels(spec, None)
        for start in range(0, len(levels), size):
            yield to_observations(levels[start : start + size], spec)

    def _levels(self, spec: ImageSpec, console: Console | None) -> Levels:
        """Levels of an observation, which for a stochastic binarisation are black and white."""
        read = _read_binary if spec.binarization == "stochastic" else read_levels

        def read_one(position: int) -> tuple[Row, bytes]:
            path = self.files[position].path
            try:
                stamp, _ = stamp_file(path)
                return read(path.read_bytes(), spec, options=FILE_OPTIONS)[0], stamp
            except (OSError, InputError) as error:
                reason = str(error).split(". ")[0].rstrip(".")
                raise DatasetError(
                    f"{path} can no longer be read: {reason}. Restore the file, or run the "
                    "command again without it."
                ) from error

        stamps = [file.stamp for file in self.files]
        return self.kept.read(stamps, read_one, spec=spec, console=console)


def _read_binary(source: bytes, spec: ImageSpec, *, options: ReadOptions) -> Levels:
    """Levels 0 and 1 as the service binarises: also those of `values` "unit"."""
    return read_images(source, spec, options=options).x.astype(np.uint8)
