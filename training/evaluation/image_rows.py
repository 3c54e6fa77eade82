"""Rows of images that simple baselines are fitted to and tried on: seeded subsets, few enough to
stay within a bound of memory."""

from dataclasses import dataclass
from math import prod

import numpy as np
from jaxtyping import Float32, Int64

from models.images.spec import ImageSpec
from training.data.split import Split
from training.data.subset import choose_subset

MAX_ROWS = 10_000
MAX_NUMBERS = 100_000_000
"""Numbers in the rows at most: 400 MB as float32, 8,138 images of 64 x 64 pixels in colour."""
_CHUNK = 256


@dataclass(frozen=True)
class ImageRows:
    """Images as the model takes them, and their labels if they have any."""

    x: Float32[np.ndarray, "row channel height width"]
    labels: Int64[np.ndarray, " row"] | None

    @property
    def pixels(self) -> Float32[np.ndarray, "row pixel"]:
        """The images, flattened."""
        return self.x.reshape(len(self.x), -1)

    def choose(self, most: int) -> "ImageRows":
        """A seeded random subset of at most so many rows, and of `MAX_NUMBERS` numbers."""
        count = _count(self.x[0].size, most)
        if len(self.x) <= count:
            return self
        chosen = choose_subset(len(self.x), count, seed=1).numpy()
        return ImageRows(self.x[chosen], None if self.labels is None else self.labels[chosen])


def read_rows(train: Split, spec: ImageSpec) -> ImageRows:
    """Read a seeded random subset of at most `MAX_ROWS` training images, in the split's order.

    Raises:
        DatasetError: A file changed after the data set was loaded.
    """
    count = min(len(train), _count(prod(spec.shape), MAX_ROWS))
    split = train.take(np.sort(choose_subset(len(train), count, seed=0).numpy()))
    x = np.empty((count, *spec.shape), np.float32)
    start = 0
    for chunk in split.observations_by_chunk(spec, _CHUNK):
        x[start : start + len(chunk)] = chunk
        start += len(chunk)
    return ImageRows(x, split.labels)


def _count(num_dimensions: int, most: int) -> int:
    return max(2, min(most, MAX_NUMBERS // num_dimensions))
