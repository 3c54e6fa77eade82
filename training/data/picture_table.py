"""What is known of many encoded pictures: some two hundred bytes each, in one array.

The array is mapped from the disk cache where it is kept, and costs no memory then.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64, Shaped

from training.data.digests import LENGTH as DIGEST
from training.data.digests import Digests
from training.data.file_stamp import LENGTH as STAMP
from training.data.image_statistics import ImageStatistics
from training.data.inspection import Inspected
from training.data.looks import LENGTH as LOOK
from training.data.looks import Looks
from training.data.samples import Stamps

RECORD = np.dtype(
    [
        ("stamp", np.uint8, STAMP),
        ("digest", np.uint8, DIGEST),
        ("look", np.uint8, LOOK),
        ("used", np.uint8, 32),  # 256 bits, one for each level
        ("size", np.uint32, 2),
        ("total", np.uint32),
        ("squares", np.uint32),
        ("num_values", np.uint16),
        ("mode", np.uint8),
        ("has_colour", np.uint8),
    ]
)
_BLOCK = 65_536

Records = Shaped[np.ndarray, " _"]
"""An array of `RECORD`."""
Rows = Int64[np.ndarray, " _"]


@dataclass(frozen=True)
class PictureTable:
    """Stamps, digests and statistics of pictures."""

    records: Records
    modes: Sequence[str]
    """Each picture's `mode` is a position here."""

    def __len__(self) -> int:
        return len(self.records)

    def digests(self, rows: Rows) -> Digests:
        """The digest of each picture's decoded pixels."""
        found: Digests = self.records["digest"][rows]
        return found

    def looks(self, rows: Rows) -> Looks:
        """What each picture looks like."""
        found: Looks = self.records["look"][rows]
        return found

    def stamps(self, rows: Rows) -> Stamps:
        """The stamp of each picture; zeros where it has none."""
        found: Stamps = self.records["stamp"][rows]
        return found

    def statistics(self, rows: Rows) -> ImageStatistics:
        """Sums over these pictures."""
        sizes: Counter[tuple[int, int]] = Counter()
        modes: Counter[str] = Counter()
        used, sums = np.zeros(32, np.uint8), np.zeros(4, np.int64)
        for block in self._blocks(rows):
            found, counts = np.unique(block["size"], axis=0, return_counts=True)
            for (height, width), count in zip(found.tolist(), counts.tolist(), strict=True):
                sizes[height, width] += count
            for code, count in enumerate(np.bincount(block["mode"]).tolist()):
                if count:
                    modes[self.modes[code]] += count
            used |= np.bitwise_or.reduce(block["used"], axis=0)
            names = ("has_colour", "num_values", "total", "squares")
            sums += [int(block[name].sum(dtype=np.int64)) for name in names]
        colour, *others = map(int, sums)
        return ImageStatistics(sizes, modes, colour, np.unpackbits(used) == 1, *others)

    def _blocks(self, rows: Rows) -> Iterator[Records]:
        return (self.records[rows[i : i + _BLOCK]] for i in range(0, len(rows), _BLOCK))


class TableWriter:
    """A table that is filled row by row."""

    def __init__(self, count: int) -> None:
        self._records = np.zeros(count, RECORD)
        self._code_of: dict[str, int] = {}

    def add(self, row: int, picture: Inspected) -> None:
        """Write what was found of one picture."""
        code = self._code_of.setdefault(picture.mode, len(self._code_of))
        self._records[row] = (
            np.frombuffer(picture.stamp or bytes(STAMP), np.uint8),
            np.frombuffer(picture.digest, np.uint8),
            np.frombuffer(picture.look, np.uint8),
            np.frombuffer(picture.used, np.uint8),
            picture.size,
            picture.total,
            picture.squares,
            picture.num_values,
            code,
            picture.has_colour,
        )

    def copy(self, rows: Rows, table: PictureTable, others: Rows) -> None:
        """Copy these rows of another table."""
        codes = [self._code_of.setdefault(mode, len(self._code_of)) for mode in table.modes]
        self._records[rows] = table.records[others]
        self._records["mode"][rows] = np.array(codes, np.uint8)[table.records["mode"][others]]

    def close(self, is_picture: Shaped[np.ndarray, " row"]) -> PictureTable:
        """The table of the rows that are pictures."""
        records = self._records if is_picture.all() else self._records[is_picture]
        return PictureTable(records, tuple(self._code_of))
