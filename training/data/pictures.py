"""The pictures of a set that can be decoded, each looked at once, and why others are left out."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64
from rich.console import Console

from training.data.disk_cache import DiskCache
from training.data.file_stamp import NO_STAMP
from training.data.in_threads import map_in_threads
from training.data.inspection import Inspected, inspect
from training.data.known_files import KnownFiles
from training.data.picture_table import PictureTable, TableWriter
from training.data.samples import Samples

NO_CACHE = DiskCache(Path(), limit=0)


@dataclass(frozen=True)
class Pictures:
    """Statistics of pictures, and where they are read from."""

    samples: Samples
    table: PictureTable
    positions: Int64[np.ndarray, " picture"]
    """Position of each row of the table in the samples, ascending."""

    def __len__(self) -> int:
        return len(self.table)

    def name(self, row: int) -> str:
        """What a picture is called; see `Samples.name`."""
        return self.samples.name(int(self.positions[row]))

    def path(self, row: int) -> str:
        """What a picture is grouped by; see `Samples.path`."""
        return self.samples.path(int(self.positions[row]))


def look(
    samples: Samples, *, console: Console | None = None, cache: DiskCache = NO_CACHE
) -> tuple[Pictures, Mapping[int, str]]:
    """Decode every picture once; keep its statistics, not its pixels.

    Args:
        samples: Encoded pictures.
        console: Where to show progress; nowhere by default.
        cache: Has the statistics of pictures that did not change since an earlier look, and gets
            those of the others.

    Returns:
        The pictures, and the reason of each position that is left out.
    """
    known = KnownFiles(cache, samples.root)
    stamps = samples.stamps()
    rows, left_out = known.find(stamps)
    unknown = np.setdiff1d(np.flatnonzero(rows < 0), np.fromiter(left_out, np.int64))
    if not len(unknown) and np.array_equal(rows[rows >= 0], np.arange(len(known.table))):
        return Pictures(samples, known.table, np.flatnonzero(rows >= 0)), left_out
    writer, is_picture = TableWriter(len(samples)), rows >= 0
    reasons = {stamps[position].tobytes(): reason for position, reason in left_out.items()}
    writer.copy(np.flatnonzero(is_picture), known.table, rows[is_picture])
    is_new = not len(unknown)
    with closing(
        map_in_threads(
            inspect,
            samples.readers(unknown),
            words="looking at pictures",
            console=console if len(unknown) else None,
            total=len(unknown),
        )
    ) as looked:
        for position, found in zip(unknown.tolist(), looked, strict=True):
            is_new = is_new or bool(found.stamp)
            if isinstance(found, Inspected):
                writer.add(position, found)
                is_picture[position] = True
            else:
                left_out[position] = found.reason
                reasons[found.stamp] = found.reason
    table = writer.close(is_picture)
    if is_new:
        reasons.pop(NO_STAMP, None)
        table = known.write(table, {stamp.hex(): reason for stamp, reason in reasons.items()})
    return Pictures(samples, table, np.flatnonzero(is_picture)), left_out
