"""Activity of latent dimensions: how far the mean of q(z|x) moves over the data.

    one layer    A = Var_data(E_q[z])
    a hierarchy  A = Var_data(E_q[z]) / Var_p(z)

A dimension is an active unit if A > 0.01. In a hierarchy E_q[z] of a group is over draws of the
group drawn before it, and a unit is measured by its prior's variance, which networks make; priors
of one layer are taken as they are.

Source: Burda, Grosse and Salakhutdinov 2016, arXiv:1509.00519, section 5.2.
"""

from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from models.distributions.batch_noise import BatchNoise
from models.distributions.grouped import GroupedNormal
from models.estimators.labels import rows_steps
from models.estimators.passes import posterior_steps
from models.estimators.steps import Steps, chunks
from models.vae.model import VAE

ACTIVE = 0.01
_DRAWS = 16
"""Draws of each of the two means of a group."""
_PRIOR_DRAWS = 10_000


@torch.no_grad()
def two_means_steps(
    vae: VAE,
    x: Float[Tensor, "batch channel height width"],
    *,
    seed: int,
    first_item: int = 0,
    chunk_rows: int,
) -> Steps[Float64[Tensor, "batch 2 latent"]]:
    """E_q[z] of each datum twice: of a hierarchy by draws of their own, else exact.

    A model with labels averages over q(y|x).
    """
    rows = yield from rows_steps(vae, x, None, chunk_rows=chunk_rows)
    q: Any = yield from posterior_steps(vae, rows.x, rows.y)
    if not isinstance(q, GroupedNormal):
        mean = rows.expect(q.mean, axis=0).flatten(1).double().cpu()
        return torch.stack([mean, mean], 1)
    noise = BatchNoise(seed, len(x), "posterior", first_item=first_item)
    means = []
    for _ in range(2):
        total = torch.zeros(len(x), vae.num_latents, dtype=torch.float64)
        for count in chunks(_DRAWS, len(rows.x), chunk_rows):
            draw = noise.draw_for(q, count, dtype=x.dtype).to(x.device)
            loc, _ = _moments_at(q, q.from_noise(rows.repeat(draw)))
            total += rows.expect(loc, axis=1).double().cpu().sum(0)
        means.append(total / _DRAWS)
    return torch.stack(means, 1)


@torch.no_grad()
def prior_variance(vae: VAE, *, seed: int) -> Float64[Tensor, " latent"]:
    """What an activity is a multiple of: Var_p(z) by 10,000 draws of a hierarchy, 1 for one layer.

    Var_p(z_i) = Var(E[z_i | z_(i+1)]) + E[Var(z_i | z_(i+1))]
    """
    if not vae.config.latent_groups:
        return torch.ones(vae.num_latents, dtype=torch.float64)
    # The prior of a hierarchy is the same for every label.
    y = torch.zeros(1, dtype=torch.int64, device=vae.device) if vae.num_labels else None
    prior: Any = vae.prior(y)
    weight = next(vae.parameters())
    noise = BatchNoise(seed, 1, "prior").draw_for(prior, _PRIOR_DRAWS, dtype=weight.dtype)
    loc, scale = _moments_at(prior, prior.from_noise(noise[:, 0].to(weight.device)))
    return (loc.double().var(0) + scale.double().square().mean(0)).cpu()


def activity(
    two_means: Float64[Tensor, "batch 2 latent"], prior_variance: Float64[Tensor, " latent"]
) -> Float64[Tensor, "batch latent"]:
    """Terms of each datum whose mean over the data is the activity of each dimension.

    The covariance between two means of independent draws is the variance of what they estimate;
    the variance of one of them would count the draws' noise as activity.
    """
    count = len(two_means)
    first, second = (two_means - two_means.mean(0)).unbind(1)
    return first * second * (count / max(1, count - 1)) / prior_variance


def active_units(activity: Float64[Tensor, "batch latent"], *, threshold: float = ACTIVE) -> int:
    """Number of latent dimensions whose activity is above the threshold."""
    return int((activity.mean(0) > threshold).sum())


def _moments_at(q: GroupedNormal, z: Tensor) -> tuple[Tensor, Tensor]:
    """Location and scale of each number of z, given the value of the group drawn before it."""
    groups, lead = q.groups_at(z), z.shape[:-1]
    loc, scale = (
        torch.cat([part.expand(*lead, -1) for part in parts], -1)
        for parts in ([g.loc for g in groups], [g.scale for g in groups])
    )
    return loc, scale
