"""Trained models without a folder: oracles on their own draws, and small families."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.images.spec import ImageSpec
from models.vae.model import VAE
from tests.models.family_cases import family
from tests.oracle import Oracle
from tests.provenance import make_provenance
from tests.training.conftest import RECIPE
from training.data.datasets import load
from training.evaluation.trained import TrainedModel
from training.recipes.recipe import Recipe


def make_model(
    name: str, vae: VAE, spec: ImageSpec, x: Tensor, labels: Tensor | None, recipe: Recipe | None
) -> TrainedModel:
    """A trained model that lies nowhere, with the data set digits."""
    return TrainedModel(
        name=name,
        path=Path("runs") / name,
        vae=vae,
        weights_sha256="0" * 64,
        spec=spec,
        provenance=make_provenance(dataset="digits"),
        recipe=recipe,
        dataset=load("digits"),
        x=x,
        labels=labels,
    )


def of_oracle(instance: Oracle, x: Tensor, *, name: str = "oracle", **changes: Any) -> TrainedModel:
    """An oracle on its own draws; `changes` are entries of its recipe."""
    channels, height, width = instance.vae.image_shape
    spec = ImageSpec(channels=channels, height=height, width=width, values="unit")  # type: ignore[arg-type]
    return make_model(name, instance.vae, spec, x, None, RECIPE.model_copy(update=changes))


def of_family(name: str, *, count: int = 12, recipe: Recipe | None = RECIPE) -> TrainedModel:
    """A family with torch's initial weights on random 4x4 binary pictures with labels 0, 1, 2."""
    torch.manual_seed(0)
    vae = VAE(family(name)).freeze()
    generator = torch.Generator().manual_seed(1)
    x = (torch.rand(count, 1, 4, 4, generator=generator) < 0.4).float()
    spec = ImageSpec(channels=1, height=4, width=4, levels=2, binarization="threshold")
    return make_model(name, vae, spec, x, torch.arange(count) % 3, recipe)
