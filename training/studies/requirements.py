"""What a study requires of its models: a density, latent dimensions, a recipe, the same images."""

import torch

from models.errors import ConfigError, UnsupportedOperation
from training.evaluation.trained import TrainedModel
from training.recipes.recipe import Recipe


def require_density(model: TrainedModel) -> None:
    """Refuse an autoencoder.

    Raises:
        UnsupportedOperation: The model has no likelihood and no prior.
    """
    if not model.vae.has_density:
        raise UnsupportedOperation(
            f"{model.name} is an autoencoder: it has no prior and no bound on log p(x). Leave it "
            "out, or take a VAE."
        )


def require_dimensions(model: TrainedModel) -> None:
    """Refuse a mixture model.

    Raises:
        UnsupportedOperation: The model's latent is a component, not a vector.
    """
    if model.vae.config.encoder is None:
        raise UnsupportedOperation(
            f"{model.name} is a mixture model: its latent is one of its components and has no "
            "dimensions. Take a model with an encoder."
        )


def require_recipe(model: TrainedModel) -> Recipe:
    """The recipe of a run.

    Raises:
        ConfigError: The model is a bundle.
    """
    if model.recipe is None:
        raise ConfigError(
            f"{model.name} is a bundle, and this study needs a run's recipe. Name the run's "
            "folder, such as runs/digits."
        )
    return model.recipe


def require_same_images(first: TrainedModel, other: TrainedModel) -> None:
    """Refuse models whose bounds do not compare.

    Raises:
        ConfigError: They score different images, or one by masses and the other by densities.
    """
    if first.x.shape != other.x.shape or not torch.equal(first.x, other.x):
        raise ConfigError(
            f"{first.name} and {other.name} score different images, so their bounds do not "
            f"compare: {_images(first)}; {_images(other)}. Score them apart."
        )
    if first.vae.is_mass != other.vae.is_mass:
        by_mass, by_density = (first, other) if first.vae.is_mass else (other, first)
        raise ConfigError(
            f"{by_mass.name} scores probabilities and {by_density.name} densities, so their bounds "
            "do not compare. Score them apart."
        )


def _images(model: TrainedModel) -> str:
    spec = model.spec
    shape = f"{spec.channels}x{spec.height}x{spec.width}"
    words = f"{model.describe_images()}, {shape}, {spec.levels} levels, {spec.values} values"
    return words if spec.binarization == "none" else f"{words}, binarised: {spec.binarization}"
