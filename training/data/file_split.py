"""A split in encoded pictures of any size, decoded in several threads where levels are not kept."""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float32, Int64
from rich.console import Console

from models.errors import InputError
from models.images import ImageSpec
from models.images.levels import cached_spec, to_observations
from training.data.digests import Digests
from training.data.image_statistics import ImageStatistics
from training.data.in_threads import map_in_threads
from training.data.inspection import read_row
from training.data.kept_levels import NOT_KEPT, KeptLevels, Levels
from training.data.levels_ahead import Row
from training.data.looks import Looks
from training.data.pictures import Pictures
from training.data.samples import Reader, Unreadable
from training.data.split import Labels, Split
from training.errors import DatasetError


@dataclass(frozen=True)
class SkippedFile:
    """A file of the folder that is not in the data set."""

    path: str
    """Relative to the data set's folder, printable."""
    reason: str


@dataclass(frozen=True)
class FileSplit(Split):
    """Pictures in files, archives or tables, and their labels."""

    pictures: Pictures
    """Those of all splits together."""
    rows: Int64[np.ndarray, " batch"]
    """Rows of the split's pictures among them."""
    labels: Labels | None = None
    kept: KeptLevels = NOT_KEPT
    """Where levels of its pictures are kept."""

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, chosen: Int64[np.ndarray, " chosen"]) -> "FileSplit":
        """The pictures at these positions, in this order."""
        labels = None if self.labels is None else self.labels[chosen]
        return FileSplit(self.pictures, self.rows[chosen], labels, self.kept.of_a_part())

    def name(self, position: int) -> str:
        """What a picture is called, relative to the set's folder."""
        return self.pictures.name(int(self.rows[position]))

    def path(self, position: int) -> str:
        """Its path in the set's folder or in its archive; empty for a row of a table."""
        return self.pictures.path(int(self.rows[position]))

    @cached_property
    def statistics(self) -> ImageStatistics:
        """Sums over the pictures."""
        return self.pictures.table.statistics(self.rows)

    @cached_property
    def digests(self) -> Digests:
        """The digest of each picture's decoded pixels."""
        return self.pictures.table.digests(self.rows)

    @property
    def looks(self) -> Looks:
        """What each picture looks like."""
        return self.pictures.table.looks(self.rows)

    def content(self) -> Iterator[bytes | memoryview]:
        """Number of pictures, the digest of each one's pixels, and the labels."""
        yield f"{len(self)} files".encode()
        yield self.digests.data
        if self.labels is not None:
            yield self.labels.astype("<i8").data

    def read_levels(self, spec: ImageSpec, *, console: Console | None = None) -> Levels:
        return self._levels(cached_spec(spec), console)

    def keep_levels(self, spec: ImageSpec) -> None:
        """Keep levels of that very spec, where those of some pictures of the set are made ahead."""
        if self.pictures.ahead.has(self.pictures.positions, spec).any():
            self._levels(spec, None)

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
        order = np.argsort(self.rows, kind="stable")
        if not self.kept.split and not np.array_equal(order, np.arange(len(order))):
            sorted_levels = replace(self, rows=self.rows[order], labels=None)._levels(spec, console)
            return sorted_levels[np.argsort(order)]
        return self.kept.read(
            self.pictures.table.stamps(self.rows),
            lambda positions: self._read_rows(positions, spec, console),
            spec=spec,
        )

    def _read_rows(
        self, positions: Int64[np.ndarray, " chosen"], spec: ImageSpec, console: Console | None
    ) -> Generator[tuple[Row, bytes]]:
        """Levels that were made ahead, and of the other pictures those that are decoded now."""
        rows = self.rows[positions]
        where, ahead = self.pictures.positions[rows], self.pictures.ahead
        is_ahead = ahead.has(where, spec)
        with closing(self._decode_rows(rows[~is_ahead], spec, console)) as decoded:
            for row, position, is_made in zip(rows, where.tolist(), is_ahead, strict=True):
                if is_made:
                    stamp = self.pictures.table.records["stamp"][row]
                    yield ahead.read(position, spec), stamp.tobytes()
                else:
                    yield next(decoded)

    def _decode_rows(
        self, rows: Int64[np.ndarray, " chosen"], spec: ImageSpec, console: Console | None
    ) -> Generator[tuple[Row, bytes]]:
        def read_one(item: tuple[int, Reader]) -> tuple[Row, bytes]:
            row, reader = item
            try:
                data, stamp = reader()
                return read_row(data, spec), stamp
            except (OSError, InputError, Unreadable) as error:
                reason = str(error).split(". ")[0].rstrip(".")
                place = self.pictures.samples.root / self.pictures.name(row)
                raise DatasetError(
                    f"{place} can no longer be read: {reason}. Restore the file, or run the "
                    "command again without it."
                ) from error

        readers = self.pictures.samples.readers(self.pictures.positions[rows])
        with closing(
            map_in_threads(
                read_one,
                zip(rows.tolist(), readers, strict=True),
                words="reading pictures",
                console=console if len(rows) else None,
                total=len(rows),
            )
        ) as found:
            yield from found
