"""Estimates of log p(x) by importance sampling, with their errors; it trains and serves nothing.

    p(x) = E_r[w],  w = p(x, z) / r(z),    estimate = log (1/K) sum_k w_k
    iwae: r = q(z|x), the posterior;  prior: r = p(z), so that w = p(x|z)
    exact: r = p(z|x), where the posterior is known: every weight is p(x)

The mean weight is unbiased for p(x), so its logarithm is a lower bound on log p(x) in expectation.
Weights stream through running sums in float64: memory does not grow with K, but for the largest
3 sqrt(K) weights of each datum, which the Pareto diagnostic needs. The encoder runs once.
"""

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from models.distributions.batch_noise import BatchNoise
from models.errors import InputError, UnsupportedOperation
from models.estimators.exact import has_exact_posterior
from models.estimators.moments import RunningWeights
from models.estimators.steps import CHUNK_ROWS, check_num_samples, chunks, run_steps
from models.noise import Purpose
from models.vae.model import VAE

Estimator = Literal["iwae", "prior", "exact"]
Covers = Literal["expected_bound", "log_px"]

MIN_EFFECTIVE_SAMPLE_SIZE = 100.0
"""Below it the delta-method error and interval are not trusted to cover log p(x)."""
MAX_PARETO_K = 0.7
"""Above it importance sampling is not reliable at any practical K (Vehtari et al. 2024)."""
_NORMAL_975 = 1.959963984540054


@dataclass(frozen=True)
class EvidenceEstimate:
    """log p(x) by importance sampling; tensors are float64 on the CPU, (batch,)."""

    estimator: Estimator
    estimate_nats: Tensor
    """Log of the mean weight: in expectation a lower bound on log p(x)."""
    standard_error_nats: Tensor
    """Delta method: sd(w) / (mean(w) sqrt(K)); NaN for a single sample."""
    confidence_interval_nats: Tensor
    """(batch, 2): estimate -+ 1.96 standard errors."""
    interval_covers: tuple[Covers, ...]
    """log p(x) itself where the estimate is reliable, otherwise only the expected bound E[L_K]."""
    effective_sample_size: Tensor
    """(sum w)^2 / sum w^2, from 1 to K."""
    pareto_k: Tensor
    """Shape of the weights' upper tail; NaN where there are too few samples to fit it."""
    elbo_nats: Tensor | None
    """Mean log-weight of the same draws; None for the prior estimator, which has no posterior."""
    gap_lower_bound_nats: Tensor | None
    """estimate - ELBO: in expectation a lower bound on KL(q(z|x) || p(z|x))."""
    reliable: tuple[bool, ...]
    reason: tuple[str | None, ...]
    """Why not, per datum."""
    num_samples: int
    seed: int


def estimate_log_px(
    vae: VAE,
    x: Float[Tensor, "batch channel height width"],
    *,
    num_samples: int,
    seed: int,
    estimator: Estimator = "iwae",
    first_item: int = 0,
    chunk_rows: int = CHUNK_ROWS,
    y: Tensor | None = None,
) -> EvidenceEstimate:
    """log p(x) of each datum by importance sampling; see `log_px_steps` for the arguments."""
    steps = log_px_steps(
        vae,
        x,
        num_samples=(num_samples,),
        seed=seed,
        estimator=estimator,
        first_item=first_item,
        chunk_rows=chunk_rows,
        y=y,
    )
    return run_steps(steps)[0]


