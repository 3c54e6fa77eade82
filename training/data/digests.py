"""Digests of many pictures in one array: which are equal, and which come first."""

import numpy as np
from jaxtyping import Int64, Shaped, UInt8, UInt64

LENGTH = 32
"""Bytes of a digest, those of sha256."""

Digests = UInt8[np.ndarray, "_ 32"]
Keys = Shaped[np.ndarray, " _"]


def keys(digests: Digests) -> Keys:
    """The same as one value a picture, in the order of its bytes."""
    return np.ascontiguousarray(digests).view(f"S{LENGTH}")[:, 0]


def count_distinct(digests: Digests) -> int:
    """Number of different digests."""
    return len(np.unique(keys(digests)))


def count_among(digests: Digests, others: Digests) -> int:
    """Number of digests that are among others.

    Only those whose first eight bytes are found are compared whole: a million take 40 ms, not 1 s.
    """
    is_like = np.isin(_first_bytes(others), _first_bytes(digests))
    return int(np.isin(keys(digests), keys(others[is_like])).sum())


def _first_bytes(digests: Digests) -> UInt64[np.ndarray, " _"]:
    return np.ascontiguousarray(digests[:, :8]).view(np.uint64)[:, 0]


def of_two_labels(
    digests: Digests, labels: Int64[np.ndarray, " batch"]
) -> tuple[int, tuple[int, int]]:
    """Number of digests that have more than one label, and the first two places of the first."""
    whole = keys(digests)
    order = np.argsort(whole, kind="stable")
    sorted_keys, sorted_labels = whole[order], labels[order]
    is_first = np.ones(len(order), dtype=bool)
    is_first[1:] = sorted_keys[1:] != sorted_keys[:-1]
    starts = np.flatnonzero(is_first)
    group = np.cumsum(is_first) - 1
    differs = sorted_labels != sorted_labels[starts[group]]
    if not differs.any():
        return 0, (0, 0)
    found = np.flatnonzero(differs)
    example = found[np.argmin(order[found])]
    first = starts[group[example]]
    return len(np.unique(group[found])), (int(order[first]), int(order[example]))
