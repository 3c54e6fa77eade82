"""The pictures of a set that can be decoded, each looked at once, and why others are left out."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int64
from rich.console import Console

from models.images import ImageSpec
from training.data.disk_cache import DiskCache
from training.data.file_stamp import NO_STAMP
from training.data.in_threads import map_in_threads
from training.data.inspection import Inspected, LeftOut, inspect
from training.data.known_files import KnownFiles
from training.data.levels_ahead import NONE_AHEAD, LevelsAhead
from training.data.picture_table import PictureTable, TableWriter
from training.data.samples import Samples

NO_CACHE = DiskCache(Path(), limit=0)
_FIRST_SHARE, _MOST_FIRST = 16, 400
"""A guess of the image specs takes one picture in so many, and no more than so many."""


@dataclass(frozen=True)
class Pictures:
    """Statistics of pictures, and where they are read from."""

    samples: Samples
    table: PictureTable
    positions: Int64[np.ndarray, " picture"]
    """Position of each row of the table in the samples, ascending."""
    ahead: LevelsAhead = NONE_AHEAD
    """Levels that were made while they were looked at."""

    def __len__(self) -> int:
        return len(self.table)

    def name(self, row: int) -> str:
        """What a picture is called; see `Samples.name`."""
        return self.samples.name(int(self.positions[row]))

    def path(self, row: int) -> str:
        """What a picture is grouped by; see `Samples.path`."""
        return self.samples.path(int(self.positions[row]))


SpecsAhead = Sequence[ImageSpec] | Callable[[Pictures, int], Sequence[ImageSpec]]
"""The image specs whose levels will be asked for; or a guess of them by some of the pictures, and
the number of all. A wrong guess costs a second decoding, and changes nothing else."""


def look(
    samples: Samples,
    *,
    console: Console | None = None,
    cache: DiskCache = NO_CACHE,
    specs: SpecsAhead = (),
) -> tuple[Pictures, Mapping[int, str]]:
    """Decode every picture once; keep its statistics, not its pixels.

    Args:
        samples: Encoded pictures.
        console: Where to show progress; nowhere by default.
        cache: Has the statistics of pictures that did not change since an earlier look, and gets
            those of the others.
        specs: What levels to make of those that are decoded.

    Returns:
        The pictures, and the reason of each position that is left out.
    """
    known = KnownFiles(cache, samples.root)
    stamps = samples.stamps()
    rows, left_out = known.find(stamps)
    unknown = np.setdiff1d(np.flatnonzero(rows < 0), np.fromiter(left_out, np.int64))
    if not len(unknown) and np.array_equal(rows[rows >= 0], np.arange(len(known.table))):
        return Pictures(samples, known.table, np.flatnonzero(rows >= 0)), left_out
    ahead = _make_ahead(samples, unknown, specs, cache)
    writer, is_picture = TableWriter(len(samples)), rows >= 0
    reasons = {stamps[position].tobytes(): reason for position, reason in left_out.items()}
    writer.copy(np.flatnonzero(is_picture), known.table, rows[is_picture])
    is_new = not len(unknown)
    with closing(_inspect(samples, unknown, ahead.specs, console)) as looked:
        for position, found in zip(unknown.tolist(), looked, strict=True):
            is_new = is_new or bool(found.stamp)
            if isinstance(found, Inspected):
                writer.add(position, found)
                ahead.add(position, found.levels)
                is_picture[position] = True
            else:
                left_out[position] = found.reason
                reasons[found.stamp] = found.reason
    table = writer.close(is_picture)
    if is_new:
        reasons.pop(NO_STAMP, None)
        table = known.write(table, {stamp.hex(): reason for stamp, reason in reasons.items()})
    return Pictures(samples, table, np.flatnonzero(is_picture), ahead), left_out


def _inspect(
    samples: Samples,
    positions: Int64[np.ndarray, " chosen"],
    specs: Sequence[ImageSpec],
    console: Console | None,
) -> Generator[Inspected | LeftOut]:
    return map_in_threads(
        partial(inspect, specs=specs),
        samples.readers(positions),
        words="looking at pictures",
        console=console if len(positions) else None,
        total=len(positions),
    )


def _make_ahead(
    samples: Samples, unknown: Int64[np.ndarray, " chosen"], specs: SpecsAhead, cache: DiskCache
) -> LevelsAhead:
    """Room for the levels that will be asked for, where they can be kept."""
    if callable(specs):
        specs = _guess(samples, specs) if len(unknown) == len(samples) and cache.limit else ()
    return LevelsAhead(specs, len(samples), cache) if specs else NONE_AHEAD


def _guess(
    samples: Samples, guess: Callable[[Pictures, int], Sequence[ImageSpec]]
) -> Sequence[ImageSpec]:
    """The image specs that are guessed by a few of the pictures."""
    count = min(_MOST_FIRST, len(samples) // _FIRST_SHARE)
    positions = np.sort(np.random.default_rng(0).choice(len(samples), count, replace=False))
    writer, is_picture = TableWriter(count), np.zeros(count, dtype=bool)
    with closing(_inspect(samples, positions, (), None)) as looked:
        for row, found in enumerate(looked):
            if isinstance(found, Inspected):
                writer.add(row, found)
                is_picture[row] = True
    some = Pictures(samples, writer.close(is_picture), positions[is_picture])
    return guess(some, len(samples)) if len(some) else ()
