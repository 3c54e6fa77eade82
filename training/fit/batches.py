"""What a run learns from: a cache of levels, and the observations that each step makes of it."""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int64, UInt8
from rich.console import Console
from torch import Tensor

from models.errors import ConfigError
from models.images.levels import background_level, binarize, cached_levels, to_values
from training.data.datasets import Dataset, load
from training.fit.augmentation import augment
from training.fit.objectives import UNLABELLED, Batch
from training.recipes.recipe import Recipe


@dataclass(frozen=True)
class Data:
    """What a run trains and validates on."""

    cache: UInt8[Tensor, "batch channel height width"]
    """Training images as levels, or as grey values where each step binarises anew."""
    labels: Int64[Tensor, " batch"] | None
    """Of the training images, for a model with labels; `UNLABELLED` where they are not known."""
    validation: Float[Tensor, "held_out channel height width"]
    """Observations, binarised once."""
    validation_labels: Int64[Tensor, " held_out"] | None
    sha256: str

    def batch(self, chosen: Int64[Tensor, " batch"], recipe: Recipe, *, progress: float) -> Batch:
        """The images at these positions as observations, on the CPU; moved and binarised anew.

        Where few labels are known, as many images that have one come along, drawn by torch.
        """
        x = observe(self.cache[chosen], recipe, progress)
        if self.labels is None:
            return Batch(x)
        if recipe.dataset.labels_per_class == 0:
            return Batch(x, self.labels[chosen])
        (known,) = torch.where(self.labels != UNLABELLED)
        taught = known[torch.randint(len(known), (len(chosen),))]
        labelled = Batch(observe(self.cache[taught], recipe, progress), self.labels[taught])
        return Batch(x, self.labels[chosen], labelled)


def load_data(
    recipe: Recipe, data_dir: Path | None, console: Console, *, dataset: Dataset | None = None
) -> Data:
    """The training and validation splits of the recipe's data set, which may be loaded already.

    Raises:
        ConfigError: The model has other labels than the data set.
        DatasetError: It is not at hand.
    """
    if dataset is None:
        dataset = load(recipe.dataset.name, data_dir=data_dir, console=console)
    labels, held_out = _labels(dataset, recipe)
    return Data(
        cache=torch.from_numpy(dataset.train.read_levels(recipe.image, console=console)),
        labels=labels,
        validation=torch.from_numpy(dataset.validation.observations(recipe.image, console=console)),
        validation_labels=held_out,
        sha256=dataset.sha256,
    )


def _labels(dataset: Dataset, recipe: Recipe) -> tuple[Tensor | None, Tensor | None]:
    """Of the training images, as far as they are to be known, and of those held out."""
    if recipe.vae.num_labels == 0:
        return None, None
    train, held_out = dataset.train.labels, dataset.validation.labels
    classes = len(dataset.class_names)
    if train is not None:
        classes = max(classes, int(train.max()) + 1)
    if train is None or held_out is None or classes != recipe.vae.num_labels:
        raise ConfigError(
            f"A model has as many labels as its data set has classes; received {classes} classes "
            f"in {dataset.name} for vae.num_labels = {recipe.vae.num_labels}. Make them equal."
        )
    labels = torch.from_numpy(train)
    if recipe.dataset.labels_per_class > 0:
        labels = keep_some(labels, recipe.dataset.labels_per_class, seed=recipe.seed)
    return labels, torch.from_numpy(held_out)


def keep_some(labels: Int64[Tensor, " batch"], per_class: int, *, seed: int) -> Tensor:
    """The labels of a few random images of each class; `UNLABELLED` elsewhere.

    Raises:
        ConfigError: A class has fewer.
    """
    generator = torch.Generator().manual_seed(seed)
    kept = torch.full_like(labels, UNLABELLED)
    for label in labels.unique().tolist():
        (of_class,) = torch.where(labels == label)
        if len(of_class) < per_class:
            raise ConfigError(
                f"Every class has the labels that are to be known; received {len(of_class)} of "
                f"class {label} for dataset.labels_per_class = {per_class}. Ask for fewer."
            )
        order = torch.randperm(len(of_class), generator=generator)[:per_class]
        kept[of_class[order]] = label
    return kept


def observe(
    levels: UInt8[Tensor, "batch channel height width"], recipe: Recipe, progress: float
) -> Float[Tensor, "batch channel height width"]:
    """Observations of a batch of the cache: augmented, then binarised anew or scaled."""
    spec = recipe.image
    white = cached_levels(spec) - 1
    background = float(background_level(spec, white))
    x = augment(levels.float(), recipe.augmentation, progress=progress, background=background)
    if spec.binarization == "stochastic":
        binary: Tensor = binarize(x, white, torch.rand_like(x))
        return binary.float()
    values: Tensor = to_values(x, spec)
    return values
