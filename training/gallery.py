"""Grids of pictures for people to look at, and what a data set holds in numbers.

It decides nothing: no split, no recipe, no score.
"""

import numpy as np
from jaxtyping import UInt8
from rich import box
from rich.table import Column, Table
from torch import Tensor

from models.config import ImageSpec
from models.images import grid, to_png, to_uint8, to_unit
from training.datasets import Dataset, to_grey
from training.evaluate import choose_subset
from training.splits import Split

COLUMNS = 8
_NUM_SHOWN = 64
_PICTURE_SIDE = 64


def picture_of(x: Tensor, spec: ImageSpec) -> bytes:
    """A PNG grid of observations in eight columns, small images enlarged by whole pixels."""
    return to_png(grid(enlarge(to_uint8(to_unit(x, spec))), COLUMNS))


def picture_of_dataset(dataset: Dataset) -> bytes:
    """A PNG grid of 64 random training images, always the same ones."""
    chosen = choose_subset(len(dataset.train), _NUM_SHOWN, seed=0).numpy()
    images = to_grey(Split(dataset.train.images[chosen]), dataset.levels)
    return to_png(grid(enlarge(images), COLUMNS))


def enlarge(
    images: UInt8[np.ndarray, "batch channel height width"],
) -> UInt8[np.ndarray, "batch channel larger_height larger_width"]:
    """Repeat pixels until the longer side is near 64."""
    factor = max(1, _PICTURE_SIDE // max(images.shape[2:]))
    return images.repeat(factor, axis=2).repeat(factor, axis=3)


def statistics(dataset: Dataset) -> Table:
    """Counts, repeats, grey levels and number of classes of each split."""
    names = ("images", "distinct", "lowest", "highest", "mean", "sd", "classes")
    table = Table("split", *(Column(name, justify="right") for name in names), box=box.SIMPLE)
    for name in ("train", "validation", "test"):
        split: Split = getattr(dataset, name)
        table.add_row(
            name,
            f"{len(split):,}",
            f"{len({image.tobytes() for image in split.images}):,}",
            str(split.images.min()),
            str(split.images.max()),
            f"{split.images.mean():.2f}",
            f"{split.images.std():.2f}",
            "-" if split.labels is None else str(len(np.unique(split.labels))),
        )
    return table


def class_counts(dataset: Dataset) -> str:
    """How many training images each named class has; empty without names."""
    if dataset.train.labels is None or not dataset.class_names:
        return ""
    counts = np.bincount(dataset.train.labels, minlength=len(dataset.class_names))
    named = zip(dataset.class_names, counts, strict=True)
    return ", ".join(f"{name} {count:,}" for name, count in named)
