"""The ELBO of each datum, with its parts and its Monte Carlo error.

    ELBO = E_q[log p(x|z)] - KL(q(z|x) || p(z))  (analytic)  =  E_q[log_w]  (monte_carlo)

Nats per datum, higher is better. Log-weights and log-likelihoods are reduced in float64.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from models.distributions.batch_noise import BatchNoise, Items
from models.distributions.grouped import GroupedNormal
from models.distributions.kl import has_analytic_kl, kl_divergence, kl_terms, log_ratios
from models.distributions.normals import DiagonalNormal
from models.distributions.one_hot import OneHot
from models.estimators.labels import rows_steps
from models.estimators.moments import RunningMoments
from models.estimators.passes import posterior_steps
from models.estimators.pixel_map import PixelMap
from models.estimators.steps import CHUNK_ROWS, Steps, check_num_samples, chunks, without_steps
from models.scores.elbo_score import ElboScore
from models.scores.kinds import KLMethod
from models.vae.model import VAE

ElboEstimate = ElboScore[Tensor]
"""The ELBO of each datum and its parts; tensors are float64 on the CPU, (batch,), nats."""


@torch.no_grad()
def elbo_steps(
    vae: VAE,
    x: Float[Tensor, "batch channel height width"],
    *,
    num_samples: int,
    seed: int,
    first_item: Items = 0,
    chunk_rows: int = CHUNK_ROWS,
    y: Tensor | None = None,
    kl_method: KLMethod | None = None,
    pixels: bool = False,
) -> Steps[ElboEstimate]:
    """Estimate the ELBO in steps, which a caller may interleave or stop.

    Args:
        vae: The model, in eval mode.
        x: Observations; their support is checked first.
        num_samples: Draws z ~ q(z|x) per datum.
        seed: Seed of the noise streams; datum i uses item `first_item + i`.
        first_item: Position of the first datum in the request or data set, or of each.
        chunk_rows: Largest number of decoder rows per pass; does not change the result.
        y: Labels. A model with labels that is given none averages over q(y|x): the bound of
            unlabelled data of Kingma et al. 2014, equation 7.
        kl_method: "analytic" subtracts the closed-form KL, "monte_carlo" averages the log-weights.
            None takes the one with the smaller error: analytic where there is a closed form,
            except for a categorical latent.
        pixels: Whether to split the mean of log p(x|z) by pixels, too.

    Returns:
        The estimate, as the generator's value.

    Raises:
        InputError: Fewer than one sample, observations outside the support, or invalid labels.
        UnsupportedOperation: "analytic" without a closed form; labels for a model without labels.
    """
    check_num_samples(num_samples)
    vae.check_support(x, y)
    rows = yield from rows_steps(vae, x, y, chunk_rows=chunk_rows)
    q, prior = (yield from posterior_steps(vae, rows.x, rows.y)), vae.prior(rows.y)
    # The log-weight of a categorical latent, whose posterior is exact, is the same at every draw.
    analytic = has_analytic_kl(q, prior) and not isinstance(q, OneHot)
    kl_method = kl_method or ("analytic" if analytic else "monte_carlo")
    analytic_kl = kl_divergence(q, prior).double() if kl_method == "analytic" else None
    noise = BatchNoise(seed, len(x), "posterior", first_item=first_item)
    by_pixel = PixelMap(rows, pixels)
    log_likelihood, log_w, kl_of_groups = RunningMoments(), RunningMoments(), RunningMoments()
    for chunk in chunks(num_samples, len(rows.x), chunk_rows):
        draw = noise.draw_for(q, chunk, dtype=x.dtype).to(x.device)
        z = q.from_noise(rows.repeat(draw))
        terms = (yield from by_pixel.log_likelihood_steps(vae, z)).double()
        log_likelihood.add(rows.expect(terms, axis=1))
        if kl_method == "monte_carlo":
            ratios = log_ratios(q, prior, z).double()
            kl_of_groups.add(rows.expect(ratios, axis=1))
            log_w.add(rows.expect(terms - ratios.sum(-1), axis=1))
    kl, per_dimension, per_group = kl_of_groups.mean.sum(-1), None, None
    error = log_w.standard_error()
    if analytic_kl is not None:
        kl = rows.expect(analytic_kl, axis=0).cpu()
        error = log_likelihood.standard_error()
        if isinstance(q, DiagonalNormal) and isinstance(prior, DiagonalNormal):
            per_dimension = rows.expect(kl_terms(q, prior).double(), axis=0).cpu()
    if isinstance(q, GroupedNormal):
        per_group = kl_of_groups.mean
    label_kl = None if rows.label_kl_nats is None else rows.label_kl_nats.double().cpu()
    if label_kl is not None:
        kl = kl + label_kl
    bound = log_likelihood.mean - kl
    return ElboEstimate(
        elbo_nats=bound,
        expected_log_likelihood_nats=log_likelihood.mean,
        kl_nats=kl,
        kl_per_dimension_nats=per_dimension,
        kl_per_group_nats=per_group,
        label_kl_nats=label_kl,
        standard_error_nats=error,
        kl_method=kl_method,
        num_samples=num_samples,
        reason=tuple(map(why_null, bound.tolist(), error.tolist())),
        pixel_log_likelihood_nats=by_pixel.mean,
        seed=seed,
    )


estimate_elbo = without_steps(elbo_steps)
"""The ELBO of each datum with its Monte Carlo error; `elbo_steps` explains the arguments."""


def why_null(bound: float, error: float) -> str | None:
    """Why an ELBO, nats, or its standard error is missing."""
    if not math.isfinite(bound):
        return "The estimate is not finite: the image is too improbable for float32."
    if not math.isfinite(error):
        return "A single sample has no standard error. Ask for num_samples=2 or more."
    return None
