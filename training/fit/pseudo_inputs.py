"""Pseudo-inputs of a VampPrior (Tomczak and Welling 2018): their start, and their bounds."""

import math
from typing import cast

import torch

from models.vae.model import VAE
from models.vae.priors import VampPrior
from training.fit.batches import Data
from training.recipes.recipe import Recipe


def start_pseudo_inputs(vae: VAE, data: Data, recipe: Recipe) -> None:
    """Set a VampPrior's pseudo-inputs to random training images, repeated where there are few."""
    pseudo_inputs = cast(VampPrior, vae.prior_module).pseudo_inputs.data
    generator = torch.Generator().manual_seed(recipe.seed)
    order = torch.randperm(len(data.cache), generator=generator)
    chosen = order.repeat(math.ceil(len(pseudo_inputs) / len(order)))[: len(pseudo_inputs)]
    batch = data.batch(chosen, recipe, progress=1.0)
    pseudo_inputs.copy_(batch.x / vae.unit_scale)


@torch.no_grad()
def clamp_pseudo_inputs(vae: VAE) -> None:
    """Clamp pseudo-inputs to [0, 1]: outside, their gradient is zero and they would stay there."""
    if isinstance(vae.prior_module, VampPrior):
        vae.prior_module.pseudo_inputs.clamp_(0, 1)
