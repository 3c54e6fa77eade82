"""log p(x) by a proposal of each image's own, instead of the encoder's q(z|x).

    1. a normal N(m, T T') at each mode of p(z|x) that is found, by `fitted_modes`
    2. the mixture of them with defensive shares, `defensive.DefensiveMixture`
    3. fresh draws, which no fit has seen: log (1/K) sum_k p(x, z_k) / r(z_k)

    log p(x) - ELBO = approximation gap (log p(x) - refined ELBO: what no normal q reaches)
                      + amortisation gap (refined ELBO - ELBO: what the encoder leaves)

Source: Cremer, Li and Duvenaud 2018, arXiv:1801.03558.
"""

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from models.distributions.batch_noise import BatchNoise, Items
from models.errors import UnsupportedOperation
from models.estimators.elbo import elbo_steps
from models.estimators.fitted_modes import Modes, encoder_normals, find_modes_steps, num_vectors
from models.estimators.importance import (
    EvidenceEstimate,
    Proposal,
    Report,
    Sampling,
    sample_weights,
)
from models.estimators.labels import Rows, average_labels
from models.estimators.mode_search import CLIMB_STEPS, PAIRS
from models.estimators.normal_fit import MAX_STEPS
from models.estimators.passes import log_likelihood_steps, posterior_steps
from models.estimators.steps import CHUNK_ROWS, Steps, check_num_samples, without_steps
from models.vae.model import VAE

ELBO_SAMPLES = 100
"""Draws of the encoder's q(z|x) for its ELBO, and its error."""
_USUAL_STEPS = 15
SEARCH_ROWS = 2 * CLIMB_STEPS * 4 * PAIRS
"""Decodings of a search for further modes; one with a gradient counts twice."""


def refine_rows(vae: VAE) -> int:
    """Decodings that a refinement of one image usually takes; one with a gradient counts twice."""
    vectors = num_vectors(vae)
    return 2 * _USUAL_STEPS * 2 * vectors + SEARCH_ROWS + ELBO_SAMPLES


def refine_noise(vae: VAE) -> int:
    """Numbers of noise that a refinement of one image takes, 8 bytes each."""
    return MAX_STEPS * num_vectors(vae) * vae.num_latents


def is_refinable(vae: VAE) -> bool:
    """Whether a normal can approach the model's posterior: latents are continuous, with a prior."""
    return vae.has_density and vae.config.posterior.kind != "enumerated"


def check_refinable(vae: VAE) -> None:
    """Refuse a model whose posterior a normal cannot approach.

    Raises:
        UnsupportedOperation: Latents are discrete, or there is no prior.
    """
    if vae.config.posterior.kind == "enumerated":
        why = "this model's latents are discrete, and their posterior is exact already"
        fix = "Use inference='amortised'"
    elif not vae.has_density:
        why, fix = "this model is an autoencoder, which has no prior", "Choose a VAE"
    else:
        return
    raise UnsupportedOperation(
        f"inference='refined' cannot be used: {why}. {fix}.",
        parameter="inference",
        received="refined",
    )


@torch.no_grad()
def refined_log_px_steps(
    vae: VAE,
    x: Float[Tensor, "batch channel height width"],
    *,
    num_samples: int,
    seed: int,
    first_item: int = 0,
    chunk_rows: int = CHUNK_ROWS,
    y: Tensor | None = None,
    report: Report | None = None,
) -> Steps[EvidenceEstimate]:
    """Estimate log p(x), or log p(x|y), by a refined proposal, in steps.

    Args:
        vae: The model, in eval mode.
        x: Observations; their support is checked first.
        num_samples: K, fresh draws of the refined proposal for each datum.
        seed: Seed of the noise streams; datum i uses item `first_item + i`.
        first_item: Position of the first datum in the request or data set.
        chunk_rows: Largest number of decoder rows per pass; does not change the result.
        y: Labels, for log p(x|y). A model with labels that is given none sums over them: each
            datum has a proposal for every label, and the same noise for all of these.
        report: Told the running estimate of the fresh draws.

    Returns:
        The estimate, with both gaps, as the generator's value.

    Raises:
        InputError: No samples, observations outside the support, or invalid labels.
        UnsupportedOperation: `check_refinable` says for which models.
    """
    check_num_samples(num_samples)
    sampling = Sampling((num_samples,), seed, first_item, chunk_rows, report)
    rows, modes = yield from refined_rows_steps(vae, x, y, seed=seed, first_item=first_item)
    return (yield from score_modes_steps(vae, x, y, rows, modes, sampling))


def score_modes_steps(
    vae: VAE, x: Tensor, y: Tensor | None, rows: Rows, modes: Modes, sampling: Sampling
) -> Steps[EvidenceEstimate]:
    """Score each datum by fresh draws of the proposals that `refined_rows_steps` found."""
    proposal, elbo = modes_proposal(vae, x, rows, modes)
    (estimate,) = yield from sample_weights(x, proposal, sampling)
    bound = rows.expect(elbo.mean(), axis=0)
    if rows.label_kl_nats is not None:
        bound = bound - rows.label_kl_nats
    amortised = yield from elbo_steps(
        vae,
        x,
        y=y,
        num_samples=ELBO_SAMPLES,
        seed=sampling.seed,
        first_item=sampling.first_item,
        chunk_rows=sampling.chunk_rows,
    )
    return replace(
        estimate,
        inference="refined",
        elbo_nats=bound,
        gap_lower_bound_nats=estimate.estimate_nats - bound,
        amortised_elbo_nats=amortised.elbo_nats,
        amortisation_gap_nats=bound - amortised.elbo_nats,
        num_modes=count_modes(rows, modes),
    )


