"""Estimates of log p(x) by importance sampling, with their errors.

    p(x) = E_r[w],  w = p(x, z) / r(z),    estimate = log (1/K) sum_k w_k
    iwae: r = q(z|x), the posterior;  prior: r = p(z), so that w = p(x|z)
    exact: r = p(z|x), where the posterior is known: every weight is p(x)

The mean weight is unbiased for p(x), so its logarithm is a lower bound on log p(x) in expectation.
Weights stream through running sums in float64: memory does not grow with K, except for the largest
3 sqrt(K) weights of each datum, which the Pareto diagnostic needs. The encoder runs once.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from models.distributions.batch_noise import BatchNoise
from models.distributions.from_noise import FromNoise
from models.errors import InputError
from models.estimators.exact import exact_log_px
from models.estimators.importance_weights import RunningWeights
from models.estimators.passes import log_likelihood_steps, log_weights_steps, posterior_steps
from models.estimators.steps import (
    CHUNK_ROWS,
    P,
    Pass,
    Steps,
    check_num_samples,
    chunks,
    run_steps,
)
from models.noise import Purpose
from models.scores import Covers, Estimator, EvidenceScore
from models.vae.model import VAE

MIN_EFFECTIVE_SAMPLE_SIZE = 100.0
"""Below it the delta-method error and interval are not trusted to cover log p(x)."""
MAX_PARETO_K = 0.7
"""Above it importance sampling is not reliable at any practical K (Vehtari et al. 2024)."""
_NORMAL_975 = 1.959963984540054

EvidenceEstimate = EvidenceScore[Tensor]
"""log p(x) of each datum with its error; tensors are float64 on the CPU, (batch,)."""


@dataclass(frozen=True)
class Sampling:
    """How log p(x) of a batch is sampled: `log_px_steps` explains each."""

    num_samples: Sequence[int]
    seed: int
    first_item: int
    chunk_rows: int


@dataclass(frozen=True)
class Proposal:
    """r(z) for each row of a batch, and the log-weights p(x, z) / r(z) of its draws."""

    estimator: Estimator
    distribution: FromNoise
    purpose: Purpose
    """Stream of noise that the draws come from."""
    rows: int
    """Decodings of each draw: data, times labels where these are summed over."""
    log_weights: Callable[[Tensor], Steps[Tensor]]
    """From the draws' noise, (sample, batch, ...), to nats, (sample, batch)."""


@torch.no_grad()
def log_px_steps(
    vae: VAE,
    x: Float[Tensor, "batch channel height width"],
    *,
    num_samples: int | Sequence[int],
    seed: int,
    estimator: Estimator = "iwae",
    first_item: int = 0,
    chunk_rows: int = CHUNK_ROWS,
    y: Tensor | None = None,
) -> Steps[list[EvidenceEstimate]]:
    """Estimate log p(x) in steps, which a caller may interleave or stop.

    Args:
        vae: The model, in eval mode.
        x: Observations; their support is checked first.
        num_samples: K, or several in ascending order: each is a prefix of the largest one's draws.
        seed: Seed of the noise streams; datum i uses item `first_item + i`.
        estimator: "iwae" draws from the posterior, "prior" from the prior; "exact" takes one
            weight, whatever the K, of a model whose posterior is exact.
        first_item: Position of the first datum in the request or data set.
        chunk_rows: Largest number of decoder rows per pass; does not change the result.
        y: Labels, for log p(x|y). A model with labels that is given none sums over them.

    Returns:
        One estimate per K, as the generator's value.

    Raises:
        InputError: No samples, K that do not ascend, observations outside the support, or invalid
            labels.
        UnsupportedOperation: "exact" where the posterior is an approximation; labels for a model
            without labels.

    Source: Burda, Grosse and Salakhutdinov 2016, arXiv:1509.00519, equation 8.
    """
    counts = (num_samples,) if isinstance(num_samples, int) else tuple(num_samples)
    _check_ascending(counts)
    vae.check_support(x, y)
    return (
        yield from ESTIMATORS[estimator](vae, x, y, Sampling(counts, seed, first_item, chunk_rows))
    )


def _at_largest(
    stepwise: Callable[P, Steps[list[EvidenceEstimate]]],
) -> Callable[P, EvidenceEstimate]:
    """The function that runs the steps to their end and returns the estimate at the largest K."""

    @wraps(stepwise)
    def estimate(*args: P.args, **kwargs: P.kwargs) -> EvidenceEstimate:
        return run_steps(stepwise(*args, **kwargs))[-1]

    return estimate


estimate_log_px = _at_largest(log_px_steps)
"""log p(x) of each datum with its error; `log_px_steps` explains the arguments."""


