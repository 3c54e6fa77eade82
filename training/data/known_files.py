"""What is known of the files of a folder from an earlier look: their statistics by their stamps."""

import json
import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np

from training.data.array_file import ArrayFile, Form
from training.data.disk_cache import DiskCache
from training.data.file_split import PictureFile
from training.data.file_stamp import LENGTH
from training.data.inspection import LeftOut
from training.data.reading_code import reading_version

_DIGEST = 32


class KnownFiles:
    """The files of a folder that a cache has statistics of."""

    def __init__(self, cache: DiskCache, root: Path) -> None:
        self._cache, self._root = cache, os.path.abspath(root)
        what = json.dumps([reading_version(), self._root])
        self._name = f"files-{sha256(what.encode()).hexdigest()[:32]}"
        self._rows: dict[bytes, int] = {}
        self._reasons: dict[str, str] = {}
        if (entry := cache.find(self._name)) is not None:
            self._read(entry)

    def find(self, path: Path, stamp: bytes) -> PictureFile | LeftOut | None:
        """What an inspection of this file finds; None if it is not known."""
        row = self._rows.get(stamp)
        if row is None:
            reason = self._reasons.get(stamp.hex())
            return None if reason is None else LeftOut(reason, stamp)
        return PictureFile(
            path=path,
            digest=self._digests[row * _DIGEST : (row + 1) * _DIGEST],
            size=self._sizes[row],
            mode=self._modes[self._mode_of[row]],
            has_colour=bool(self._has_colour[row]),
            histogram=self._histograms[row],
            stamp=stamp,
        )

    def write(self, found: Sequence[PictureFile | LeftOut]) -> None:
        """Keep what was found of a folder's files, in place of what was known."""
        files = [one for one in found if isinstance(one, PictureFile) and one.stamp]
        modes = sorted({file.mode for file in files})
        code_of = {mode: code for code, mode in enumerate(modes)}
        arrays = {
            "size": np.array([file.size for file in files], np.uint32).reshape(-1, 2),
            "histogram": np.array([file.histogram for file in files]).reshape(-1, 256),
            "mode": np.array([code_of[file.mode] for file in files], np.uint8),
            "has_colour": np.array([file.has_colour for file in files], np.uint8),
            "stamp": _rows_of([file.stamp for file in files], LENGTH),
            "digest": _rows_of([file.digest for file in files], _DIGEST),
        }
        arrays["histogram"] = arrays["histogram"].astype(np.uint16, copy=False)
        left_out = {one.stamp.hex(): one.reason for one in found if isinstance(one, LeftOut)}
        left_out.pop("", None)
        self._cache.write(
            self._name,
            {name: Form(array.dtype, array.shape) for name, array in arrays.items()},
            arrays.values(),
            about={
                "folder": self._root,
                "holds": "statistics",
                "pictures": str(len(files)),
                "modes": json.dumps(modes),
                "left_out": json.dumps(left_out),
            },
        )

    def _read(self, entry: ArrayFile) -> None:
        arrays = entry.arrays
        stamps = arrays["stamp"].tobytes()
        self._rows = {
            stamps[row * LENGTH : (row + 1) * LENGTH]: row for row in range(len(arrays["stamp"]))
        }
        self._reasons = json.loads(entry.about["left_out"])
        self._modes = json.loads(entry.about["modes"])
        self._digests = arrays["digest"].tobytes()
        self._sizes = [(height, width) for height, width in arrays["size"].tolist()]
        self._mode_of = arrays["mode"].tolist()
        self._has_colour = arrays["has_colour"].tolist()
        self._histograms = np.asarray(arrays["histogram"])


def _rows_of(values: Sequence[bytes], length: int) -> np.ndarray:
    return np.frombuffer(b"".join(values), np.uint8).reshape(-1, length)
