"""A split of a data set: its pictures and labels, and the one way from them to a model.

Pictures stay what they were, an array of levels (`array_split.py`) or encoded pictures of any size
(`file_split.py`), until an image spec says what they become; then `models.images` reads them, as
the service does.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float32, Int64, Shaped
from rich.console import Console

from models.images import ImageSpec
from training.data.digests import Digests
from training.data.image_statistics import ImageStatistics
from training.data.looks import Looks

Labels = Int64[np.ndarray, " batch"]
Cache = Shaped[np.ndarray, "batch channel height width"]


class Split(ABC):
    """Pictures in a fixed order, and their labels if they have any."""

    labels: Labels | None

    @abstractmethod
    def __len__(self) -> int:
        """Number of pictures."""

    @abstractmethod
    def take(self, chosen: Int64[np.ndarray, " chosen"]) -> "Split":
        """The pictures at these positions, in this order."""

    def name(self, position: int) -> str:
        """What a picture is called in its file or folder; empty where pictures have no names."""
        return ""

    def path(self, position: int) -> str:
        """Path that it may be grouped by; empty where pictures have none."""
        return ""

    @property
    @abstractmethod
    def statistics(self) -> ImageStatistics:
        """Sizes, modes and levels as they are on disk."""

    @property
    @abstractmethod
    def digests(self) -> Digests:
        """A digest of each picture's pixels: equal for exact copies, whatever their files."""

    @property
    @abstractmethod
    def looks(self) -> Looks:
        """What each picture looks like: near for copies of another encoding or size."""

    @abstractmethod
    def content(self) -> Iterator[bytes | memoryview]:
        """What `Dataset.sha256` is taken of: pixels and labels, without names of files."""

    @abstractmethod
    def read_levels(self, spec: ImageSpec, *, console: Console | None = None) -> Cache:
        """Every picture as compact integers, for a training cache; see `models.images.read_levels`.

        Args:
            spec: Size, colour and levels of the model's observations.
            console: Where to show progress; nowhere by default.

        Raises:
            DatasetError: A file changed after the data set was loaded.
        """

    @abstractmethod
    def observations(
        self, spec: ImageSpec, *, console: Console | None = None
    ) -> Float32[np.ndarray, "batch channel height width"]:
        """Every picture as the model takes it, binarised as the service binarises.

        Raises:
            DatasetError: A file changed after the data set was loaded.
        """

    def observations_by_chunk(
        self, spec: ImageSpec, size: int
    ) -> Iterator[Float32[np.ndarray, "batch channel height width"]]:
        """The same, so many at once: the memory never holds all of them."""
        for start in range(0, len(self), size):
            yield self.take(np.arange(start, min(start + size, len(self)))).observations(spec)
