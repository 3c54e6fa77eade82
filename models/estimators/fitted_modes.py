"""The modes of p(z|x) that are found from the encoder's q(z|x), each with a normal of its own.

    1. a normal N(m, T T') fitted to p(z|x) by `normal_fit`, from the encoder's mean and scale
    2. further modes, by `mode_search`, each with a normal fitted to it

Their mixture, with defensive shares, is a proposal: `defensive.DefensiveMixture`.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.distributions.batch_noise import BatchNoise, Items
from models.estimators.defensive import DefensiveMixture
from models.estimators.mode_search import (
    NEGLIGIBLE_NATS,
    PAIRS,
    candidates,
    climb_steps,
    far_starts,
)
from models.estimators.normal_fit import DIAGONAL_PAIRS, MAX_STEPS, Normals, distinct, fit_steps
from models.estimators.passes import posterior_steps, slope_steps
from models.estimators.steps import Steps
from models.vae.model import VAE

MAX_FULL = 512
"""Latents up to which a normal has a full covariance, of 2 L decodings a step; above, a diagonal
one, of `DIAGONAL_PAIRS` pairs."""


def num_vectors(vae: VAE) -> int:
    """Half of the points of a fit's step."""
    return vae.num_latents if vae.num_latents <= MAX_FULL else DIAGONAL_PAIRS


@dataclass
class Modes:
    """Normals of several modes of each datum: the encoder's first, then the further ones."""

    first: Normals
    further: Normals
    rows: Tensor
    """Datum of each further normal."""

    def take(self, rows: Tensor) -> "Modes":
        """Those of some of the data, in ascending order."""
        kept = torch.isin(self.rows, rows)
        return Modes(
            self.first.take(rows),
            self.further.take(kept),
            torch.searchsorted(rows, self.rows[kept]),
        )

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

    def log_mass(self) -> Tensor:
        """What the ELBOs of the modes say of log p(x), (batch,)."""
        return self._kept_elbos().logsumexp(-1)

    def _log_shares(self) -> Tensor:
        """log a_j, (batch, mode); -inf where there is no such mode, or its mass is negligible."""
        elbo = self._kept_elbos()
        return (elbo - elbo.amax(1, keepdim=True)).log_softmax(-1)

    def _kept_elbos(self) -> Tensor:
        """The modes' ELBOs, (batch, mode); -inf where there is none, or its mass is negligible."""
        elbo = self._by_datum(self.first.elbo_nats, self.further.elbo_nats)
        is_there = torch.zeros_like(elbo, dtype=torch.bool)
        is_there[:, 0] = True
        is_there[self.rows, self._places()] = True
        elbo = elbo.nan_to_num(nan=0.0, neginf=-1e300)
        best = torch.where(is_there, elbo, -math.inf).amax(1, keepdim=True)
        kept = is_there & (elbo >= best - NEGLIGIBLE_NATS)
        return torch.where(kept, elbo, -math.inf)

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
    return (yield from find_modes_steps(vae, x, y, encoder_normals(q), noise))


def encoder_normals(q: Any) -> Normals:
    """The encoder's q(z|x), where a fit begins."""
    loc, scale = q.mean.flatten(1).double().cpu(), q.scale.flatten(1).double().cpu()
    factor = torch.diag_embed(scale) if loc.shape[1] <= MAX_FULL else scale
    return Normals(loc, factor, torch.full_like(loc[:, 0], -math.inf))


def find_modes_steps(
    vae: VAE, x: Tensor, y: Tensor | None, encoder: Normals, noise: BatchNoise
) -> Steps[Modes]:
    """Fit a normal from the encoder's, and one at every further mode that is found.

    Rows that are labels of one datum take its noise, every row the same.
    """
    turns, *of_search = _noise_of_rows(vae, x, y, noise)
    turns = turns.transpose(0, 1)
    first = yield from fit_steps(vae, x, y, encoder, turns)
    rows, found = yield from _search_steps(vae, x, y, first, *of_search)
    if not len(rows):
        return Modes(first, first.take(rows), rows)
    at = rows.to(x.device)
    start = Normals(found, first.factor[rows], torch.full_like(found[:, 0], -math.inf))
    labels = None if y is None else y[at]
    known = first.take(rows)
    further = yield from fit_steps(vae, x[at], labels, start, turns[rows], known)
    apart = distinct(known, further) & further.elbo_nats.isfinite()
    return Modes(first, further.take(apart), rows[apart])


def _noise_of_rows(
    vae: VAE, x: Tensor, y: Tensor | None, noise: BatchNoise
) -> tuple[Tensor, Tensor, Tensor]:
    """Noise of the fits' points, and of the search's starts from q and from the prior."""
    turns, tails, of_prior = (
        drawn.repeat(1, len(x) // drawn.shape[1], *[1] * (drawn.ndim - 2))
        for drawn in (
            noise.draw(MAX_STEPS, (num_vectors(vae), vae.num_latents), dtype=torch.float64),
            noise.draw(PAIRS, (vae.num_latents,), dtype=torch.float64),
            noise.draw(PAIRS, vae.prior(y).noise_event_shape, dtype=x.dtype),
        )
    )
    return turns, tails, of_prior.to(x.device)


def _search_steps(
    vae: VAE, x: Tensor, y: Tensor | None, known: Normals, tails: Tensor, of_prior: Tensor
) -> Steps[tuple[Tensor, Tensor]]:
    """Rows with candidates of further modes, and these."""
    starts = far_starts(known, vae.prior(y), tails, of_prior)
    ends, log_joint = yield from climb_steps(vae, x, y, known, starts)
    return candidates(known, ends, log_joint)


def has_further_modes_steps(
    vae: VAE, x: Tensor, y: Tensor | None, *, seed: int, first_item: Items
) -> Steps[tuple[bool, ...]]:
    """Whether a search finds a mode of each datum outside of the encoder's q(z|x), without a fit.

    What stands outside of a q that is too narrow counts as one too.
    """
    every = bool(vae.num_labels) and y is None
    at, labels = vae.every_label(x) if every else (x, y)
    q: Any = yield from posterior_steps(vae, at, labels)
    known = encoder_normals(q)
    log_joint, _ = yield from slope_steps(vae, known.loc.unsqueeze(0), at, labels)
    noise = BatchNoise(seed, len(x), "refinement", first_item=first_item)
    _, *further = _noise_of_rows(vae, at, labels, noise)
    known.elbo_nats = log_joint[0] + known.entropy()
    rows, _ = yield from _search_steps(vae, at, labels, known, *further)
    found = {row % len(x) for row in rows.tolist()}
    return tuple(i in found for i in range(len(x)))
