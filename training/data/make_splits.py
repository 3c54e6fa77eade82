"""Split a data set by content hash: 80 % train, 10 % validation, 10 % test.

The digests of pictures, seen as numbers in [0, 1), are uniform: below 0.1 is the test split, below
0.2 the validation split, the rest trains. So exact copies, whose digests are one, are in one split,
names and order of files mean nothing, and an added picture moves no other. Only where a held-out
split would have fewer than eight distinct pictures, it takes those with the next digests too, at
most a quarter of all: below about 150 pictures, an added one may move another.
"""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from jaxtyping import Int64

from training.data.digests import Digests, keys
from training.data.split import Split
from training.errors import DatasetError

PARTS = {
    **{"train": "train", "training": "train"},
    **{"val": "validation", "valid": "validation", "validation": "validation"},
    "dev": "validation",
    **{"test": "test", "testing": "test"},
}
"""Names of folders and arrays that mean a split, and the split."""

_FEWEST = 8
_TENTH = 2**256 // 10


def hold_out(parts: Mapping[str, Split]) -> tuple[Split, Split, Split]:
    """Train, validation and test: those not given are taken from train, a tenth each.

    Raises:
        DatasetError: Too few distinct pictures.
    """
    missing = [name for name in ("test", "validation") if name not in parts]
    if not missing:
        return parts["train"], parts["validation"], parts["test"]
    train, *held_out = split_by_hash(parts["train"].digests, len(missing))
    taken = {
        name: parts["train"].take(chosen) for name, chosen in zip(missing, held_out, strict=True)
    }
    found = {**parts, **taken, "train": parts["train"].take(train)}
    return found["train"], found["validation"], found["test"]


def split_by_hash(digests: Digests, num_held_out: int) -> list[Int64[np.ndarray, " position"]]:
    """Positions of the training pictures, then of each held-out split, ascending.

    Args:
        digests: sha256 of each picture.
        num_held_out: Splits of a tenth each.

    Raises:
        DatasetError: Fewer than eight distinct pictures.
    """
    of_each = keys(digests)
    distinct = np.unique(of_each)
    most = len(distinct) // 4
    if most < 2:
        noun = "picture" if len(distinct) == 1 else "pictures"
        raise DatasetError(
            f"The data set has {len(distinct)} distinct {noun} ({len(digests)} with copies); a "
            "split by content hash needs at least 8. Add pictures, or make folders or arrays "
            "train, val and test.",
            received=len(distinct),
            limit=8,
        )
    ends = [0]
    for number in range(1, num_held_out + 1):
        tenths = int(np.searchsorted(distinct, np.bytes_((number * _TENTH).to_bytes(32))))
        ends.append(min(max(tenths, ends[-1] + _FEWEST), ends[-1] + most))
    ranks = np.searchsorted(distinct, of_each)
    held_out = [np.flatnonzero((ranks >= first) & (ranks < end)) for first, end in pairwise(ends)]
    return [np.flatnonzero(ranks >= ends[-1]), *held_out]
