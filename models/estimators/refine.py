"""log p(x) by a proposal of each image's own, instead of the encoder's q(z|x).

    1. a normal N(m, T T') fitted to p(z|x) by `normal_fit`, from the encoder's mean and scale
    2. further modes, by `mode_search`, each with a normal of its own
    3. the mixture of them with defensive shares, `defensive.DefensiveMixture`
    4. fresh draws, which no fit has seen: log (1/K) sum_k p(x, z_k) / r(z_k)

    log p(x) - ELBO = approximation gap (log p(x) - refined ELBO: what no normal q reaches)
                      + amortisation gap (refined ELBO - ELBO: what the encoder leaves)

Source: Cremer, Li and Duvenaud 2018, arXiv:1801.03558.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from models.distributions.batch_noise import BatchNoise
from models.errors import UnsupportedOperation
from models.estimators.defensive import DefensiveMixture
from models.estimators.importance import (
    EvidenceEstimate,
    Proposal,
    Report,
    Sampling,
    sample_weights,
)
from models.estimators.mode_search import (
    CLIMB_STEPS,
    NEGLIGIBLE_NATS,
    PAIRS,
    candidates,
    climb_steps,
    distinct,
    far_starts,
)
from models.estimators.moments import RunningMoments
from models.estimators.normal_fit import MAX_STEPS, Normals, fit_steps
from models.estimators.passes import log_likelihood_steps, log_weights_steps, posterior_steps
from models.estimators.steps import (
    CHUNK_ROWS,
    Steps,
    check_num_samples,
    chunks,
    without_steps,
)
from models.vae.model import VAE

MAX_LATENTS = 128
"""A normal with a full covariance takes 2 L decodings a step, and L^3 operations."""
ELBO_SAMPLES = 100
"""Draws of the encoder's q(z|x) for its ELBO, and its error."""
_USUAL_STEPS = 9


def refine_rows(vae: VAE) -> int:
    """Decodings that a refinement of one image usually takes; one with a gradient counts twice."""
    return 2 * (_USUAL_STEPS * 2 * vae.num_latents + CLIMB_STEPS * 4 * PAIRS) + ELBO_SAMPLES


def check_refinable(vae: VAE, y: Tensor | None) -> None:
    """Refuse a model whose posterior a normal cannot approach.

    Raises:
        UnsupportedOperation: Latents are discrete, there is no prior, there are more than
            `MAX_LATENTS` latents, or a model with labels is given none.
    """
    if vae.config.posterior.kind == "enumerated":
        why = "this model's latents are discrete, and their posterior is exact already"
        fix = "Use estimator='exact'"
    elif not vae.has_density:
        why, fix = "this model is an autoencoder, which has no prior", "Choose a VAE"
    elif vae.num_latents > MAX_LATENTS:
        why = f"this model has {vae.num_latents} latents; at most {MAX_LATENTS} can be refined"
        fix = "Use inference='amortised'"
    elif vae.num_labels and y is None:
        why, fix = "this model has labels, and no label was given", "Give a label"
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
        y: Labels, for log p(x|y); a model with labels needs them.
        report: Told the running estimate of the fresh draws.

    Returns:
        The estimate, with both gaps, as the generator's value.

    Raises:
        InputError: No samples, observations outside the support, or invalid labels.
        UnsupportedOperation: `check_refinable` says for which models.
    """
    check_num_samples(num_samples)
    check_refinable(vae, y)
    vae.check_support(x, y)
    q: Any = yield from posterior_steps(vae, x, y)
    modes = yield from refined_modes_steps(vae, x, y, q, seed=seed, first_item=first_item)
    refined = modes.proposal(vae, x, y)
    amortised = yield from _encoder_elbo_steps(vae, x, y, q, seed, first_item, chunk_rows)
    elbo = _SelfNormalised(len(x))

    def log_weights(draws: Tensor) -> Steps[Tensor]:
        z = refined.from_noise(draws.cpu()).to(x)
        shaped = z.unflatten(-1, vae.latent_shape)
        log_px = yield from log_likelihood_steps(vae, shaped, x, y)
        log_joint = (log_px + vae.prior(y).log_prob(shaped)).double().cpu()
        at = z.double().cpu()
        log_r, log_q = refined.log_prob(at), refined.log_q(at)
        elbo.add(log_q - log_r, log_joint - log_q)
        return log_joint - log_r

    proposal = Proposal("iwae", refined.noise, "proposal", len(x), log_weights)
    sampling = Sampling((num_samples,), seed, first_item, chunk_rows, report)
    (estimate,) = yield from sample_weights(x, proposal, sampling)
    bound = elbo.mean()
    return replace(
        estimate,
        inference="refined",
        elbo_nats=bound,
        gap_lower_bound_nats=estimate.estimate_nats - bound,
        amortised_elbo_nats=amortised,
        amortisation_gap_nats=bound - amortised,
        num_modes=modes.counts(),
    )


estimate_refined_log_px = without_steps(refined_log_px_steps)
"""log p(x) of each datum by a refined proposal; `refined_log_px_steps` explains the arguments."""


@dataclass
class Modes:
    """Normals of several modes of each datum: the encoder's first, then the further ones."""

    first: Normals
    further: Normals
    rows: Tensor
    """Datum of each further normal."""

    def counts(self) -> tuple[int, ...]:
        """Number of modes of each datum."""
        counts = torch.isfinite(self._log_shares()).sum(1)
        return tuple(counts.tolist())

    def proposal(self, vae: VAE, x: Tensor, y: Tensor | None) -> DefensiveMixture:
        """Their mixture, each weighted by what its ELBO says of its mass, with defensive shares."""
        loc, factor = (
            self._by_datum(first, further)
            for first, further in (
                (self.first.loc, self.further.loc),
                (self.first.factor, self.further.factor),
            )
        )
        return DefensiveMixture(self._log_shares(), loc, factor, vae.prior(y), x[:0])

    def _log_shares(self) -> Tensor:
        """log a_j, (batch, mode); -inf where there is no such mode, or its mass is negligible."""
        elbo = self._by_datum(self.first.elbo_nats, self.further.elbo_nats)
        is_there = torch.zeros_like(elbo, dtype=torch.bool)
        is_there[:, 0] = True
        is_there[self.rows, self._places()] = True
        elbo = elbo.nan_to_num(nan=0.0, neginf=-1e300)
        best = torch.where(is_there, elbo, -math.inf).amax(1, keepdim=True)
        kept = is_there & (elbo >= best - NEGLIGIBLE_NATS)
        return torch.where(kept, elbo - best, -math.inf).log_softmax(-1)

    def _places(self) -> Tensor:
        """1, 2, ... of each further normal, within its datum."""
        rows = self.rows.tolist()
        return torch.tensor([1 + rows[:i].count(row) for i, row in enumerate(rows)]).long()

    def _by_datum(self, first: Tensor, further: Tensor) -> Tensor:
        """(batch, mode, ...): the first's value where there is no further one."""
        places = self._places()
        width = 1 + int(places.max()) if len(places) else 1
        whole = first.unsqueeze(1).repeat(1, width, *[1] * (first.ndim - 1))
        whole[self.rows, places] = further
        return whole


