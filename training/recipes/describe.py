"""A description of training pictures: sizes, colour, levels, borders, symmetry.

`choose.py` decides by it. Sizes, colour and levels are counted over all pictures; borders and
symmetry are measured on `NUM_LOOKED_AT` of them, always the same ones.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Shaped

from models.images.spec import ImageSpec
from training.data.image_statistics import ImageStatistics
from training.data.split import Split
from training.recipes.classes import Classes

NUM_LOOKED_AT = 400
_SIDE = 32
_NEAR = 12
"""Grey levels, of 256, within which a border counts as one colour."""

Grey = Float64[np.ndarray, "batch height width"]


@dataclass(frozen=True)
class Description:
    """Counts over all pictures, and measures of some."""

    facts: ImageStatistics
    has_plain_border: bool
    """Whether most pictures have a border of the same grey."""
    background: int
    """That grey, 0..255; black where there is none."""
    mirror_ratio: float
    """n |mean of d|^2 / mean of |d|^2 over n pictures x, with d = x minus x mirrored left to right.
    About 1 where the data's distribution is symmetric, of the order of n where it is not."""
    classes: Classes | None = None
    """The classes of the whole data set, if it has labels."""


def describe(split: Split) -> Description:
    """Describe a training split.

    Raises:
        DatasetError: A file has changed since the data set was loaded.
    """
    order = np.random.default_rng(0).permutation(len(split))
    sample = split.take(np.sort(order[:NUM_LOOKED_AT]))
    background, grey = _on_the_better_background(sample, split.statistics)
    border = _common_border(grey)
    return Description(
        facts=split.statistics,
        has_plain_border=border is not None,
        background=background if border is None else border,
        mirror_ratio=mirror_ratio(grey),
    )


def mirror_ratio(grey: Grey) -> float:
    """See `Description.mirror_ratio`; 1 for pictures that equal their mirror images."""
    difference = grey - grey[:, :, ::-1]
    power = np.square(difference).sum(axis=(1, 2)).mean()
    return float(len(grey) * np.square(difference.mean(axis=0)).sum() / power) if power else 1.0


def _on_the_better_background(sample: Split, facts: ImageStatistics) -> tuple[int, Grey]:
    """Transparent pictures on black or on white, whichever shows more of them."""
    seen = {spec.background: _grey(sample, spec) for spec in described_specs(facts)}
    best = max(seen, key=lambda background: float(seen[background].std(axis=(1, 2)).mean()))
    return best, seen[best]


def described_specs(facts: ImageStatistics) -> list[ImageSpec]:
    """The image specs whose levels a description looks at."""
    backgrounds = (0, 255) if any("transparent" in mode for mode in facts.modes) else (0,)
    return [
        ImageSpec(channels=1, height=_SIDE, width=_SIDE, background=background)
        for background in backgrounds
    ]


def _grey(sample: Split, spec: ImageSpec) -> Grey:
    levels: Shaped[np.ndarray, "batch 1 height width"] = sample.read_levels(spec)
    return levels[:, 0].astype(np.float64)


def _common_border(grey: Grey) -> int | None:
    """The grey around at least four pictures in five; None where there is none."""
    ring = np.ones(grey.shape[1:], dtype=bool)
    ring[1:-1, 1:-1] = False
    border = grey[:, ring]
    own = np.median(border, axis=1)
    common = float(np.median(own))
    is_plain = (np.abs(border - own[:, None]) <= _NEAR).mean(axis=1) >= 0.9
    if (is_plain & (np.abs(own - common) <= _NEAR)).mean() < 0.8:
        return None
    return 0 if common <= _NEAR else 255 if common >= 255 - _NEAR else round(common)
