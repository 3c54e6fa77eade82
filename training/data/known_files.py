"""What is known of the pictures of a set from an earlier look: their statistics by their stamps."""

import json
import os
from hashlib import sha256
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from training.data.array_file import Form
from training.data.disk_cache import DiskCache
from training.data.file_stamp import LENGTH
from training.data.picture_table import RECORD, PictureTable
from training.data.reading_code import reading_version
from training.data.samples import Stamps
from training.data.stamps import find_stamps

_NOTHING = PictureTable(np.zeros(0, RECORD), ())


class KnownFiles:
    """The pictures of a folder or file that a cache has statistics of."""

    def __init__(self, cache: DiskCache, root: Path) -> None:
        self._cache, self._root = cache, os.path.abspath(root)
        what = json.dumps([reading_version(), self._root])
        self._name = f"files-{sha256(what.encode()).hexdigest()[:32]}"
        self.table = _NOTHING
        self._reasons: dict[str, str] = {}
        if (entry := cache.find(self._name)) is not None:
            records = entry.arrays["picture"].view(RECORD)[:, 0]
            self.table = PictureTable(records, json.loads(entry.about["modes"]))
            self._reasons = json.loads(entry.about["left_out"])

    def find(self, stamps: Stamps) -> tuple[Int64[np.ndarray, " picture"], dict[int, str]]:
        """The row of `table` of each picture, or -1; and the reason of those that are left out."""
        rows = find_stamps(stamps, self.table.records["stamp"])
        if not self._reasons:
            return rows, {}
        known = np.frombuffer(bytes.fromhex("".join(self._reasons)), np.uint8)
        places = find_stamps(stamps, known.reshape(-1, LENGTH))
        reasons = list(self._reasons.values())
        return rows, {int(one): reasons[places[one]] for one in np.flatnonzero(places >= 0)}

    def write(self, table: PictureTable, left_out: dict[str, str]) -> PictureTable:
        """Keep what was found, in place of what was known; returns it, mapped where it is kept.

        Args:
            table: The pictures.
            left_out: The reason of each picture that is left out, by its stamp in hex.
        """
        whole = table.records.view(np.uint8).reshape(len(table), RECORD.itemsize)
        kept = self._cache.write(
            self._name,
            {"picture": Form(whole.dtype, whole.shape)},
            [whole],
            about={
                "folder": self._root,
                "holds": "statistics",
                "pictures": str(len(table)),
                "modes": json.dumps(table.modes),
                "left_out": json.dumps(left_out),
            },
        )
        if kept is None:
            return table
        return PictureTable(kept.arrays["picture"].view(RECORD)[:, 0], table.modes)
