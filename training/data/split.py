"""A split of a data set: what it holds, and the one way from it to what a model takes.

Pictures stay what they were, an array of levels or files of any size, until an image spec says what
they become; then `models.images` reads them, as the service does. It looks for no files and divides
nothing (`datasets.py`, `folders.py`, `division.py`).
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import TypeVar

import numpy as np
from jaxtyping import Float, Float32, Int64, Shaped, UInt8
from rich.console import Console

from models.images.decoding import MAX_PIXELS
from models.images.reading import ReadOptions, read_array, read_levels, read_picture
from models.images.spec import ImageSpec

FILE_OPTIONS = ReadOptions(max_pixels=MAX_PIXELS)
_CHUNK = 1_000
_MAX_THREADS = 8

Images = (
    UInt8[np.ndarray, "batch height width *channel"]
    | Float[np.ndarray, "batch height width *channel"]
)
Labels = Int64[np.ndarray, " batch"]
Cache = Shaped[np.ndarray, "batch channel height width"]
Source = bytes | np.ndarray
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Facts:
    """What the pictures of a split are before any image spec; facts add up."""

    sizes: Counter[tuple[int, int]]
    """How many pictures have each (height, width), upright."""
    modes: Counter[str]
    """How many are grey, RGB, of more than 8 bits, transparent: in words."""
    num_colour: int
    """Pictures with a pixel that is not grey."""
    histogram: Int64[np.ndarray, " level"]
    """How often each level occurs in all channels together; the last level is white. Of a picture
    file beyond 16,384 values only so many are counted, at equal distances."""

    def __add__(self, other: "Facts") -> "Facts":
        """The facts of both together, on the same levels."""
        return Facts(
            self.sizes + other.sizes,
            self.modes + other.modes,
            self.num_colour + other.num_colour,
            self.histogram + other.histogram,
        )

    @property
    def count(self) -> int:
        """The number of pictures."""
        return self.sizes.total()

    @property
    def colour_share(self) -> float:
        """Part of the pictures that have colour, 0..1."""
        return self.num_colour / self.count

    @property
    def levels(self) -> int:
        """Pixels are on the scale 0..levels-1: 256 unless the data set is known to have fewer."""
        return len(self.histogram)

    @property
    def num_used_levels(self) -> int:
        """Distinct levels that occur."""
        return int(np.count_nonzero(self.histogram))

    @property
    def is_binary(self) -> bool:
        """Whether every value is black or white."""
        return not self.histogram[1:-1].any()


class Split(ABC):
    """Pictures in a fixed order, with the class of each if they have any."""

    labels: Labels | None

    @abstractmethod
    def __len__(self) -> int:
        """The number of pictures."""

    @abstractmethod
    def take(self, chosen: Int64[np.ndarray, " chosen"]) -> "Split":
        """The pictures at these positions, in this order."""

    @property
    @abstractmethod
    def facts(self) -> Facts:
        """Sizes, modes and levels as they are on disk."""

    @property
    @abstractmethod
    def digests(self) -> list[bytes]:
        """One digest per picture, of its pixels: equal for exact copies, whatever their files."""

    @abstractmethod
    def content(self) -> Iterator[bytes | memoryview]:
        """What the content's digest is taken of: pixels and labels, never names of files."""

    def read_levels(self, spec: ImageSpec, *, console: Console | None = None) -> Cache:
        """Every picture as compact integers (`models.images.read_levels`): the training cache.

        Args:
            spec: What the model's observations are.
            console: Where to show progress; nowhere by default.

        Raises:
            DatasetError: A file is not what it was when the data set was loaded.
        """
        return self._read(
            lambda source, options: read_levels(source, spec, options=options), console
        )

    def observations(
        self, spec: ImageSpec, *, console: Console | None = None
    ) -> Float32[np.ndarray, "batch channel height width"]:
        """Every picture as the model takes it, binarised as the service does it.

        Raises:
            DatasetError: A file is not what it was when the data set was loaded.
        """

        def observe(source: Source, options: ReadOptions) -> Cache:
            if isinstance(source, bytes):
                return read_picture(source, spec, options=options).x[None]
            return np.stack([one.x for one in read_array(source, spec, options=options)])

        return self._read(observe, console)

    @abstractmethod
    def _parts(
        self, read: Callable[[Source, ReadOptions], Cache], console: Console | None
    ) -> Iterator[Cache]:
        """What `read` makes of each source, in order; a source holds one picture or several."""

    def _read(self, read: Callable[[Source, ReadOptions], Cache], console: Console | None) -> Cache:
        whole, start = np.empty((0, 1, 1, 1), np.uint8), 0
        for part in self._parts(read, console):
            if start == 0:
                whole = np.empty((len(self), *part.shape[1:]), part.dtype)
            whole[start : start + len(part)] = part
            start += len(part)
        return whole


@dataclass(frozen=True)
class ArraySplit(Split):
    """Pictures of one size in one array, colour last: levels 0..levels-1, or floats in 0..1."""

    images: Images
    labels: Labels | None = None
    levels: int = 256
    """Of integers; floats are read on their own scale."""

    def __len__(self) -> int:
        return len(self.images)

    def take(self, chosen: Int64[np.ndarray, " chosen"]) -> "ArraySplit":
        """The pictures at these positions, in this order."""
        labels = None if self.labels is None else self.labels[chosen]
        return replace(self, images=self.images[chosen], labels=labels)

    @cached_property
    def facts(self) -> Facts:
        """Counted over every pixel; floats on 256 levels."""
        height, width, *colour = self.images.shape[1:]
        floats = self.images.dtype.kind == "f"
        levels = 256 if floats else self.levels
        histogram, num_colour = np.zeros(levels, np.int64), 0
        for chunk in self._chunks():
            values = (chunk * 255 + 0.5).astype(np.uint8) if floats else chunk
            histogram += np.bincount(values.ravel(), minlength=levels)
            if colour == [3]:
                num_colour += int((chunk != chunk[..., :1]).any(axis=(1, 2, 3)).sum())
        word = f"{'RGB' if colour == [3] else 'grey'}, {'floats' if floats else f'{levels} levels'}"
        return Facts(
            Counter({(height, width): len(self)}),
            Counter({word: len(self)}),
            num_colour,
            histogram,
        )

    @cached_property
    def digests(self) -> list[bytes]:
        """sha256 of each picture's values; all have one shape and type."""
        return [sha256(image.tobytes()).digest() for image in self.images]

    def content(self) -> Iterator[bytes | memoryview]:
        """Shape, pixels and labels."""
        yield repr(self.images.shape).encode()
        yield np.ascontiguousarray(self.images).data
        if self.labels is not None:
            yield self.labels.astype("<i8").data

    def grey(self) -> Cache:
        """Levels stretched to 0..255, rounded: what to send to the service for these pictures.

        `models.images` takes them back to the same levels exactly. Floats stay as they are.
        """
        return self._grey(self.images)

    def _grey(self, images: Images) -> Cache:
        if images.dtype == np.uint8:
            white = self.levels - 1
            images = np.round(np.arange(white + 1) * (255 / white)).astype(np.uint8)[images]
        return images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)

    def _chunks(self) -> Iterator[Images]:
        return (self.images[first : first + _CHUNK] for first in range(0, len(self), _CHUNK))

    def _parts(
        self, read: Callable[[Source, ReadOptions], Cache], console: Console | None
    ) -> Iterator[Cache]:
        options = ReadOptions(pixel_max=1 if self.images.dtype.kind == "f" else 255)
        return (read(self._grey(chunk), options) for chunk in self._chunks())
