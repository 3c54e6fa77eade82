"""A summary of a data set for people: a grid of pictures, counts, sizes, copies."""

from typing import Literal

import numpy as np
from jaxtyping import UInt8
from rich import box
from rich.table import Column, Table
from torch import Tensor

from models.images import ImageSpec, to_sheet, to_uint8, to_unit
from training.data.datasets import Dataset
from training.data.digests import count_distinct
from training.data.subset import choose_subset

COLUMNS = 8
_NUM_SHOWN = 64
_PICTURE_SIDE = 64


def picture_of(x: Tensor, spec: ImageSpec) -> bytes:
    """A PNG grid of observations in eight columns, small images enlarged by whole pixels."""
    return to_sheet(enlarge(to_uint8(to_unit(x, spec))), COLUMNS)


def picture_of_dataset(dataset: Dataset) -> bytes:
    """A PNG grid of 64 random training images, the same ones each time.

    Images of different sizes are padded to squares of 64 pixels on grey.
    """
    found = dataset.statistics
    chosen = choose_subset(found.count, _NUM_SHOWN, seed=0).numpy()
    channels: Literal[1, 3] = 3 if found.num_colour else 1
    (height, width), *others = found.sizes
    if others or max(height, width) > _PICTURE_SIDE:
        spec = ImageSpec(
            channels=channels,
            height=_PICTURE_SIDE,
            width=_PICTURE_SIDE,
            fit="pad",
            background=128,
        )
    else:
        spec = ImageSpec(channels=channels, height=height, width=width)
    return to_sheet(enlarge(dataset.train.take(chosen).read_levels(spec)), COLUMNS)


def enlarge(
    images: UInt8[np.ndarray, "batch channel height width"],
) -> UInt8[np.ndarray, "batch channel larger_height larger_width"]:
    """Repeat pixels until the longer side is near 64."""
    factor = max(1, _PICTURE_SIDE // max(images.shape[2:]))
    return images.repeat(factor, axis=2).repeat(factor, axis=3)


def statistics_table(dataset: Dataset) -> Table:
    """Images, distinct images, grey levels and classes of each split."""
    names = ("images", "distinct", "lowest", "highest", "mean", "sd", "classes")
    table = Table("split", *(Column(name, justify="right") for name in names), box=box.SIMPLE)
    for name, split in dataset.splits.items():
        found = split.statistics
        low, high = found.extremes
        table.add_row(
            name,
            f"{len(split):,}",
            f"{count_distinct(split.digests):,}",
            str(low),
            str(high),
            f"{found.mean:.2f}",
            f"{found.deviation:.2f}",
            "-" if split.labels is None else str(len(np.unique(split.labels))),
        )
    return table


def class_counts(dataset: Dataset) -> str:
    """Training images of each class, in words; empty without names."""
    if dataset.train.labels is None or not dataset.class_names:
        return ""
    counts = np.bincount(dataset.train.labels, minlength=len(dataset.class_names))
    named = zip(dataset.class_names, counts, strict=True)
    said = ", ".join(f"{name} {count:,}" for name, count in named)
    return f"Training images by class: {said}"


def sizes_and_modes(dataset: Dataset) -> str:
    """Sizes (width x height) and modes of all images, the most frequent first."""
    train, validation, test = (split.statistics for split in dataset.splits.values())
    found = train + validation + test
    sizes = [f"{width}x{height} {count:,}" for (height, width), count in found.sizes.most_common(5)]
    if len(found.sizes) > len(sizes):
        sides = [sorted(side) for side in zip(*found.sizes, strict=True)]
        (low, *_, high), (left, *_, right) = sides
        sizes.append(
            f"{len(found.sizes):,} sizes from {left} to {right} wide, {low} to {high} high"
        )
    modes = [f"{mode} {count:,}" for mode, count in found.modes.most_common()]
    return f"Sizes: {'; '.join(sizes)}\nModes: {'; '.join(modes)}"
