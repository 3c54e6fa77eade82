"""A trained model beside the held-out images that it is looked at with; it computes no study.

From a run's folder or a bundle; what a model cannot be asked for is refused here.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from models.bundle.loading import load_bundle
from models.errors import ConfigError, InputError, UnsupportedOperation
from models.images.spec import ImageSpec
from models.vae.model import VAE
from training.data.datasets import Dataset
from training.data.subset import choose_subset
from training.evaluation.trained import is_run, load_run, load_test_images
from training.recipes.recipe import Recipe

Images = Float[Tensor, "batch channel height width"]


@dataclass(frozen=True)
class Subject:
    """A trained model, and the held-out images that it is looked at with."""

    name: str
    vae: VAE
    spec: ImageSpec
    dataset: Dataset
    x: Images
    labels: Int64[Tensor, " batch"] | None
    """Of the images, where the data set has them."""
    recipe: Recipe | None
    """Of a run; a bundle holds none that this code must understand."""

    def words(self) -> str:
        """Model, data and n, for a title."""
        return f"{self.name}: {self.data()}"

    def data(self) -> str:
        """Data and n, for a title."""
        return f"{self.dataset.name}, test split, n = {len(self.x):,}"


def load_subject(path: Path, *, data_dir: Path | None = None, num_images: int = 0) -> Subject:
    """A run's best weights or a bundle, with its data's test split.

    Args:
        path: A run's folder, or a bundle's.
        data_dir: Where the data sets are.
        num_images: A random subset of so many, the same every time; 0 for all.

    Raises:
        BundleError: Neither a run nor a bundle.
        ConfigError: The run has no weights yet, or the data have changed.
        DatasetError: The data are not at hand.
    """
    recipe = None
    if is_run(path):
        run = load_run(path)
        provenance, spec, vae = run.provenance(), run.recipe.image, run.vae.freeze()
        name, recipe = path.resolve().name, run.recipe
    else:
        bundle = load_bundle(path)
        provenance, spec, vae = bundle.config.provenance, bundle.config.image, bundle.vae
        name = f"{bundle.config.name}/{bundle.config.version}"
    dataset, x = load_test_images(provenance, spec, data_dir=data_dir)
    labels = None if dataset.test.labels is None else torch.from_numpy(dataset.test.labels)
    if 0 < num_images < len(x):
        chosen = choose_subset(len(x), num_images, seed=0)
        x, labels = x[chosen], None if labels is None else labels[chosen]
    if len(x) < 2:
        raise InputError(
            f"An error over images needs at least 2 of them; received {len(x)}. Take more."
        )
    return Subject(name, vae, spec, dataset, x, labels, recipe)


def need_density(subject: Subject) -> None:
    """Refuse an autoencoder.

    Raises:
        UnsupportedOperation: Says which model it is.
    """
    if not subject.vae.has_density:
        raise UnsupportedOperation(
            f"Bounds and priors are those of a distribution; {subject.name} is an autoencoder and "
            "has none. Leave it out, or train a VAE."
        )


def need_dimensions(subject: Subject) -> None:
    """Refuse a mixture, whose latent is one choice.

    Raises:
        UnsupportedOperation: Says which model it is.
    """
    if subject.vae.config.encoder is None:
        raise UnsupportedOperation(
            f"Latent dimensions are those of an encoder; {subject.name} is a mixture, whose latent "
            "is one choice among components. Take another model."
        )


def need_run(subject: Subject) -> Recipe:
    """The recipe of a run.

    Raises:
        ConfigError: It is a bundle.
    """
    if subject.recipe is None:
        raise ConfigError(
            "What a model was trained for stands in a run's recipe; received the bundle "
            f"{subject.name}. Name the run's folder."
        )
    return subject.recipe


def check_comparable(first: Subject, other: Subject) -> None:
    same_images = first.x.shape == other.x.shape and torch.equal(first.x, other.x)
    if not (same_images and first.vae.is_mass == other.vae.is_mass):
        raise ConfigError(
            "Bounds compare where models score the same images on the same scale, all by masses or "
            f"all by densities; received {_kind(first)} and {_kind(other)}. Plot them apart."
        )


def _kind(subject: Subject) -> str:
    scale = "masses" if subject.vae.is_mass else "densities"
    spec = subject.spec
    return (
        f"{subject.name} ({scale} of {subject.data()}, {spec.levels} levels, {spec.values} values)"
    )
