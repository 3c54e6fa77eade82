"""Images that a model has made, whose latents are exact draws of p(z|x).

y ~ p(y),    z ~ p(z|y),    x ~ p(x|z, y)
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from models.distributions.batch_noise import BatchNoise
from models.vae.model import VAE


@dataclass(frozen=True)
class Simulated:
    """Images that the model has made, each with its latent: an exact draw of p(z|x)."""

    x: Float[Tensor, "batch channel height width"]
    z: Float[Tensor, "batch ..."]
    y: Tensor | None
    """Labels, of a model with labels."""


def simulate(vae: VAE, num_images: int, *, seed: int) -> Simulated:
    """Images of the model: y ~ p(y) where it has labels, z ~ p(z), x ~ p(x|z).

    Args:
        vae: The model, in eval mode.
        num_images: How many.
        seed: Seed of the noise streams; image i uses item i.
    """
    weight, y = next(vae.parameters()), None
    with torch.no_grad():
        if vae.num_labels:
            rank = BatchNoise(seed, num_images, "label").draw(1, (), kind="uniform")[0]
            edges = vae.log_label_prior.double().cpu().exp().cumsum(0)[:-1]
            y = (rank.unsqueeze(-1) >= edges).sum(-1).to(weight.device)
        p = vae.prior(y)
        noise = BatchNoise(seed, num_images, "prior").draw_for(p, 1, dtype=weight.dtype)
        z = p.from_noise(noise.to(weight))[0]
        likelihood = vae.likelihood(z, y)
        noise = BatchNoise(seed, num_images, "likelihood").draw_for(
            likelihood, 1, dtype=weight.dtype
        )
        x = likelihood.from_noise(noise.to(weight))[0]
    return Simulated(x, z, y)
