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
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, cast
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from models.distributions.normals import DiagonalNormal
from models.errors import InputError, UnsupportedOperation
from models.estimators.elbo import CHUNK_ROWS, RunningMoments, check_num_samples, chunks, run_steps
from models.noise import BatchNoise, NoiseStream, Purpose
from models.vae.model import VAE

Estimator = Literal["iwae", "prior", "exact"]
Covers = Literal["expected_bound", "log_px"]

MIN_EFFECTIVE_SAMPLE_SIZE = 100.0
"""Below it the delta-method error and interval are not trusted to cover log p(x)."""
MAX_PARETO_K = 0.7
"""Above it importance sampling is not reliable at any practical K (Vehtari et al. 2024)."""
CONSTANT_WEIGHTS = 1e-4
"""Relative spread of the tail below which all its weights count as one."""
EXACT_SPREAD_NATS = 0.01
"""Largest difference between log-weights of one picture with which a linear-Gaussian posterior
counts as exact; weights rounded to float32 make one below 1e-4."""
_NORMAL_975 = 1.959963984540054
_PLACES = 32
"""At least what a processor takes at once."""


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


class RunningWeights:
    """Running sums of exp(log_w), exp(2 log_w) and log_w, and the largest weights; all (batch,).

    Chunk sizes do not matter, bitwise: samples are taken in one after the other.
    """

    def __init__(self, num_items: int, num_samples: int) -> None:
        """Start empty; `num_samples` is the K that will be reached and sets the tail's length."""
        self.count = 0
        self.log_w = RunningMoments()
        self.log_sum = torch.full((num_items,), -math.inf, dtype=torch.float64)
        self.log_sum_squares = self.log_sum.clone()
        self.tail_length = tail_length(num_samples)
        self.largest = torch.empty((0, num_items), dtype=torch.float64)

    def add(self, log_w: Float[Tensor, "sample batch"]) -> None:
        """Take in the next log-weights, nats."""
        log_w = log_w.double().cpu()
        self.count += len(log_w)
        self.log_w.add(log_w)
        self.log_sum = _log_add(self.log_sum, log_w)
        self.log_sum_squares = _log_add(self.log_sum_squares, 2 * log_w)
        both = torch.cat([self.largest, log_w])
        self.largest = both.topk(min(self.tail_length + 1, len(both)), dim=0).values

    def estimate(self) -> Tensor:
        """Log of the mean weight, nats."""
        return self.log_sum - math.log(self.count)

    def effective_sample_size(self) -> Tensor:
        """(sum w)^2 / sum w^2 (Kong 1992)."""
        return (2 * self.log_sum - self.log_sum_squares).exp().clamp(1, self.count)

    def standard_error(self) -> Tensor:
        """Of the estimate, by the delta method; NaN for a single sample."""
        if self.count < 2:
            return torch.full_like(self.log_sum, math.nan)
        ratio = self.count / self.effective_sample_size()
        return ((ratio - 1) / (self.count - 1)).clamp_min(0).sqrt()

    def pareto_k(self) -> Tensor:
        """Shape of a generalised Pareto distribution fitted to the largest weights."""
        length = tail_length(self.count)
        if length < 5:
            return torch.full_like(self.log_sum, math.nan)
        return pareto_shape(self.largest[: length + 1])


def _log_add(total: Tensor, log_w: Tensor) -> Tensor:
    """log(exp(total) + sum of exp(log_w) over the samples), (batch,), one after the other."""
    # Padded: torch rounds logaddexp otherwise in a tensor's last few places than before them.
    count = len(total)
    total = F.pad(total, (0, -count % _PLACES))
    for row in F.pad(log_w, (0, -count % _PLACES)):
        total = torch.logaddexp(total, row)
    return total[:count]


def tail_length(num_samples: int) -> int:
    """min(K/5, 3 sqrt(K)), rounded up: how many weights make the tail (Vehtari et al. 2024)."""
    return math.ceil(min(num_samples / 5, 3 * math.sqrt(num_samples)))


