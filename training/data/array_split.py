"""A split in one array: MNIST, an `.npz` of one's own and other pictures of one size."""

from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256

import numpy as np
from jaxtyping import Float, Float32, Int64, Shaped, UInt8
from rich.console import Console

from models.images import ImageSpec, ReadOptions, read_images, read_levels
from models.images.levels import cached_spec, quantize, to_observations
from training.data.digests import LENGTH as DIGEST
from training.data.digests import Digests
from training.data.file_stamp import NO_STAMP
from training.data.image_statistics import ImageStatistics
from training.data.in_threads import map_in_threads
from training.data.kept_levels import NOT_KEPT, KeptLevels, Levels
from training.data.levels_ahead import Row
from training.data.looks import LENGTH as LOOK
from training.data.looks import Looks, look_at
from training.data.samples import stamps_within
from training.data.split import Cache, Labels, Split

_CHUNK = 1_000

Images = (
    UInt8[np.ndarray, "_ height width *channel"]
    | Float[np.ndarray, "_ height width *channel"]
    | Shaped[np.memmap, "_ height width *channel"]
)


@dataclass(frozen=True)
class ArraySplit(Split):
    """Pictures of one size in one array, colour last."""

    images: Images
    """Levels 0..levels-1, or floats in 0..1. A mapped array may have integers of any width."""
    labels: Labels | None = None
    levels: int = 256
    """Levels of integers; floats are read on their own scale."""
    chosen: Int64[np.ndarray, " batch"] | None = None
    """Positions of the split's pictures in a mapped array; None for all."""
    stamp: bytes = NO_STAMP
    """Stamp of the file, and of the array in it, that is mapped."""
    kept: KeptLevels = NOT_KEPT
    """Where levels of a mapped array are kept."""

    def __len__(self) -> int:
        return len(self.images) if self.chosen is None else len(self.chosen)

    @property
    def is_mapped(self) -> bool:
        """Whether the pictures are read from a file when they are used."""
        return isinstance(self.images, np.memmap)

    def take(self, chosen: Int64[np.ndarray, " chosen"]) -> "ArraySplit":
        """The pictures at these positions, in this order."""
        labels = None if self.labels is None else self.labels[chosen]
        if self.is_mapped:
            return replace(
                self, labels=labels, chosen=self._places[chosen], kept=self.kept.of_a_part()
            )
        return replace(self, images=self.images[chosen], labels=labels)

    @property
    def _places(self) -> Int64[np.ndarray, " batch"]:
        return np.arange(len(self.images)) if self.chosen is None else self.chosen

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
        level = np.arange(levels)
        return ImageStatistics(
            Counter({(height, width): len(self)}),
            Counter({word: len(self)}),
            num_colour,
            histogram > 0,
            int(histogram.sum()),
            int(histogram @ level),
            int(histogram @ level**2),
        )

    @cached_property
    def digests(self) -> Digests:
        """sha256 of each picture's values."""
        found, row = np.empty((len(self), DIGEST), np.uint8), 0
        for chunk in self._chunks():
            for image in np.ascontiguousarray(chunk):
                found[row] = np.frombuffer(sha256(image.data).digest(), np.uint8)
                row += 1
        return found

    @cached_property
    def looks(self) -> Looks:
        """What each picture looks like."""
        white = 1 if self.images.dtype.kind == "f" else self.levels - 1
        found, row = np.empty((len(self), LOOK), np.uint8), 0
        for chunk in self._chunks():
            batch = chunk[:, None] if chunk.ndim == 3 else chunk.transpose(0, 3, 1, 2)
            found[row : row + len(chunk)] = look_at(batch, white=white)
            row += len(chunk)
        return found

    def content(self) -> Iterator[bytes | memoryview]:
        """Shape, pixels and labels."""
        yield repr((len(self), *self.images.shape[1:])).encode()
        for chunk in self._chunks():
            yield np.ascontiguousarray(chunk).data
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
        return (self._chunk(slice(i, i + _CHUNK)) for i in range(0, len(self), _CHUNK))

    def _chunk(self, some: slice | Int64[np.ndarray, " chosen"]) -> Images:
        """Pictures of the split, in memory."""
        found = np.asarray(self.images[some if self.chosen is None else self.chosen[some]])
        return found if found.dtype.kind == "f" else found.astype(np.uint8, copy=False)

    def read_levels(self, spec: ImageSpec, *, console: Console | None = None) -> Cache:
        if self.is_mapped:
            return self._kept_levels(cached_spec(spec), console)
        return self._read(lambda chunk, options: read_levels(chunk, spec, options=options))

    def observations(
        self, spec: ImageSpec, *, console: Console | None = None
    ) -> Float32[np.ndarray, "batch channel height width"]:
        if self.is_mapped:
            return to_observations(self._kept_levels(spec, console), spec)
        return self._read(lambda chunk, options: read_images(chunk, spec, options=options).x)

    def _read(self, read: Callable[[Cache, ReadOptions], Cache]) -> Cache:
        whole, start = np.empty((0, 1, 1, 1), np.uint8), 0
        for part in (read(self._grey(chunk), self._options) for chunk in self._chunks()):
            if start == 0:
                whole = np.empty((len(self), *part.shape[1:]), part.dtype)
            whole[start : start + len(part)] = part
            start += len(part)
        return whole

    @property
    def _options(self) -> ReadOptions:
        white = 1 if self.images.dtype.kind == "f" else 255
        return ReadOptions(layout="NCHW", pixel_max=white)

    def _kept_levels(self, spec: ImageSpec, console: Console | None) -> Levels:
        """Levels of an observation, which for a stochastic binarisation are black and white."""
        stamps = stamps_within(self.stamp, self._places)

        def read_some(positions: Int64[np.ndarray, " chosen"]) -> Levels:
            pictures = self._grey(self._chunk(positions))
            if spec.binarization == "stochastic":
                return read_images(pictures, spec, options=self._options).x.astype(np.uint8)
            return read_levels(pictures, spec, options=self._options)

        def read_rows(positions: Int64[np.ndarray, " chosen"]) -> Generator[tuple[Row, bytes]]:
            parts = [positions[i : i + _CHUNK] for i in range(0, len(positions), _CHUNK)]
            shown = console if parts else None
            words = "reading pictures"
            with closing(
                map_in_threads(read_some, parts, words=words, console=shown, total=len(parts))
            ) as read:
                for part, levels in zip(parts, read, strict=True):
                    for position, row in zip(part, levels, strict=True):
                        yield row, stamps[position].tobytes()

        return self.kept.read(stamps, read_rows, spec=spec)
