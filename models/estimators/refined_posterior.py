"""The refined q(z) in the place of the encoder's q(z|x): its ELBO, and what describes it.

    q(z) = sum_j a_j N(z; m_j, T_j T_j'),   ELBO = E_q[log p(x, z) - log q(z)]

The draws are fresh: no fit has seen them. With labels that are averaged over

    ELBO = sum_y q(y) (ELBO(x, y) + log p(y) - log q(y)),   q(y) prop. to p(y) exp(fit's ELBO(x, y))

Source: Cremer, Li and Duvenaud 2018, arXiv:1801.03558.
"""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from models.distributions.batch_noise import BatchNoise
from models.distributions.from_noise import FromNoise
from models.distributions.kl import kl_divergence
from models.distributions.normals import DiagonalNormal, FullNormal
from models.estimators.elbo import ElboEstimate, elbo_steps, why_null
from models.estimators.moments import RunningMoments
from models.estimators.normal_fit import Normals
from models.estimators.pixel_map import PixelMap
from models.estimators.refine import count_modes, refined_rows_steps
from models.estimators.steps import CHUNK_ROWS, Steps, check_num_samples, chunks, without_steps
from models.vae.model import VAE


@torch.no_grad()
def refined_elbo_steps(
    vae: VAE,
    x: Float[Tensor, "batch channel height width"],
    *,
    num_samples: int,
    seed: int,
    first_item: int = 0,
    chunk_rows: int = CHUNK_ROWS,
    y: Tensor | None = None,
    pixels: bool = False,
) -> Steps[ElboEstimate]:
    """Estimate the ELBO of the refined q(z), and what the encoder's is lower by, in steps.

    Args:
        vae: The model, in eval mode.
        x: Observations; their support is checked first.
        num_samples: Draws of the refined q(z), and of the encoder's, for each datum.
        seed: Seed of the noise streams; datum i uses item `first_item + i`.
        first_item: Position of the first datum in the request or data set.
        chunk_rows: Largest number of decoder rows per pass; does not change the result.
        y: Labels. A model with labels that is given none averages over them.
        pixels: Whether to split the mean of log p(x|z) by pixels, too.

    Returns:
        The estimate, as the generator's value.

    Raises:
        InputError: No samples, observations outside the support, or invalid labels.
        UnsupportedOperation: `refine.check_refinable` says for which models.
    """
    check_num_samples(num_samples)
    rows, modes = yield from refined_rows_steps(vae, x, y, seed=seed, first_item=first_item)
    q, prior = modes.proposal(vae, rows.x, rows.y), vae.prior(rows.y)
    noise = BatchNoise(seed, len(x), "proposal", first_item=first_item)
    by_pixel = PixelMap(rows, pixels)
    log_likelihood, log_w = RunningMoments(), RunningMoments()
    for chunk in chunks(num_samples, len(rows.x), chunk_rows):
        draw = rows.repeat(noise.draw_for(q.noise, chunk, dtype=x.dtype))
        z = q.q_from_noise(draw).to(x)
        shaped = z.unflatten(-1, vae.latent_shape)
        terms = (yield from by_pixel.log_likelihood_steps(vae, shaped)).double().cpu()
        log_ratio = q.log_q(z.double().cpu()) - prior.log_prob(shaped).double().cpu()
        log_likelihood.add(rows.expect(terms, axis=1))
        log_w.add(rows.expect(terms - log_ratio, axis=1))
    bound, error = log_w.mean, log_w.standard_error()
    if rows.label_kl_nats is not None:
        bound = bound - rows.label_kl_nats
    amortised = yield from elbo_steps(
        vae,
        x,
        y=y,
        num_samples=num_samples,
        seed=seed,
        first_item=first_item,
        chunk_rows=chunk_rows,
    )
    return replace(
        amortised,
        elbo_nats=bound,
        expected_log_likelihood_nats=log_likelihood.mean,
        kl_nats=log_likelihood.mean - bound,
        kl_per_dimension_nats=None,
        kl_per_group_nats=None,
        label_kl_nats=rows.label_kl_nats,
        standard_error_nats=error,
        kl_method="monte_carlo",
        reason=tuple(map(why_null, bound.tolist(), error.tolist())),
        inference="refined",
        amortised_elbo_nats=amortised.elbo_nats,
        amortisation_gap_nats=bound - amortised.elbo_nats,
        num_modes=count_modes(rows, modes),
        pixel_log_likelihood_nats=by_pixel.mean,
    )


estimate_refined_elbo = without_steps(refined_elbo_steps)
"""The ELBO of the refined q(z) of each datum; `refined_elbo_steps` explains the arguments."""


@dataclass(frozen=True)
class RefinedPosterior:
    """The refined q(z) of each datum; tensors are float64 on the CPU."""

    mean: Float64[Tensor, "batch latent"]
    scale: Float64[Tensor, "batch latent"]
    """Standard deviation of each dimension."""
    kl_nats: Float64[Tensor, " batch"] | None
    """KL(q || p(z)); NaN of several modes, None of a prior without a closed form."""
    samples: Float64[Tensor, "batch sample latent"]
    num_modes: tuple[int, ...]


@torch.no_grad()
def refined_posterior_steps(
    vae: VAE,
    x: Float[Tensor, "batch channel height width"],
    *,
    num_samples: int,
    seed: int,
    first_item: int = 0,
    y: Tensor | None = None,
) -> Steps[RefinedPosterior]:
    """Describe the refined q(z) of each datum, and draw from it, in steps.

    Args:
        vae: The model, in eval mode.
        x: Observations; their support is checked first.
        num_samples: Draws of each datum; may be 0.
        seed: Seed of the noise streams; datum i uses item `first_item + i`.
        first_item: Position of the first datum in the request or data set.
        y: Labels; a model with labels needs them.

    Returns:
        The description, as the generator's value.

    Raises:
        InputError: Observations outside the support, or invalid labels.
        UnsupportedOperation: `refine.check_refinable` says for which models.
    """
    _, modes = yield from refined_rows_steps(vae, x, y, seed=seed, first_item=first_item)
    q, counts = modes.proposal(vae, x, y), modes.counts()
    noise = BatchNoise(seed, len(x), "proposal", first_item=first_item)
    draws = q.q_from_noise(noise.draw_for(q.noise, num_samples, dtype=x.dtype))
    kl = _closed_kl(modes.first, vae.prior(y))
    if kl is not None:
        kl = torch.where(torch.tensor(counts) == 1, kl, math.nan)
    return RefinedPosterior(q.mean, q.scale, kl, draws.transpose(0, 1), counts)


describe_refined_posterior = without_steps(refined_posterior_steps)
"""The refined q(z) of each datum; `refined_posterior_steps` explains the arguments."""


def _closed_kl(normals: Normals, prior: FromNoise) -> Tensor | None:
    """KL of one normal of each datum to the prior, where that is a normal too."""
    if not isinstance(prior, DiagonalNormal):
        return None
    event = len(prior.event_shape)
    loc, scale = (p.double().cpu().flatten(-event) for p in (prior.loc, prior.scale))
    p = DiagonalNormal(loc, scale, event_dim=1)
    if not normals.has_matrices:
        return kl_divergence(DiagonalNormal(normals.loc, normals.factor, event_dim=1), p)
    lower = torch.stack([torch.linalg.cholesky(f.clone() @ f.clone().mT) for f in normals.factor])
    q = FullNormal(normals.loc, lower.diagonal(dim1=-2, dim2=-1), lower)
    return kl_divergence(q, p)
