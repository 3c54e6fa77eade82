"""log p(x) by annealed importance sampling: chains that go from q0(z) to p(x, z) in small steps.

    f_t(z) = q0(z)^(1 - b_t) p(x, z)^b_t,    0 = b_0 < b_1 < ... < b_T = 1
    log w = sum_t (b_t - b_{t-1}) (log p(x, z_{t-1}) - log q0(z_{t-1}))
    z_0 ~ q0, and z_t from z_{t-1} by a move that keeps f_t (`annealed_chains.py`)
    E[w] = p(x):       log (1/M) sum_m w_m is in expectation a lower bound on log p(x)

The same path backwards, from an exact draw of p(z|x), has E[1/w] = 1/p(x), so that
-log (1/M) sum_m 1/w_m is in expectation an upper bound. Such draws are at hand of images that the
model has made: z ~ p(z), x ~ p(x|z) (bidirectional Monte Carlo). All is float64.

Source: Neal 2001, Statistics and Computing 11; Wu et al. 2017, arXiv:1611.04273; Grosse,
    Ghahramani and Adams 2015, arXiv:1511.02543.
"""

import math
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor

from models.estimators.annealed_chains import Annealing, Chains, chains_steps, schedule
from models.estimators.importance import EvidenceEstimate
from models.estimators.simulated import Simulated
from models.estimators.steps import Steps, without_steps
from models.estimators.weight_sums import WeightSums
from models.scores.kinds import AnnealingStart
from models.vae.model import VAE


@dataclass(frozen=True, kw_only=True)
class AnnealedEstimate:
    """log p(x) of each datum by annealed importance sampling; tensors are float64, (batch,)."""

    start: AnnealingStart
    num_steps: int
    num_chains: int
    num_leapfrog: int
    estimate_nats: Tensor
    """Log of the mean weight: in expectation a lower bound on log p(x)."""
    standard_error_nats: Tensor
    """Over chains, by the delta method; too small where few chains weigh anything."""
    effective_sample_size: Tensor
    """Of the chains' weights, from 1 to M."""
    lower_bound_95_nats: Tensor
    """Below log p(x) with 95 % confidence, by betting on the chains' weights."""
    acceptance_rate: Tensor
    """Share of moves that were accepted in the run that counts."""
    seed: int


@dataclass(frozen=True, kw_only=True)
class Sandwich(AnnealedEstimate):
    """log p(x) of images that the model has made, from below and from above.

    The upper bound's standard error is over chains that share one draw of p(z|x): that draw's own
    part of the error shows over images alone.
    """

    upper_nats: Tensor
    """In expectation an upper bound on log p(x)."""
    upper_standard_error_nats: Tensor
    upper_acceptance_rate: Tensor

    @property
    def gap_nats(self) -> Tensor:
        """Upper minus lower bound: in expectation at least the error of either."""
        return self.upper_nats - self.estimate_nats


@torch.no_grad()
def annealed_log_px_steps(
    vae: VAE,
    x: Float[Tensor, "batch channel height width"],
    *,
    seed: int,
    settings: Annealing | None = None,
    first_item: int = 0,
    y: Tensor | None = None,
) -> Steps[AnnealedEstimate]:
    """Estimate log p(x), or log p(x|y), by annealed importance sampling, in steps.

    Args:
        vae: The model, in eval mode; one of float32 is copied.
        x: Observations; their support is checked first.
        seed: Seed of the noise streams; datum i uses item `first_item + i`.
        settings: Where chains start, how long they are, and how many.
        first_item: Position of the first datum in the request or data set.
        y: Labels, for log p(x|y); a model with labels needs them.

    Returns:
        The estimate, as the generator's value.

    Raises:
        InputError: Observations outside the support, or invalid labels.
        UnsupportedOperation: `annealed_chains.check_annealable` says for which models.
    """
    chains = yield from chains_steps(vae, x, y, settings or Annealing(), seed, first_item)
    sizes = yield from chains.tune_steps()
    return (yield from _forward_steps(chains, sizes))


