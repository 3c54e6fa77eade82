"""Estimates of log p(x) by importance sampling, with their errors.

    p(x) = E_r[w],  w = p(x, z) / r(z),    estimate = log (1/K) sum_k w_k
    iwae: r = q(z|x), the posterior;  prior: r = p(z), so that w = p(x|z)
    exact: r = p(z|x), where the posterior is known: every weight is p(x)

The mean weight is unbiased for p(x), so its logarithm is a lower bound on log p(x) in expectation.
Weights stream through running sums in float64: memory does not grow with K, except for the largest
2.1 sqrt(K) weights of each datum, which the Pareto diagnostic needs. The encoder runs once.

Half of the draws are diagnosed. The interval of log p(x) comes from the other half: with the same
draws, the diagnosis would choose runs that missed the tail, whose estimate and error are too small.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from models.distributions.batch_noise import BatchNoise, Items
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
from models.estimators.weight_sums import t_interval
from models.noise import Purpose
from models.scores.evidence_score import EvidenceProgress, EvidenceScore
from models.scores.kinds import Estimator
from models.vae.model import VAE

MIN_SAMPLES = 100
"""Fewer are not diagnosed, and give no interval."""
MIN_EFFECTIVE_SAMPLE_SIZE = 50.0
"""Of the diagnosed half: below it a few draws dominate, and its weights do not look regular."""
MAX_PARETO_K = 0.7
"""Above it importance sampling is not reliable at any practical K (Vehtari et al. 2024)."""

REPORT_GROWTH = 1.25
"""Draws at a report, in relation to those at the one before: a report takes some milliseconds a
datum, most of them for the lower bound."""

EvidenceEstimate = EvidenceScore[Tensor]
"""log p(x) of each datum with its error; tensors are float64 on the CPU, (batch,)."""
RunningEstimate = EvidenceProgress[Tensor]
"""The same by the draws so far."""
Report = Callable[[RunningEstimate], None]
"""Told the running estimate after the first chunk, and whenever the draws have grown by a share."""


@dataclass(frozen=True)
class Sampling:
    """How log p(x) of a batch is sampled: `log_px_steps` explains each."""

    num_samples: Sequence[int]
    seed: int
    first_item: Items
    chunk_rows: int
    report: Report | None = None


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
    has_elbo: bool = False
    """Whether the mean log-weight is the ELBO: not of the prior, nor of a sum over labels."""


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
    report: Report | None = None,
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
        report: Told the running estimate; not by "exact", whose one weight is the answer.

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
    sampling = Sampling(counts, seed, first_item, chunk_rows, report)
    return (yield from ESTIMATORS[estimator](vae, x, y, sampling))


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
    proposal = yield from iwae_proposal_steps(vae, x, y)
    return (yield from sample_weights(x, proposal, sampling))


def iwae_proposal_steps(vae: VAE, x: Tensor, y: Tensor | None) -> Steps[Proposal]:
    """The posterior q(z|x) as a proposal."""
    rows, labels = _rows(vae, x, y)
    q = yield from posterior_steps(vae, rows, labels)

    def log_weights(noise: Tensor) -> Steps[Tensor]:
        return log_weights_steps(vae, x, noise, y, posterior=q)

    return Proposal("iwae", q, "posterior", len(rows), log_weights, has_elbo=rows is x)


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
    interval = torch.stack([log_px, log_px], dim=-1)
    estimate = EvidenceEstimate(
        estimator="exact",
        num_samples=1,
        estimate_nats=log_px,
        standard_error_nats=zero,
        lower_bound_95_nats=log_px,
        bound_interval_nats=interval,
        log_px_interval_nats=interval,
        weights_look_regular=(True,) * count,
        effective_sample_size=torch.ones_like(log_px),
        pareto_k=torch.full_like(log_px, math.nan),
        elbo_nats=log_px,
        gap_lower_bound_nats=zero,
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
    due = 0.0
    for goal in sampling.num_samples:
        for chunk in chunks(goal - weights.count, proposal.rows, sampling.chunk_rows):
            draw = noise.draw_for(proposal.distribution, chunk, dtype=x.dtype)
            weights.add((yield from proposal.log_weights(draw.to(x.device))))
            if sampling.report is not None and weights.count >= due:
                sampling.report(progress_of(weights))
                due = REPORT_GROWTH * weights.count
        found = summarise_weights(
            weights,
            estimator=proposal.estimator,
            has_elbo=proposal.has_elbo,
            seed=sampling.seed,
        )
        estimates.append(found)
    return estimates


def progress_of(weights: RunningWeights) -> RunningEstimate:
    """The running estimate of the weights that were added so far, with its bounds."""
    whole = weights.sums()
    return RunningEstimate(
        num_samples=weights.count,
        estimate_nats=whole.log_mean(),
        standard_error_nats=whole.standard_error(),
        lower_bound_95_nats=weights.lower_bound(),
        bound_interval_nats=_bound_interval(weights),
        effective_sample_size=whole.effective_sample_size(),
    )


def _bound_interval(weights: RunningWeights) -> Float[Tensor, "batch 2"]:
    """Interval of the expected bound; NaN of too few draws."""
    if weights.count < MIN_SAMPLES:
        return torch.full((weights.num_items, 2), math.nan, dtype=torch.float64)
    return t_interval(weights.bound_estimates())


def summarise_weights(
    weights: RunningWeights, *, estimator: Estimator, has_elbo: bool, seed: int
) -> EvidenceEstimate:
    """The estimate of the weights that were added so far.

    Args:
        weights: Weights of draws from the proposal.
        estimator: Name of the proposal.
        has_elbo: Whether the mean log-weight is the ELBO.
        seed: Seed of the draws, for the record.
    """
    whole, shape = weights.sums(), weights.pareto_k()
    estimate = whole.log_mean()
    elbo = weights.mean_log_weight() if has_elbo else None
    reasons = _why_irregular(weights, shape)
    regular = tuple(reason is None for reason in reasons)
    none = torch.full((len(estimate), 2), math.nan, dtype=torch.float64)
    return EvidenceEstimate(
        estimator=estimator,
        num_samples=weights.count,
        estimate_nats=estimate,
        standard_error_nats=whole.standard_error(),
        lower_bound_95_nats=weights.lower_bound(),
        bound_interval_nats=_bound_interval(weights),
        log_px_interval_nats=torch.where(
            torch.tensor(regular, dtype=torch.bool).unsqueeze(-1),
            weights.estimated().log_px_interval(),
            none,
        ),
        weights_look_regular=regular,
        effective_sample_size=whole.effective_sample_size(),
        pareto_k=shape,
        elbo_nats=elbo,
        gap_lower_bound_nats=None if elbo is None else estimate - elbo,
        reason=reasons,
        seed=seed,
    )


def _why_irregular(weights: RunningWeights, shape: Tensor) -> tuple[str | None, ...]:
    """Why the weights of each datum do not look regular, from the diagnosed half of the draws."""
    diagnosed = weights.diagnosed()
    sizes = diagnosed.effective_sample_size()
    return tuple(
        _why(weights.count, diagnosed.count, float(s), float(k))
        for s, k in zip(sizes, shape, strict=True)
    )


def _why(num_samples: int, diagnosed: int, size: float, shape: float) -> str | None:
    if num_samples < MIN_SAMPLES:
        return (
            f"{num_samples} sample{'s are' if num_samples > 1 else ' is'} too few to diagnose the "
            f"weights. Ask for num_samples={MIN_SAMPLES} or more."
        )
    if not round(size, 6) >= MIN_EFFECTIVE_SAMPLE_SIZE:  # NaN too, of weights that are all zero
        return (
            f"The effective sample size of the {diagnosed} draws that are diagnosed is "
            f"{size:.1f}, below {MIN_EFFECTIVE_SAMPLE_SIZE:g}: a few draws dominate. Rely on "
            "lower_bound_95_nats."
        )
    if not shape <= MAX_PARETO_K:
        return (
            f"The weights' Pareto shape is {shape:.2f}, above {MAX_PARETO_K:g}: their tail is too "
            "heavy for an interval. Rely on lower_bound_95_nats."
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
