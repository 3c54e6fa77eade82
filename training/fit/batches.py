"""Training data: a cache of levels, and the batch of observations that each step makes of it."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from rich.console import Console
from torch import Tensor

from models.errors import ConfigError
from models.images.levels import background_level, binarize, cached_levels, to_values
from models.memory import usable_memory
from training.data.array_file import expect_random_reads
from training.data.datasets import Dataset
from training.data.doubts import too_small
from training.data.file_split import SkippedFile
from training.data.split import Cache
from training.errors import DatasetError
from training.fit.augmentation import augment
from training.fit.objectives import UNLABELLED, Batch
from training.recipes.find import load_dataset
from training.recipes.recipe import Recipe

_CPU = torch.device("cpu")
MAPPED_SHARE = 0.5
"""Share of the memory above which images that are mapped from the disk are read ahead."""
_BLOCK = 4096
"""Images that are looked at in one go."""


@dataclass(frozen=True)
class Data:
    """The data that a run trains and validates on."""

    cache: UInt8[Tensor, "batch channel height width"]
    """Training images as levels; as grey values 0..255 where each step binarises anew."""
    labels: Int64[Tensor, " batch"] | None
    """Labels of the training images, `UNLABELLED` where unknown; None if the model has none."""
    validation: Float[Tensor, "held_out channel height width"]
    """Validation images as observations, binarised once."""
    validation_labels: Int64[Tensor, " held_out"] | None
    sha256: str
    skipped: tuple[SkippedFile, ...] = ()
    """Files of the data set's folder that are not in it, and why."""
    is_binary: bool = False
    """Whether grey values are black and white alone: to binarise them anew changes nothing."""
    is_on_disk: bool = False
    """Whether the cache is mapped from a file that may not stay in memory."""
    device: torch.device = _CPU
    """Where batches are made."""

    @cached_property
    def knows_all_labels(self) -> bool:
        """Whether every training image has a label."""
        return self.labels is not None and len(self._known) == len(self.labels)

    def to(self, device: torch.device) -> "Data":
        """The same data with batches on a device; the cache too, if a GPU has room for it twice."""
        room = math.inf
        if device.type == "cuda":
            room, _ = torch.cuda.mem_get_info(device)
        cache = self.cache.to(device) if 2 * self.cache.nbytes <= room else self.cache
        labels = None if self.labels is None else self.labels.to(cache.device)
        is_on_disk = self.is_on_disk and cache is self.cache
        return replace(self, cache=cache, labels=labels, is_on_disk=is_on_disk, device=device)

    def batch(self, chosen: Int64[Tensor, " batch"], recipe: Recipe, *, progress: float) -> Batch:
        """The images at these positions as observations, augmented and binarised anew.

        Where few labels are known, as many random images that have one are added.
        """
        batch = self._observed(chosen, recipe, progress)
        if self.labels is None or recipe.dataset.labels_per_class == 0:
            return batch._replace(is_labelled=self.knows_all_labels)
        known = self._known
        taught = known[torch.randint(len(known), (len(chosen),), device=known.device)]
        return batch._replace(labelled=self._observed(taught, recipe, progress))

    @cached_property
    def _known(self) -> Int64[Tensor, " known"]:
        """Positions of the images whose labels are known."""
        assert self.labels is not None
        (known,) = torch.where(self.labels != UNLABELLED)
        return known

    def _observed(self, chosen: Tensor, recipe: Recipe, progress: float) -> Batch:
        chosen = chosen.to(self.cache.device)
        levels = self.cache[chosen].to(self.device, non_blocking=True)
        y = None if self.labels is None else self.labels[chosen].to(self.device, non_blocking=True)
        return Batch(observe(levels, recipe, progress, is_binary=self.is_binary), y)


def load_data(
    recipe: Recipe,
    data_dir: Path | None,
    console: Console,
    *,
    dataset: Dataset | None = None,
    recorded: str | None = None,
) -> Data:
    """The training and validation splits of the recipe's data set.

    Args:
        recipe: The recipe.
        data_dir: Folder of the data sets.
        console: Console that shows progress.
        dataset: The recipe's data set, if it is loaded already.
        recorded: Digest of the data that the run was begun on; see `load`.

    Raises:
        ConfigError: The model has another number of labels than the data set has classes.
        DatasetError: Files of the data set are missing or damaged, or a held-out split has fewer
            than two pictures.
    """
    if dataset is None:
        dataset = load_dataset(recipe, recorded=recorded, data_dir=data_dir, console=console)
    if dataset.split_by:
        console.print(f"Split: {dataset.split_by}.", soft_wrap=True, markup=False, highlight=False)
    if fault := too_small(dataset.splits):
        raise DatasetError(f"{dataset.name} cannot be trained on. {fault}")
    labels, held_out = _labels(dataset, recipe)
    dataset.keep_levels(recipe.image)
    levels = dataset.train.read_levels(recipe.image, console=console)
    is_binary = recipe.image.binarization == "stochastic" and _is_black_and_white(levels)
    is_on_disk = isinstance(levels, np.memmap) and _is_large(levels)
    if is_on_disk:
        expect_random_reads(levels)
    return Data(
        cache=torch.from_numpy(levels),
        labels=labels,
        validation=torch.from_numpy(dataset.validation.observations(recipe.image, console=console)),
        validation_labels=held_out,
        sha256=dataset.sha256,
        skipped=dataset.skipped,
        is_binary=is_binary,
        is_on_disk=is_on_disk,
    )