@torch.no_grad()
def sandwich_steps(
    vae: VAE,
    simulated: Simulated,
    *,
    seed: int,
    settings: Annealing | None = None,
    first_item: int = 0,
) -> Steps[Sandwich]:
    """Bound log p(x) of images of the model's own from both sides, in steps.

    Args:
        vae: The model, in eval mode; one of float32 is copied.
        simulated: Images of this very model, from `simulated.simulate`.
        seed: Seed of the noise streams; datum i uses item `first_item + i`.
        settings: Where chains start, how long they are, and how many.
        first_item: Position of the first datum among all.

    Returns:
        Both bounds, as the generator's value. The lower one is that of `annealed_log_px_steps`.

    Raises:
        UnsupportedOperation: `annealed_chains.check_annealable` says for which models.
    """
    x, y, settings = simulated.x, simulated.y, settings or Annealing()
    chains = yield from chains_steps(vae, x, y, settings, seed, first_item)
    sizes = yield from chains.tune_steps()
    lower = yield from _forward_steps(chains, sizes)
    z = simulated.z.flatten(1).double().cpu()
    weights, accepted = yield from _backward_steps(chains, z, sizes)
    return Sandwich(
        **{field.name: getattr(lower, field.name) for field in fields(lower)},
        upper_nats=-weights.log_mean(),
        upper_standard_error_nats=weights.standard_error(),
        upper_acceptance_rate=accepted,
    )


def as_evidence(found: AnnealedEstimate) -> EvidenceEstimate:
    """An annealed estimate in the form of the others: so few chains give no interval."""
    missing = torch.full_like(found.estimate_nats, math.nan)
    none, count = torch.stack([missing, missing], -1), len(missing)
    reason = (
        f"{found.num_chains} chains are too few to diagnose their weights. Rely on "
        "lower_bound_95_nats."
    )
    return EvidenceEstimate(
        estimator="ais",
        num_samples=found.num_chains,
        estimate_nats=found.estimate_nats,
        standard_error_nats=found.standard_error_nats,
        lower_bound_95_nats=found.lower_bound_95_nats,
        bound_interval_nats=none,
        log_px_interval_nats=none,
        weights_look_regular=(False,) * count,
        effective_sample_size=found.effective_sample_size,
        pareto_k=missing,
        elbo_nats=None,
        gap_lower_bound_nats=None,
        reason=(reason,) * count,
        inference="refined" if found.start == "refined" else "amortised",
        acceptance_rate=found.acceptance_rate,
        seed=found.seed,
    )


estimate_annealed_log_px = without_steps(annealed_log_px_steps)
"""log p(x) of each datum by annealing; `annealed_log_px_steps` explains the arguments."""
bound_both_sides = without_steps(sandwich_steps)
"""Both bounds of images of the model's own; `sandwich_steps` explains the arguments."""


def _forward_steps(chains: Chains, sizes: Tensor) -> Steps[AnnealedEstimate]:
    """From q0 to p(x, z)."""
    settings = chains.settings
    state = yield from chains.first_steps()
    path = schedule(settings.num_steps)
    weights, accepted = yield from chains.anneal_steps(state, path, sizes)
    sums = weights.sums()
    return AnnealedEstimate(
        start=settings.start,
        num_steps=settings.num_steps,
        num_chains=settings.num_chains,
        num_leapfrog=settings.num_leapfrog,
        estimate_nats=sums.log_mean(),
        standard_error_nats=sums.standard_error(),
        effective_sample_size=sums.effective_sample_size(),
        lower_bound_95_nats=weights.lower_bound(),
        acceptance_rate=accepted,
        seed=chains.seed,
    )


def _backward_steps(chains: Chains, z: Tensor, sizes: Tensor) -> Steps[tuple[WeightSums, Tensor]]:
    """From a draw of p(z|x) to q0: the weights are 1/w."""
    each = z.expand(chains.settings.num_chains, *z.shape).contiguous()
    state = yield from chains.at_steps(each)
    path = schedule(chains.settings.num_steps).flip(0)
    weights, accepted = yield from chains.anneal_steps(state, path, sizes.flip(0))
    return weights.sums(), accepted
