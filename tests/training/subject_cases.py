"""Models beside their images, without a run's folder: oracles and small families."""

import torch
from torch import Tensor

from models.images.spec import ImageSpec
from models.vae.model import VAE
from tests.models.family_cases import family
from tests.oracle import Oracle
from tests.training.conftest import RECIPE
from training.data.datasets import load
from training.recipes.recipe import Recipe
from training.studies.subjects import Subject


def of_oracle(instance: Oracle, x: Tensor, *, name: str = "oracle", **recipe: object) -> Subject:
    """An oracle on its own draws; `recipe` changes the fields of a run's."""
    channels, height, width = instance.vae.image_shape
    spec = ImageSpec(channels=channels, height=height, width=width, values="unit")  # type: ignore[arg-type]
    return Subject(
        name, instance.vae, spec, load("digits"), x, None, RECIPE.model_copy(update=recipe)
    )


def of_family(name: str, *, count: int = 12, recipe: Recipe | None = RECIPE) -> Subject:
    """A family with torch's initial weights on random 4x4 binary pictures with labels 0, 1, 2."""
    torch.manual_seed(0)
    vae = VAE(family(name)).freeze()
    generator = torch.Generator().manual_seed(1)
    x = (torch.rand(count, 1, 4, 4, generator=generator) < 0.4).float()
    spec = ImageSpec(channels=1, height=4, width=4, levels=2, binarization="threshold")
    return Subject(name, vae, spec, load("digits"), x, torch.arange(count) % 3, recipe)