def _is_large(levels: Cache) -> bool:
    return levels.nbytes > MAPPED_SHARE * usable_memory()


def _is_black_and_white(levels: Cache) -> bool:
    """Whether all grey values are 0 or 255."""
    return all(
        bool(np.isin(levels[first : first + _BLOCK], (0, 255)).all())
        for first in range(0, len(levels), _BLOCK)
    )


def _labels(dataset: Dataset, recipe: Recipe) -> tuple[Tensor | None, Tensor | None]:
    """Labels of the training images, as many as the recipe keeps, and of the validation images."""
    if recipe.vae.num_labels == 0:
        return None, None
    train, held_out = dataset.train.labels, dataset.validation.labels
    classes = len(dataset.class_names)
    if train is not None:
        classes = max(classes, int(train.max()) + 1)
    if train is not None and held_out is None:
        raise ConfigError(
            f"vae.num_labels = {recipe.vae.num_labels} needs labels of the validation split, and "
            f"that of {dataset.name} has none. Make a folder or an array of labels of each class "
            "in it, or take it away: a tenth of train is held out then.",
            parameter="vae.num_labels",
            received=recipe.vae.num_labels,
        )
    if train is None or held_out is None or classes != recipe.vae.num_labels:
        raise ConfigError(
            f"vae.num_labels = {recipe.vae.num_labels} does not go with {dataset.name}, which has "
            f"{classes} classes. Add --set vae.num_labels={classes}.",
            parameter="vae.num_labels",
            received=recipe.vae.num_labels,
            suggestion=f"--set vae.num_labels={classes}",
        )
    if len(np.unique(train)) < classes:
        raise ConfigError(
            f"vae.num_labels = {classes} does not go with {dataset.name}: only "
            f"{len(np.unique(train))} of its {classes} classes have training pictures. Add some "
            "of each, or leave the empty classes out.",
            parameter="vae.num_labels",
            received=classes,
        )
    labels = torch.from_numpy(train)
    if recipe.dataset.labels_per_class > 0:
        labels = keep_labels(labels, recipe.dataset.labels_per_class, seed=recipe.seed)
    return labels, torch.from_numpy(held_out)


def keep_labels(labels: Int64[Tensor, " batch"], per_class: int, *, seed: int) -> Tensor:
    """Keep the labels of a few random images of each class; the others become `UNLABELLED`.

    Raises:
        ConfigError: A class has fewer images.
    """
    generator = torch.Generator().manual_seed(seed)
    kept = torch.full_like(labels, UNLABELLED)
    for label in labels.unique().tolist():
        (of_class,) = torch.where(labels == label)
        if len(of_class) < per_class:
            raise ConfigError(
                f"dataset.labels_per_class = {per_class} is too large: class {label} has "
                f"{len(of_class)} training images. Add --set "
                f"dataset.labels_per_class={len(of_class)}.",
                parameter="dataset.labels_per_class",
                received=per_class,
                suggestion=f"--set dataset.labels_per_class={len(of_class)}",
            )
        order = torch.randperm(len(of_class), generator=generator)[:per_class]
        kept[of_class[order]] = label
    return kept


def observe(
    levels: UInt8[Tensor, "batch channel height width"],
    recipe: Recipe,
    progress: float,
    *,
    is_binary: bool = False,
) -> Float[Tensor, "batch channel height width"]:
    """Observations of a batch of the cache: augmented, then binarised anew or scaled.

    Args:
        levels: Levels, on any device.
        recipe: The recipe.
        progress: Share of the run that is done.
        is_binary: Whether the levels are 0 and 255 alone.
    """
    spec = recipe.image
    white = cached_levels(spec) - 1
    background = float(background_level(spec, white))
    x = augment(levels.float(), recipe.augmentation, progress=progress, background=background)
    if spec.binarization == "stochastic":
        if is_binary:  # no pixel is a matter of chance, and one that is moved takes the nearer side
            return (x > white / 2).float()
        binary: Tensor = binarize(x, white, torch.rand_like(x))
        return binary.float()
    values: Tensor = to_values(x, spec)
    return values
