"""Which pictures train, validate and test, where a data set does not say: by a digest of each.

The digests, seen as numbers in [0, 1), are uniform: below 0.1 is the test split, below 0.2 the
validation split, the rest trains. So exact copies, whose digests are one, never straddle, the order
and names of files mean nothing, and a picture that is added moves no other. Only where that gives a
held-out split fewer than eight distinct pictures, it takes those with the next digests too, and
never more than a quarter of all: below about 150 pictures, an added one may move another.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from training.data.split import Split
from training.errors import DatasetError

PARTS = {
    **{"train": "train", "training": "train"},
    **{"val": "validation", "valid": "validation", "validation": "validation"},
    **{"test": "test", "testing": "test"},
}
"""What a split is called in the names of folders and arrays, and what it is."""

_FEWEST = 8
_TENTH = 2**256 // 10


def complete(parts: Mapping[str, Split]) -> tuple[Split, Split, Split]:
    """Train, validation and test; of these the ones that are not given are taken from train.

    Raises:
        DatasetError: Too few distinct pictures.
    """
    missing = [name for name in ("test", "validation") if name not in parts]
    if not missing:
        return parts["train"], parts["validation"], parts["test"]
    train, *held_out = divide(parts["train"].digests, len(missing))
    taken = {
        name: parts["train"].take(chosen) for name, chosen in zip(missing, held_out, strict=True)
    }
    found = {**parts, **taken, "train": parts["train"].take(train)}
    return found["train"], found["validation"], found["test"]


def divide(digests: Sequence[bytes], num_held_out: int) -> list[Int64[np.ndarray, " position"]]:
    """Positions of the pictures that train, and then those of each held-out split, ascending.

    Args:
        digests: sha256 of each picture.
        num_held_out: Splits of a tenth each.

    Raises:
        DatasetError: Fewer than eight distinct pictures.
    """
    distinct = sorted(set(digests))
    most = len(distinct) // 4
    if most < 2:
        raise DatasetError(
            "A data set that is to be split holds at least 8 distinct pictures; received "
            f"{len(distinct)} ({len(digests)} with copies). Add some, or give it the folders or "
            "arrays train, val and test."
        )
    ends = [0]
    for number in range(1, num_held_out + 1):
        tenths = bisect_left(distinct, (number * _TENTH).to_bytes(32))
        ends.append(min(max(tenths, ends[-1] + _FEWEST), ends[-1] + most))
    rank = {digest: position for position, digest in enumerate(distinct)}
    ranks = np.array([rank[digest] for digest in digests], dtype=np.int64)
    held_out = [np.flatnonzero((ranks >= first) & (ranks < end)) for first, end in pairwise(ends)]
    return [np.flatnonzero(ranks >= ends[-1]), *held_out]


def choose_subset(num_images: int, size: int, *, seed: int) -> Int64[Tensor, " chosen"]:
    """Positions of a random subset, in random order: the same for the same seed on any machine."""
    digests = [hashlib.sha256(f"{seed} {i}".encode()).digest() for i in range(num_images)]
    ranked = sorted(range(num_images), key=digests.__getitem__)
    return torch.tensor(ranked[:size], dtype=torch.int64)