def modes_proposal(
    vae: VAE, x: Tensor, rows: Rows, modes: Modes
) -> tuple[Proposal, "_SelfNormalised"]:
    """The proposal of each datum, and the refined ELBO of each row by the draws that are taken."""
    refined = modes.proposal(vae, rows.x, rows.y)
    elbo = _SelfNormalised(len(rows.x))

    def log_weights(draws: Tensor) -> Steps[Tensor]:
        z = refined.from_noise(rows.repeat(draws).cpu()).to(x)
        shaped = z.unflatten(-1, vae.latent_shape)
        log_px = yield from log_likelihood_steps(vae, shaped, rows.x, rows.y)
        log_joint = (log_px + vae.prior(rows.y).log_prob(shaped)).double().cpu()
        at = z.double().cpu()
        log_r, log_q = refined.log_prob(at), refined.log_q(at)
        elbo.add(log_q - log_r, log_joint - log_q)
        log_w = log_joint - log_r
        return log_w if rows.log_q is None else _sum_over_labels(vae, log_w)

    return Proposal("iwae", refined.noise, "proposal", len(rows.x), log_weights), elbo


def _sum_over_labels(vae: VAE, log_w: Tensor) -> Tensor:
    """log sum_y p(y) w_y in float64 on the CPU, (sample, batch)."""
    by_label: Tensor = log_w.unflatten(1, (vae.num_labels, -1)).movedim(1, -1)
    return (by_label + vae.log_label_prior.double().cpu()).contiguous().logsumexp(-1)


estimate_refined_log_px = without_steps(refined_log_px_steps)
"""log p(x) of each datum by a refined proposal; `refined_log_px_steps` explains the arguments."""


def refined_rows_steps(
    vae: VAE, x: Tensor, y: Tensor | None, *, seed: int, first_item: Items
) -> Steps[tuple[Rows, Modes]]:
    """The rows of a batch, and the modes of each: of a datum, or of a datum with one label.

    A model with labels that is given none has every datum with every label, averaged over
    q(y|x), proportional to p(y) times what the fits say of p(x|y).

    Raises:
        InputError: Observations outside the support, or invalid labels.
        UnsupportedOperation: `check_refinable` says for which models.
    """
    check_refinable(vae)
    vae.check_support(x, y)
    every = bool(vae.num_labels) and y is None
    at, labels = vae.every_label(x) if every else (x, y)
    q: Any = yield from posterior_steps(vae, at, labels)
    noise = BatchNoise(seed, len(x), "refinement", first_item=first_item)
    modes = yield from find_modes_steps(vae, at, labels, encoder_normals(q), noise)
    if not every:
        return Rows(x, y), modes
    by_label = modes.log_mass().unflatten(0, (vae.num_labels, -1)).T
    prior = vae.log_label_prior.double().cpu()
    return average_labels(vae, x, (by_label + prior).contiguous().log_softmax(-1)), modes


def take_items(
    vae: VAE, rows: Rows, modes: Modes, items: list[int], count: int
) -> tuple[Rows, Modes]:
    """Those of some of `count` data, in ascending order, with all labels that they have."""
    labels = len(rows.x) // count
    kept = torch.tensor([label * count + item for label in range(labels) for item in items])
    at = kept.to(rows.x.device)
    if rows.log_q is None:
        return Rows(rows.x[at], None if rows.y is None else rows.y[at]), modes.take(kept)
    return average_labels(vae, rows.x[at[: len(items)]], rows.log_q[items]), modes.take(kept)


def count_modes(rows: Rows, modes: Modes) -> tuple[int, ...]:
    """Number of modes of each datum; under its most probable label where these are summed over."""
    counts = modes.counts()
    if rows.log_q is None:
        return counts
    best: list[int] = rows.log_q.argmax(-1).tolist()
    return tuple(counts[label * len(best) + i] for i, label in enumerate(best))


class _SelfNormalised:
    """E_q[f] from draws of r: sum of f q/r over sum of q/r; q/r is bounded by r's shares."""

    def __init__(self, num_items: int) -> None:
        self.weights = torch.zeros(num_items, dtype=torch.float64)
        self.terms = self.weights.clone()

    def add(self, log_ratio: Tensor, values: Tensor) -> None:
        """Add draws, (sample, batch), one after the other."""
        for ratio, value in zip(log_ratio.exp(), values, strict=True):
            self.weights = self.weights + ratio
            self.terms = self.terms + torch.where(ratio > 0, ratio * value, torch.zeros_like(value))

    def mean(self) -> Tensor:
        """The weighted mean."""
        return self.terms / self.weights