def iwae(
    vae: VAE, x: Tensor, y: Tensor | None, sampling: Sampling
) -> Steps[list[EvidenceEstimate]]:
    """Draws from the posterior q(z|x)."""
    rows, labels = _rows(vae, x, y)
    q = yield from posterior_steps(vae, rows, labels)

    def log_weights(noise: Tensor) -> Steps[Tensor]:
        return log_weights_steps(vae, x, noise, y, posterior=q)

    proposal = Proposal("iwae", q, "posterior", len(rows), log_weights)
    return (yield from sample_weights(x, proposal, sampling))


def prior(
    vae: VAE, x: Tensor, y: Tensor | None, sampling: Sampling
) -> Steps[list[EvidenceEstimate]]:
    """Draws from the prior p(z), so that weights are p(x|z)."""
    rows, labels = _rows(vae, x, y)
    p = vae.prior(labels)
    copies = len(rows) // max(1, len(x))

    def log_weights(noise: Tensor) -> Steps[Tensor]:
        z = p.from_noise(noise.repeat(1, copies, *[1] * (noise.ndim - 2)))
        log_px = yield from log_likelihood_steps(vae, z, rows, labels)
        return log_px if rows is x else vae.sum_over_labels(log_px)

    proposal = Proposal("prior", p, "prior", len(rows), log_weights)
    return (yield from sample_weights(x, proposal, sampling))


def exact(
    vae: VAE, x: Tensor, y: Tensor | None, sampling: Sampling
) -> Steps[list[EvidenceEstimate]]:
    """One weight, which is log p(x), whatever the K."""
    (log_px,) = yield Pass(_exact_log_px, (vae,), (x,))
    log_px = log_px.double().cpu()
    zero, count = torch.zeros_like(log_px), len(log_px)
    covers: Covers = "log_px"
    estimate = EvidenceEstimate(
        estimator="exact",
        num_samples=1,
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
        seed=sampling.seed,
    )
    return [estimate] * len(sampling.num_samples)


def _exact_log_px(vae: VAE, x: Tensor) -> tuple[Tensor, ...]:
    return (exact_log_px(vae, x),)


ESTIMATORS: dict[
    Estimator, Callable[[VAE, Tensor, Tensor | None, Sampling], Steps[list[EvidenceEstimate]]]
] = {"iwae": iwae, "prior": prior, "exact": exact}


def _rows(vae: VAE, x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """The data, or each of them once with every label where the label is summed over."""
    return vae.every_label(x) if vae.num_labels and y is None else (x, y)


def sample_weights(
    x: Tensor, proposal: Proposal, sampling: Sampling
) -> Steps[list[EvidenceEstimate]]:
    """Stream the proposal's weights, and summarise them at each K."""
    noise = BatchNoise(sampling.seed, len(x), proposal.purpose, first_item=sampling.first_item)
    weights = RunningWeights(len(x), sampling.num_samples[-1])
    estimates: list[EvidenceEstimate] = []
    for goal in sampling.num_samples:
        for chunk in chunks(goal - weights.count, proposal.rows, sampling.chunk_rows):
            draw = noise.draw_for(proposal.distribution, chunk, dtype=x.dtype)
            weights.add((yield from proposal.log_weights(draw.to(x.device))))
        estimates.append(_summarise(weights, proposal, sampling.seed))
    return estimates


def _summarise(weights: RunningWeights, proposal: Proposal, seed: int) -> EvidenceEstimate:
    estimate, error = weights.estimate(), weights.standard_error()
    size, shape = weights.effective_sample_size(), weights.pareto_k()
    reasons = tuple(
        _why_unreliable(weights.count, float(s), float(k)) for s, k in zip(size, shape, strict=True)
    )
    bound = weights.log_w.mean.clone() if proposal.purpose == "posterior" else None
    margin = _NORMAL_975 * error
    return EvidenceEstimate(
        estimator=proposal.estimator,
        num_samples=weights.count,
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
        seed=seed,
    )


def _why_unreliable(num_samples: int, size: float, shape: float) -> str | None:
    if num_samples < 2:
        return "A single sample has no standard error. Ask for num_samples=2 or more."
    if not size >= MIN_EFFECTIVE_SAMPLE_SIZE:  # NaN too, of weights that are all zero or NaN
        return (
            f"The effective sample size is {size:.1f} of {num_samples}, below "
            f"{MIN_EFFECTIVE_SAMPLE_SIZE:g}: a few draws dominate, so the estimate is only a lower "
            "bound."
        )
    if not shape <= MAX_PARETO_K:
        return (
            f"The weights' Pareto shape is {shape:.2f}, above {MAX_PARETO_K:g}: their tail is too "
            "heavy for the error to be trusted, so the estimate is only a lower bound."
        )
    return None


def _check_ascending(num_samples: Sequence[int]) -> None:
    check_num_samples(num_samples[0] if num_samples else 0)
    if any(b <= a for a, b in pairwise(num_samples)):
        fixed = sorted(set(num_samples))
        raise InputError(
            f"num_samples={list(num_samples)} does not ascend: each number of samples takes the "
            f"draws of the one before it, and more. Use {fixed}.",
            parameter="num_samples",
            received=list(num_samples),
            suggestion=fixed,
        )
