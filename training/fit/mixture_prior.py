"""The start of a mixture prior at trained posteriors, by expectation-maximisation.

The prior that maximises the ELBO is the aggregate posterior, the mean of q(z|x_n) over the training
images. EM maximises a lower bound on the data mean of E_q[log p(z)]:

    sum_k r_nk (log pi_k + E_q[log N(z; m_k, diag s_k^2)] - log r_nk),    r_nk shared by q's draws
    E_q[log N] = -1/2 sum_d (log 2 pi s_d^2 + ((mean_d - m_d)^2 + std_d^2) / s_d^2)

No step lowers it. Of points, posteriors of no width, it is the log-likelihood and EM the usual one.

Sources: Dempster, Laird and Rubin 1977; Hoffman and Johnson 2016, ELBO surgery, for the aggregate
posterior as the best prior.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Float64
from torch import Tensor

from models.vae.model import VAE
from models.vae.priors import MixturePrior
from training.fit.batches import Data
from training.fit.objectives import UNLABELLED
from training.recipes.recipe import Recipe

_MAX_IMAGES, _MAX_NUMBERS = 50_000, 2**24
"""Largest number of posteriors, and of their means: 128 MiB, and as much for their variances."""
_ENCODED_ROWS, _BLOCK_ROWS = 500, 4_096
_MAX_STEPS, _LEAST_GAIN_NATS = 200, 1e-3
_MIN_VARIANCE = 1e-6
"""As in scikit-learn: a component on a single point would have none."""
_LEAST_COUNT = 1e-9
"""Images of a component that is as good as empty, and keeps its place."""


class Mixture(NamedTuple):
    """Weights and diagonal normals, in float64."""

    log_weights: Float64[Tensor, " component"]
    loc: Float64[Tensor, "component latent"]
    variance: Float64[Tensor, "component latent"]


@torch.no_grad()
def start_mixture_prior(vae: VAE, data: Data, recipe: Recipe) -> None:
    """Fit a mixture prior to the posteriors of training images, as they are without augmentation.

    At most 50,000 images, fewer of latents above 335 numbers, chosen by the recipe's seed; of a
    model with labels those whose label is known.
    """
    prior = cast(MixturePrior, vae.prior_module)
    generator = torch.Generator().manual_seed(recipe.seed)
    known = torch.arange(len(data.cache))
    if data.labels is not None:
        known = known[data.labels != UNLABELLED]
    most = min(_MAX_IMAGES, max(1, _MAX_NUMBERS // vae.num_latents))
    chosen = known[torch.randperm(len(known), generator=generator)[:most]]
    mean, variance = encode(vae, data, recipe, chosen)
    *_, found = fit_mixture(mean, variance, len(prior.logits), generator)
    prior.logits.copy_(found.log_weights)
    prior.loc.copy_(found.loc.reshape(prior.loc.shape))
    scale = found.variance.sqrt()
    prior.raw_scale.copy_((scale + torch.log(-torch.expm1(-scale))).reshape(prior.loc.shape))


def encode(
    vae: VAE, data: Data, recipe: Recipe, chosen: Tensor
) -> tuple[Float64[Tensor, "image latent"], Float64[Tensor, "image latent"]]:
    """Mean and variance of each latent dimension of q(z|x), in eval mode."""
    was_training = vae.training
    vae.eval()
    means, variances = [], []
    for rows in chosen.split(_ENCODED_ROWS):
        batch = data.batch(rows, recipe, progress=1.0)
        q: Any = vae.posterior(batch.x, batch.y)
        means.append(q.mean.double().flatten(1))
        variances.append(q.scale.double().square().flatten(1))
    vae.train(was_training)
    return torch.cat(means), torch.cat(variances)


def fit_mixture(
    mean: Float64[Tensor, "image latent"],
    variance: Float64[Tensor, "image latent"],
    num_components: int,
    generator: torch.Generator,
) -> Iterator[Mixture]:
    """Mixtures from one step of EM to the next; the last gains less than 1e-3 nats per image.

    The first has equal weights, the means of random posteriors, and the variance of all draws.

    Args:
        mean: Means of the posteriors; points, where there is no variance.
        variance: Their variances.
        num_components: Number of normals.
        generator: Chooses the posteriors to begin at.
    """
    order = torch.randperm(len(mean), generator=generator)
    chosen = order.repeat(math.ceil(num_components / len(order)))[:num_components]
    spread = (mean.var(0, correction=0) + variance.mean(0)).clamp_min(_MIN_VARIANCE)
    weight = mean.new_full((num_components,), -math.log(num_components))
    mixture = Mixture(weight, mean[chosen], spread.repeat(num_components, 1))
    last = -math.inf
    for _ in range(_MAX_STEPS):
        yield mixture
        bound_nats, following = improve(mixture, mean, variance)
        if bound_nats - last < _LEAST_GAIN_NATS:
            return
        last, mixture = bound_nats, following


def improve(mixture: Mixture, mean: Tensor, variance: Tensor) -> tuple[float, Mixture]:
    """The bound of a mixture, nats per image, and the mixture after a step of EM."""
    total, count = 0.0, torch.zeros_like(mixture.log_weights)
    first, second = torch.zeros_like(mixture.loc), torch.zeros_like(mixture.loc)
    for m, v in zip(mean.split(_BLOCK_ROWS), variance.split(_BLOCK_ROWS), strict=True):
        log_joint = mixture.log_weights + expected_log_prob(mixture, m, v)
        evidence = log_joint.logsumexp(1, keepdim=True)
        shares = (log_joint - evidence).exp()
        total += float(evidence.sum())
        count += shares.sum(0)
        first += shares.T @ m
        second += shares.T @ (m.square() + v)
    is_empty = count.unsqueeze(1) <= _LEAST_COUNT
    count = count.clamp_min(_LEAST_COUNT)
    loc = first / count.unsqueeze(1)
    spread = (second / count.unsqueeze(1) - loc.square()).clamp_min(_MIN_VARIANCE)
    following = Mixture(
        count.log().log_softmax(0),
        torch.where(is_empty, mixture.loc, loc),
        torch.where(is_empty, mixture.variance, spread),
    )
    return total / len(mean), following


def expected_log_prob(
    mixture: Mixture, mean: Tensor, variance: Tensor
) -> Float64[Tensor, "image component"]:
    """E_q[log N(z; m_k, diag s_k^2)] of each posterior and component, nats."""
    precision = mixture.variance.reciprocal()
    squares = (mean.square() + variance) @ precision.T
    squares = squares - 2 * mean @ (mixture.loc * precision).T
    squares = squares + (mixture.loc.square() * precision).sum(1)
    log_scales = (2 * math.pi * mixture.variance).log().sum(1)
    return -0.5 * (squares + log_scales)
