"""A split in one array: MNIST, an `.npz` of one's own and other pictures of one size."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256

import numpy as np
from jaxtyping import Float, Float32, Int64, UInt8
from rich.console import Console

from models.images import ImageSpec, ReadOptions, read_images, read_levels
from models.images.levels import quantize
from training.data.image_statistics import ImageStatistics
from training.data.split import Cache, Labels, Split

_CHUNK = 1_000

Images = (
    UInt8[np.ndarray, "batch height width *channel"]
    | Float[np.ndarray, "batch height width *channel"]
)


@dataclass(frozen=True)
class ArraySplit(Split):
    """Pictures of one size in one array, colour last."""

    images: Images
    """Levels 0..levels-1, or floats in 0..1."""
    labels: Labels | None = None
    levels: int = 256
    """Levels of integers; floats are read on their own scale."""

    def __len__(self) -> int:
        return len(self.images)

    def take(self, chosen: Int64[np.ndarray, " chosen"]) -> "ArraySplit":
        """The pictures at these positions, in this order."""
        labels = None if self.labels is None else self.labels[chosen]
        return replace(self, images=self.images[chosen], labels=labels)

    @cached_property
    def statistics(self) -> ImageStatistics:
        """Counts of every pixel; floats on 256 levels."""
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
        return ImageStatistics(
            Counter({(height, width): len(self)}),
            Counter({word: len(self)}),
            num_colour,
            histogram,
        )

    @cached_property
    def digests(self) -> list[bytes]:
        """sha256 of each picture's values."""
        return [sha256(image.tobytes()).digest() for image in self.images]

    def content(self) -> Iterator[bytes | memoryview]:
        """Shape, pixels and labels."""
        yield repr(self.images.shape).encode()
        yield np.ascontiguousarray(self.images).data
        if self.labels is not None:
            yield self.labels.astype("<i8").data

    def _grey(self, images: Images) -> Cache:
        """Levels stretched to 0..255: `models.images` takes them back to the same levels exactly.

        Floats stay as they are.
        """
        batch = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
        if batch.dtype == np.uint8:
            return quantize(batch, self.levels - 1, 256).astype(np.uint8, copy=False)
        return batch

    def _chunks(self) -> Iterator[Images]:
        return (self.images[first : first + _CHUNK] for first in range(0, len(self), _CHUNK))

    def read_levels(self, spec: ImageSpec, *, console: Console | None = None) -> Cache:
        return self._read(lambda chunk, options: read_levels(chunk, spec, options=options))

    def observations(
        self, spec: ImageSpec, *, console: Console | None = None
    ) -> Float32[np.ndarray, "batch channel height width"]:
        return self._read(lambda chunk, options: read_images(chunk, spec, options=options).x)

    def _read(self, read: Callable[[Cache, ReadOptions], Cache]) -> Cache:
        white = 1 if self.images.dtype.kind == "f" else 255
        options = ReadOptions(layout="NCHW", pixel_max=white)
        whole, start = np.empty((0, 1, 1, 1), np.uint8), 0
        for part in (read(self._grey(chunk), options) for chunk in self._chunks()):
            if start == 0:
                whole = np.empty((len(self), *part.shape[1:]), part.dtype)
            whole[start : start + len(part)] = part
            start += len(part)
        return whole
