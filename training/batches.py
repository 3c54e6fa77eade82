"""What a run learns from: a cache of levels, and the observations that each step makes of it."""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int64, UInt8
from rich.console import Console
from torch import Tensor

from training.augmentation import augment
from training.config import Recipe
from training.datasets import Dataset, load
from training.objectives import Batch


@dataclass(frozen=True)
class Data:
    """What a run trains and validates on."""

    cache: UInt8[Tensor, "batch channel height width"]
    """Training images as levels, or as grey values where each step binarises anew."""
    labels: Int64[Tensor, " batch"] | None
    """Of the training images, where the data set has them."""
    validation: Float[Tensor, "held_out channel height width"]
    """Observations, binarised once."""
    sha256: str

    def batch(self, chosen: Int64[Tensor, " batch"], recipe: Recipe, *, progress: float) -> Batch:
        """The images at these positions as observations, on the CPU; moved and binarised anew."""
        labels = None if self.labels is None else self.labels[chosen]
        return Batch(observe(self.cache[chosen], recipe, progress), labels)


def load_data(
    recipe: Recipe, data_dir: Path | None, console: Console, *, dataset: Dataset | None = None
) -> Data:
    """The training and validation splits of the recipe's data set, which may be loaded already.

    Raises:
        DatasetError: It is not at hand.
    """
    if dataset is None:
        dataset = load(recipe.dataset.name, data_dir=data_dir, console=console)
    labels = dataset.train.labels
    return Data(
        cache=torch.from_numpy(dataset.train.read_levels(recipe.image, console=console)),
        labels=None if labels is None else torch.from_numpy(labels),
        validation=torch.from_numpy(dataset.validation.observations(recipe.image, console=console)),
        sha256=dataset.sha256,
    )


def observe(
    levels: UInt8[Tensor, "batch channel height width"], recipe: Recipe, progress: float
) -> Float[Tensor, "batch channel height width"]:
    """A batch of the cache as observations: moved, then binarised or scaled as the spec says."""
    spec, x = recipe.image, levels.float()
    grey = spec.binarization == "stochastic"
    white = 255 if grey else spec.levels - 1
    background = float(round(spec.background / 255 * white))
    x = augment(x, recipe.augmentation, progress=progress, background=background)
    if grey:
        return (torch.rand_like(x) * 255 < x).float()
    return x / white if spec.values == "unit" else x
