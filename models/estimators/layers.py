"""How much of a ladder's bound is its lower layers' work: high of odd pictures.

    ratio = L - L^(>k)
    L^(>k) = E[log p(x|z) + sum over i > k of log p(z_i | z_(i+1)) - log q(z_i | z_(i+1), x)]

where z_i is drawn from q for i > k, and from the prior, given the layer above it, for i <= k: half
of the layers, at least one. Upper layers say what kind of picture it is; where the prior's own
lower layers fit it badly, the picture is of no kind that the model knows.

Source: Havtorn, Frellsen, Hauberg and Maaloe 2021, arXiv:2102.08248, equations 6 and 8.
"""

from typing import cast

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from models.distributions.batch_noise import BatchNoise
from models.distributions.grouped import GroupedNormal
from models.distributions.kl import log_ratios
from models.estimators.moments import RunningMoments
from models.estimators.passes import log_likelihood_steps, posterior_steps
from models.estimators.steps import Steps, chunks
from models.vae.model import VAE


def has_layers(vae: VAE) -> bool:
    """Whether the posterior draws its layers from the top down, as the prior does."""
    config = vae.config
    return (
        config.posterior.kind == "ladder" and len(config.latent_groups) > 1 and not vae.num_labels
    )


@torch.no_grad()
def layers_ratio_steps(
    vae: VAE,
    x: Float[Tensor, "batch channel height width"],
    *,
    num_samples: int,
    seed: int,
    first_item: int,
    chunk_rows: int,
) -> Steps[Float64[Tensor, " batch"]]:
    """The ratio of each image, nats, in steps.

    Args:
        vae: The model; `has_layers` must hold.
        x: Observations.
        num_samples: Draws of each bound.
        seed: Seed of the noise streams; image i uses item `first_item + i`.
        first_item: Position of the first image in the request or data set.
        chunk_rows: Largest number of decoder rows per pass; does not change the result.
    """
    q = cast(GroupedNormal, (yield from posterior_steps(vae, x, None)))
    prior = cast(GroupedNormal, vae.prior(None))
    above = len(q.sizes) // 2
    streams = [
        BatchNoise(seed, len(x), purpose, first_item=first_item)
        for purpose in ("posterior", "prior")
    ]
    ratios = RunningMoments()
    for chunk in chunks(num_samples, len(x), chunk_rows):
        draw, other = (
            stream.draw_for(like, chunk, dtype=x.dtype).to(x.device)
            for stream, like in zip(streams, (q, q), strict=True)
        )
        z = q.from_noise(draw)
        parts, noise = list(z.split(q.sizes, -1)), other.split(q.sizes, -1)
        for i in range(above - 1, -1, -1):
            parts[i] = prior.conditional(i, parts[i + 1]).from_noise(noise[i])
        whole = yield from log_likelihood_steps(vae, z, x, None)
        upper = yield from log_likelihood_steps(vae, torch.cat(parts, -1), x, None)
        lower_terms = log_ratios(q, prior, z)[..., :above].sum(-1)
        ratios.add((whole - lower_terms - upper).double())
    return ratios.mean
