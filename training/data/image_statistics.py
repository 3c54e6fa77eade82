"""Statistics of the pictures of a split: what a recipe may be chosen by."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64


@dataclass(frozen=True)
class ImageStatistics:
    """Sizes, colour and grey levels of the pictures of a split, before any image spec."""

    sizes: Counter[tuple[int, int]]
    """Pictures of each (height, width), upright."""
    modes: Counter[str]
    """Pictures of each mode, in words: grey or RGB, bits, transparency."""
    num_colour: int
    """Pictures with a pixel that is not grey."""
    histogram: Int64[np.ndarray, " level"]
    """Pixels of each level, all channels together; the last level is white. Of a picture file only
    16,384 values at equal distances are counted."""

    def __add__(self, other: "ImageStatistics") -> "ImageStatistics":
        """The statistics of both splits together, on the same levels."""
        return ImageStatistics(
            self.sizes + other.sizes,
            self.modes + other.modes,
            self.num_colour + other.num_colour,
            self.histogram + other.histogram,
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
        return len(self.histogram)

    @property
    def is_binary(self) -> bool:
        """Whether every value is black or white."""
        return not self.histogram[1:-1].any()
