"""Held-out pictures that a bundle keeps for a page: which they are, and where they are from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64
from rich.console import Console

from models.bundle.examples import MOST_EXAMPLES, Examples
from models.images.spec import ImageSpec
from training.data.datasets import Dataset
from training.data.subset import choose_subset
from training.evaluation.good_pictures import unseen_splits

_SEED = 0


@dataclass(frozen=True)
class HeldOut:
    """Pictures of a data set that were used neither in training nor to choose the weights."""

    dataset: Dataset
    split: str
    """Which of its pictures they are."""
    x: Float32[np.ndarray, "picture channel height width"]
    """As the model takes them."""
    labels: Int64[np.ndarray, " picture"] | None
    """Their classes, where these are known."""

    def take(self, most: int) -> "HeldOut":
        """So many of them at most, at random and in random order, always the same."""
        chosen = choose_subset(len(self.x), most, seed=_SEED).numpy()
        labels = None if self.labels is None else self.labels[chosen]
        return HeldOut(self.dataset, self.split, self.x[chosen], labels)

    @property
    def names(self) -> Sequence[str | None]:
        """Name of each one's class, or its number where classes have no names."""
        if self.labels is None:
            return [None] * len(self.x)
        named = self.dataset.class_names
        return [named[label] if named else str(label) for label in self.labels.tolist()]

    def describe(self, count: int) -> str:
        """What so many of them are and where they are from, with their licence."""
        dataset = self.dataset
        licence = dataset.republished_under or dataset.licence
        which = f"{count:,} of {len(self.x):,} held-out pictures of {dataset.name} ({self.split})"
        return f"{which}, as the model takes them: {dataset.about}. Licence: {licence}."


def held_out_of(
    dataset: Dataset, spec: ImageSpec, *, trained_on: str, console: Console | None = None
) -> HeldOut:
    """The pictures of a data set that a model has not seen, with their labels.

    Args:
        dataset: The data set.
        spec: The model's image spec.
        trained_on: sha256 of the data that the model was trained on.
        console: Shows progress; nowhere by default.
    """
    splits, name = unseen_splits(dataset, trained_on=trained_on)
    x = np.concatenate([one.observations(spec, console=console) for one in splits])
    labels = [one.labels for one in splits if one.labels is not None]
    known = np.concatenate(labels) if len(labels) == len(splits) else None
    return HeldOut(dataset, name, x, known)


def choose_examples(held_out: HeldOut, spec: ImageSpec) -> Examples:
    """Held-out pictures for a page, `MOST_EXAMPLES` at random at most, always the same."""
    some = held_out.take(MOST_EXAMPLES)
    source = held_out.describe(len(some.x))
    return Examples.of(some.x, spec, labels=some.names, source=source)
