"""Find pictures that are the same but for their encoding, size, brightness or a small crop.

Two pictures are near-copies where their looks, as vectors of length 1, are at most `MAX_DISTANCE`
apart. Measured on seven sets of 28 to 160 pixels a side: JPEG of quality 75, half or another size,
a tenth more or less light are nearer for 94 % of the pictures and more, but for Frey faces at 10 x
14 pixels (66 %); a hundredth cropped from each side for 58 to 100 %. Of 4,886 blood cells and 5,000
photographs in CIFAR-10 no two are as near.

Where similar pictures link others into a large group, `CLOSE` is far enough: JPEG and other sizes
are mostly nearer than 0.03, and the next frame of a video or another digit 1 is not.

Looks are sorted into cells of that width along the five axes of their greatest variance, so that
near-copies are in the same cell or in the next one, and most other pairs are never compared.
"""

from collections.abc import Iterator
from itertools import product

import numpy as np
from jaxtyping import Bool, Float32, Int64

from training.data.looks import NORM, Looks

MAX_DISTANCE = 0.1
CLOSE = 0.05
"""Largest distance in groups that would be large."""
MOST_COMPARED = 500_000_000
"""Pairs that are compared at most, in half a minute or so."""

_AXES = 5
_BLOCK = 2**20

Numbers = Int64[np.ndarray, " _"]
Pairs = tuple[Numbers, Numbers]


def near_copies(looks: Looks, *, distance: float = MAX_DISTANCE) -> Numbers | None:
    """A group of each picture: equal for near-copies, and for what they join.

    Args:
        looks: The look of each picture, as `look_at` finds it. Those without one stand alone.
        distance: How far near-copies are apart at most.

    Returns:
        The position of the first picture of each one's group. None where more pairs would have to
        be compared than `MOST_COMPARED`, since too many pictures are alike.
    """
    different, same = np.unique(looks, axis=0, return_inverse=True)
    vectors = different.view(np.int8).astype(np.float32)
    has_look = (different != 0).any(axis=1).reshape(-1)
    cells = _Cells(_main_axes(vectors), NORM * distance)
    if cells.num_pairs() > MOST_COMPARED:
        return None
    first, second = [same[:0]], [same[:0]]
    for one, other in cells.pairs():
        is_near = _are_near(vectors, one, other, NORM * distance) & has_look[one] & has_look[other]
        first.append(one[is_near])
        second.append(other[is_near])
    of_different = join(len(different), np.concatenate(first), np.concatenate(second))
    _, start, group = np.unique(of_different[same], return_index=True, return_inverse=True)
    found: Numbers = np.where(has_look[same], start[group], np.arange(len(looks)))
    return found


def join(count: int, first: Numbers, second: Numbers) -> Numbers:
    """The connected components of a graph: the smallest node of each node's component.

    Args:
        count: Number of nodes.
        first: One end of each edge.
        second: The other end of each.
    """
    found = np.arange(count)
    while True:
        before = found.copy()
        least = np.minimum(found[first], found[second])
        for ends in (first, second):
            np.minimum.at(found, before[ends], least)
        while not np.array_equal(found, found[found]):
            found = found[found]
        if np.array_equal(found, before):
            return found


class _Cells:
    """Vectors in cells as wide as near-copies may be apart."""

    def __init__(self, places: Float32[np.ndarray, "picture axis"], width: float) -> None:
        cells = np.floor(places / (1.001 * width)).astype(np.int64)
        cells -= cells.min(axis=0, initial=0)
        sides = cells.max(axis=0, initial=0) + 3  # the next cells of each are others
        self._strides = np.cumprod([1, *sides[:-1].tolist()])
        keys = cells @ self._strides
        self._order = np.argsort(keys, kind="stable")
        self._keys, self._starts, self._counts = np.unique(
            keys[self._order], return_index=True, return_counts=True
        )

    def num_pairs(self) -> int:
        """Number of pairs in the same cell or in cells side by side."""
        return sum(int((self._counts[a] * self._counts[b]).sum()) for a, b in self._neighbours())

    def pairs(self) -> Iterator[Pairs]:
        """These pairs, a million at once; of one cell in both orders and each with itself."""
        for a, b in self._neighbours():
            widths = self._counts[b]
            ends = np.cumsum(self._counts[a] * widths)
            for low in range(0, int(ends[-1]) if len(ends) else 0, _BLOCK):
                numbers = np.arange(low, min(low + _BLOCK, int(ends[-1])))
                place = np.searchsorted(ends, numbers, side="right")
                within = numbers - (ends[place] - self._counts[a][place] * widths[place])
                one, other = np.divmod(within, widths[place])
                yield (
                    self._order[self._starts[a[place]] + one],
                    self._order[self._starts[b[place]] + other],
                )

    def _neighbours(self) -> Iterator[Pairs]:
        """Cells, and those that are one step away, each pair of cells once."""
        for steps in product((-1, 0, 1), repeat=len(self._strides)):
            step = int(np.dot(steps, self._strides))
            if steps < (0,) * len(steps) or not len(self._keys):
                continue
            place = np.searchsorted(self._keys, self._keys + step)
            place = np.minimum(place, len(self._keys) - 1)
            is_there = np.flatnonzero(self._keys[place] == self._keys + step)
            yield is_there, place[is_there]


def _main_axes(
    vectors: Float32[np.ndarray, "picture frequency"],
) -> Float32[np.ndarray, "picture axis"]:
    """Coordinates along the axes of the greatest variance."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0) if len(vectors) else vectors
    _, axes = np.linalg.eigh(centred.T @ centred)
    found: Float32[np.ndarray, "picture axis"] = (centred @ axes[:, -_AXES:]).astype(np.float32)
    return found


def _are_near(
    vectors: Float32[np.ndarray, "picture frequency"], one: Numbers, other: Numbers, width: float
) -> Bool[np.ndarray, " pair"]:
    """Whether pairs are near; most differ enough in the first eight frequencies."""
    limit = width**2
    is_near: Bool[np.ndarray, " pair"] = ((vectors[one, :8] - vectors[other, :8]) ** 2).sum(
        axis=1
    ) <= limit
    rest = np.flatnonzero(is_near)
    apart = ((vectors[one[rest]] - vectors[other[rest]]) ** 2).sum(axis=1)
    is_near[rest] = apart <= limit
    return is_near