@torch.no_grad()
def log_px_steps(
    vae: VAE,
    x: Float[Tensor, "batch channel height width"],
    *,
    num_samples: Sequence[int],
    seed: int,
    estimator: Estimator = "iwae",
    first_item: int = 0,
    chunk_rows: int = CHUNK_ROWS,
    y: Tensor | None = None,
) -> Generator[None, None, list[EvidenceEstimate]]:
    """Estimate log p(x) chunk by chunk; yields after each, so that a caller may stop or interleave.

    Args:
        vae: The model, in eval mode.
        x: Observations; their support is checked first.
        num_samples: Ascending K; each smaller one is a prefix of the largest one's draws.
        seed: Of the noise streams; datum i uses item `first_item + i`.
        estimator: "iwae" draws from the posterior, "prior" from the prior; "exact" takes one
            weight, whatever the K, of a model whose posterior is exact.
        first_item: Position of the first datum in the request or data set.
        chunk_rows: Most decoder rows per pass; does not change the result.
        y: Labels, for log p(x|y). A model with labels that is given none sums over them.

    Returns:
        One estimate per K, as the generator's value.

    Raises:
        InputError: No samples, K that do not ascend, observations outside the support, or labels
            that are none.
        UnsupportedOperation: "exact", and the posterior is an approximation; labels, and the model
            has none.

    Source: Burda, Grosse and Salakhutdinov 2016, arXiv:1509.00519, equation 8.
    """
    _check_ascending(num_samples)
    vae.check_support(x, y)
    if estimator == "exact":
        exact = _exact(vae, x, seed)
        yield
        return [exact] * len(num_samples)
    marginal = bool(vae.num_labels) and y is None
    rows, labels = vae.every_label(x) if marginal else (x, y)
    from_posterior = estimator == "iwae"
    q = vae.posterior(rows, labels) if from_posterior else None
    source = q if q is not None else vae.prior(labels)
    purpose: Purpose = "posterior" if from_posterior else "prior"
    noise = BatchNoise(seed, len(x), purpose, first_item=first_item)
    estimates: list[EvidenceEstimate] = []
    weights = RunningWeights(len(x), num_samples[-1])
    for goal in num_samples:
        for chunk in chunks(goal - weights.count, len(rows), chunk_rows):
            draw = noise.draw_for(source, chunk, dtype=x.dtype).to(x.device)
            if q is not None:
                weights.add(vae.log_weights(x, draw, y, posterior=q))
            else:
                copies = vae.num_labels if marginal else 1
                z = source.from_noise(draw.repeat(1, copies, *[1] * (draw.ndim - 2)))
                log_px = vae.likelihood(z, labels).log_prob(rows)
                weights.add(vae.sum_over_labels(log_px) if marginal else log_px)
            yield
        estimates.append(_summarise(weights, estimator, seed))
    return estimates


def _exact(vae: VAE, x: Tensor, seed: int) -> EvidenceEstimate:
    if not has_exact_posterior(vae):
        raise UnsupportedOperation(
            "The exact log p(x) needs an exact posterior; this model's is an approximation. Take "
            "the estimator iwae."
        )
    q = vae.posterior(x)
    # Every draw has this weight; where q is largest it is the least rounded.
    z = q.mode
    log_px = (vae.log_joint(x, z) - q.log_prob(z)).double().cpu()
    zero, count = torch.zeros_like(log_px), len(log_px)
    covers: Covers = "log_px"
    return EvidenceEstimate(
        estimator="exact",
        estimate_nats=log_px,
        standard_error_nats=zero,
        confidence_interval_nats=torch.stack([log_px, log_px], dim=-1),
        interval_covers=(covers,) * count,
        effective_sample_size=torch.ones_like(log_px),
        pareto_k=torch.full_like(log_px, math.nan),
        elbo_nats=log_px,
        gap_lower_bound_nats=zero,
        reliable=(True,) * count,
        reason=(None,) * count,
        num_samples=1,
        seed=seed,
    )


def _summarise(weights: RunningWeights, estimator: Estimator, seed: int) -> EvidenceEstimate:
    estimate, error = weights.estimate(), weights.standard_error()
    size, shape = weights.effective_sample_size(), weights.pareto_k()
    reasons = tuple(
        _why_unreliable(weights.count, float(s), float(k)) for s, k in zip(size, shape, strict=True)
    )
    bound = weights.log_w.mean.clone() if estimator == "iwae" else None
    margin = _NORMAL_975 * error
    return EvidenceEstimate(
        estimator=estimator,
        estimate_nats=estimate,
        standard_error_nats=error,
        confidence_interval_nats=torch.stack([estimate - margin, estimate + margin], dim=-1),
        interval_covers=tuple("log_px" if r is None else "expected_bound" for r in reasons),
        effective_sample_size=size,
        pareto_k=shape,
        elbo_nats=bound,
        gap_lower_bound_nats=None if bound is None else estimate - bound,
        reliable=tuple(r is None for r in reasons),
        reason=reasons,
        num_samples=weights.count,
        seed=seed,
    )


def _why_unreliable(num_samples: int, size: float, shape: float) -> str | None:
    if num_samples < 2:
        return "A single sample has no standard error: ask for more samples."
    if not size >= MIN_EFFECTIVE_SAMPLE_SIZE:  # NaN too, of weights that are all zero or NaN
        return (
            f"The effective sample size is {size:.1f} of {num_samples}, below "
            f"{MIN_EFFECTIVE_SAMPLE_SIZE:g}: a few draws carry the estimate, a lower bound."
        )
    if not shape <= MAX_PARETO_K:
        return (
            f"The weights' Pareto shape is {shape:.2f}, above {MAX_PARETO_K:g}: their tail is too "
            "heavy for the error to be trusted, and the estimate is a lower bound."
        )
    return None


def _check_ascending(num_samples: Sequence[int]) -> None:
    check_num_samples(num_samples[0] if num_samples else 0)
    if any(b <= a for a, b in pairwise(num_samples)):
        raise InputError(
            f"Numbers of samples ascend, each a prefix of the next; received {list(num_samples)}. "
            "Sort them and drop repeats."
        )