def refined_modes_steps(
    vae: VAE, x: Tensor, y: Tensor | None, q: Any, *, seed: int, first_item: int
) -> Steps[Modes]:
    """The modes of p(z|x) that are found from the encoder's q(z|x), each with a normal."""
    noise = BatchNoise(seed, len(x), "refinement", first_item=first_item)
    encoder = Normals(
        q.mean.flatten(1).double().cpu(),
        torch.diag_embed(q.scale.flatten(1).double().cpu()),
        torch.full((len(x),), -math.inf, dtype=torch.float64),
    )
    return (yield from find_modes_steps(vae, x, y, encoder, noise))


def find_modes_steps(
    vae: VAE, x: Tensor, y: Tensor | None, encoder: Normals, noise: BatchNoise
) -> Steps[Modes]:
    """Fit a normal from the encoder's, and one at every further mode that is found."""
    length, prior = vae.num_latents, vae.prior(y)
    turns = noise.draw(MAX_STEPS, (length, length), dtype=torch.float64).transpose(0, 1)
    tails = noise.draw(PAIRS, (length,), dtype=torch.float64)
    of_prior = noise.draw(PAIRS, prior.noise_event_shape, dtype=x.dtype).to(x.device)
    first = yield from fit_steps(vae, x, y, encoder, turns)
    starts = far_starts(first, prior, tails, of_prior)
    ends, log_joint = yield from climb_steps(vae, x, y, first, starts)
    rows, found = candidates(first, ends, log_joint)
    if not len(rows):
        return Modes(first, first.take(rows), rows)
    at = rows.to(x.device)
    start = Normals(found, first.factor[rows], torch.full_like(found[:, 0], -math.inf))
    labels = None if y is None else y[at]
    further = yield from fit_steps(vae, x[at], labels, start, turns[rows])
    apart = distinct(first.take(rows), further) & further.elbo_nats.isfinite()
    return Modes(first, further.take(apart), rows[apart])


def _encoder_elbo_steps(
    vae: VAE, x: Tensor, y: Tensor | None, q: Any, seed: int, first_item: int, chunk_rows: int
) -> Steps[Tensor]:
    """The ELBO of the encoder's own q(z|x), by `ELBO_SAMPLES` draws."""
    noise = BatchNoise(seed, len(x), "posterior", first_item=first_item)
    log_w = RunningMoments()
    for count in chunks(ELBO_SAMPLES, len(x), chunk_rows):
        draw = noise.draw_for(q, count, dtype=x.dtype).to(x.device)
        log_w.add((yield from log_weights_steps(vae, x, draw, y, posterior=q)))
    return log_w.mean


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
