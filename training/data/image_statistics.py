"""Statistics of the pictures of a split: what a recipe may be chosen by."""

from collections import Counter
from dataclasses import dataclass
from math import sqrt

import numpy as np
from jaxtyping import Bool


@dataclass(frozen=True)
class ImageStatistics:
    """Sizes, colour and grey levels of the pictures of a split, before any image spec."""

    sizes: Counter[tuple[int, int]]
    """Pictures of each (height, width), upright."""
    modes: Counter[str]
    """Pictures of each mode, in words: grey or RGB, bits, transparency."""
    num_colour: int
    """Pictures with a pixel that is not grey."""
    used: Bool[np.ndarray, " level"]
    """Whether a pixel has the level, all channels together; the last level is white. Of an encoded
    picture only 16,384 values at equal distances are looked at, here and below."""
    num_values: int
    """Pixels that were looked at, those of each channel."""
    total: int
    """Sum of their levels."""
    squares: int
    """Sum of the squares of their levels."""

    def __add__(self, other: "ImageStatistics") -> "ImageStatistics":
        """The statistics of both splits together, on the same levels."""
        return ImageStatistics(
            self.sizes + other.sizes,
            self.modes + other.modes,
            self.num_colour + other.num_colour,
            self.used | other.used,
            self.num_values + other.num_values,
            self.total + other.total,
            self.squares + other.squares,
        )

    def times(self, factor: int) -> "ImageStatistics":
        """The statistics of so many splits like this one."""
        sizes = Counter({size: factor * n for size, n in self.sizes.items()})
        modes = Counter({mode: factor * n for mode, n in self.modes.items()})
        sums = (self.num_values, self.total, self.squares)
        return ImageStatistics(
            sizes, modes, factor * self.num_colour, self.used, *(factor * one for one in sums)
        )

    @property
    def count(self) -> int:
        """Number of pictures."""
        return self.sizes.total()

    @property
    def colour_share(self) -> float:
        """Fraction of the pictures that have colour, 0..1."""
        return self.num_colour / self.count

    @property
    def levels(self) -> int:
        """Levels of a pixel: 256 unless the data set is known to have fewer."""
        return len(self.used)

    @property
    def extremes(self) -> tuple[int, int]:
        """The lowest and the highest level of any pixel."""
        found = np.flatnonzero(self.used)
        return int(found[0]), int(found[-1])

    @property
    def mean(self) -> float:
        """Mean level of a pixel."""
        return self.total / self.num_values

    @property
    def deviation(self) -> float:
        """Standard deviation of the levels of all pixels."""
        spread = self.num_values * self.squares - self.total**2  # whole numbers: never below 0
        return sqrt(spread) / self.num_values

    @property
    def is_binary(self) -> bool:
        """Whether every value is black or white."""
        return not self.used[1:-1].any()