def pareto_shape(largest: Float[Tensor, "tail batch"]) -> Float[Tensor, " batch"]:
    """Shape k of the generalised Pareto distribution of the exceedances over the last row.

    Args:
        largest: Log-weights in descending order; the last row is the threshold.

    Returns:
        k, regularised towards 1/2 by ten pseudo-observations; -inf where the tail's weights are the
        same within `CONSTANT_WEIGHTS`, so that only rounding would be fitted.

    Source: Zhang and Stephens 2009, Technometrics 51(3); Vehtari et al. 2024, arXiv:1507.02646,
        section 3 and appendix C.
    """
    return torch.cat([_pareto_shape(datum[:, None].clone()) for datum in largest.unbind(1)])


def _pareto_shape(largest: Tensor) -> Tensor:
    """Of one datum at a time, (tail, 1): sums over several would take another order."""
    weights = (largest - largest[:1]).exp()
    x = (weights[:-1] - weights[-1:]).flip(0)  # ascending
    n = len(x)
    degenerate = x[-1] < CONSTANT_WEIGHTS
    x = torch.where(degenerate, torch.linspace(0.1, 1, n, dtype=x.dtype).unsqueeze(1), x)
    grid = 30 + int(math.sqrt(n))
    steps = torch.arange(1, grid + 1, dtype=x.dtype).unsqueeze(1)
    quartile = x[int(n / 4 + 0.5) - 1].clamp_min(torch.finfo(x.dtype).tiny)
    theta = 1 / x[-1] + (1 - (grid / (steps - 0.5)).sqrt()) / (3 * quartile)
    k = torch.log1p(-theta.unsqueeze(1) * x).mean(1)
    profile = n * ((-theta / k).log() - k - 1)
    weight = profile.softmax(0)
    best = (theta * weight).sum(0)
    shape = torch.log1p(-best * x).mean(0)
    shape = (n * shape + 10 * 0.5) / (n + 10)
    return torch.where(degenerate, torch.full_like(shape, -math.inf), shape)


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


@torch.no_grad()
def has_exact_posterior(vae: VAE) -> bool:
    """Whether q(z|x) is p(z|x), so that one importance weight is p(x).

    True of categorical latents, whose posterior is enumerated, and of linear-Gaussian models where
    log-weights of the model's own pictures, in float64, do not vary with the draw by more than
    `EXACT_SPREAD_NATS`.

    Source: Tipping and Bishop 1999, Journal of the Royal Statistical Society B 61(3).
    """
    config = vae.config
    if config.posterior.kind == "enumerated":
        return True
    networks = (config.encoder, config.decoder)
    linear = all(n is not None and n.kind == "mlp" and not n.hidden for n in networks)
    normal = config.likelihood.kind == "normal" and config.likelihood.scale in ("fixed", "learned")
    plain = config.prior.kind == "standard_normal" and not config.num_labels
    if not (linear and normal and plain and config.posterior.kind != "point"):
        return False
    known, stamp = _EXACT.get(vae), vae.stamp()
    if known is None or known[0] != stamp:
        known = _EXACT[vae] = stamp, _weights_are_constant(vae)
    return known[1]


_EXACT: "WeakKeyDictionary[VAE, tuple[list[tuple[int, int]], bool]]" = WeakKeyDictionary()
"""What was found of a model, and its weights' stamp then: finding it takes longer than a score."""


def _weights_are_constant(vae: VAE) -> bool:
    """Of some pictures of the model's own, whatever the draw."""
    copy, count = deepcopy(vae).cpu().double().eval(), vae.num_latents + 2
    # log w is a quadratic function of picture and draw: constant here, constant everywhere.
    z = torch.from_numpy(NoiseStream(0, 0, "prior").normal(count, *vae.latent_shape))
    p = cast(DiagonalNormal, copy.likelihood(z))
    x = p.from_noise(torch.from_numpy(NoiseStream(0, 0, "likelihood").normal(*p.noise_shape())))
    noise = BatchNoise(0, count, "posterior")
    log_w = copy.log_weights(x, noise.draw(2 * count, vae.latent_shape, dtype=torch.float64))
    return bool((log_w.amax(0) - log_w.amin(0) < EXACT_SPREAD_NATS).all())


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
