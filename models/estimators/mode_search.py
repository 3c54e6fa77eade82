"""Further modes of p(z|x): where searches from far away end, if not at the mode that is known.

A posterior that has missed a mode cannot tell from its own draws. So the search begins at draws of
the prior and at three standard deviations of q, in antithetic pairs, and climbs log p(x, z) by Adam
(arXiv:1412.6980) in units of q's scale.
"""

import math

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from models.distributions.from_noise import FromNoise
from models.estimators.factors import inverses, times, transposed
from models.estimators.normal_fit import Normals
from models.estimators.passes import slope_steps
from models.estimators.steps import Steps
from models.vae.model import VAE

PAIRS = 2
"""Antithetic pairs of starts from the prior, and as many from q."""
CLIMB_STEPS = 30
MAX_FURTHER = 3
"""Largest number of further modes that are looked at."""
NEGLIGIBLE_NATS = 7.0
"""A mode whose ELBO is lower by more adds less than 0.001 of p(x)."""
_TAIL_SCALES = 3.0
_RATE, _DECAYS, _TINY = 1.0, (0.8, 0.95), 1e-12
_MARGIN_NATS = 10.0
"""How far below the known mode's level of log p(x, z) a search may end: it stops near its mode."""


def climb_steps(
    vae: VAE,
    x: Tensor,
    y: Tensor | None,
    known: Normals,
    starts: Float64[Tensor, "start row latent"],
) -> Steps[tuple[Tensor, Tensor]]:
    """Climb log p(x, z) from each start: the end, and log p(x, z) a step before it, nats."""
    z, mean, square = starts, torch.zeros_like(starts), torch.zeros_like(starts)
    (first, second), is_matrix = _DECAYS, known.has_matrices
    for step in range(CLIMB_STEPS):
        log_joint, slope = yield from slope_steps(vae, z, x, y)
        back = transposed(known.factor, is_matrix=is_matrix)
        whitened = times(back, slope, is_matrix=is_matrix).nan_to_num()
        mean = first * mean + (1 - first) * whitened
        square = second * square + (1 - second) * whitened.square()
        unbiased = mean / (1 - first ** (step + 1))
        size = (square / (1 - second ** (step + 1))).sqrt() + _TINY
        rate = _RATE * 0.5 * (1 + math.cos(math.pi * step / CLIMB_STEPS))
        z = z + rate * times(known.factor, unbiased / size, is_matrix=is_matrix)
    return z, log_joint


def far_starts(
    known: Normals, prior: FromNoise, noise: Tensor, of_prior: Tensor
) -> Float64[Tensor, "start row latent"]:
    """Antithetic pairs of draws of the prior, and of points in q's far tails."""
    drawn = prior.from_noise(torch.cat([of_prior, -of_prior])).flatten(2).double().cpu()
    shift = _TAIL_SCALES * times(known.factor, noise, is_matrix=known.has_matrices)
    return torch.cat([drawn, known.loc + shift, known.loc - shift])


def candidates(
    known: Normals, ends: Float64[Tensor, "start row latent"], log_joint: Tensor
) -> tuple[Int64[Tensor, " found"], Float64[Tensor, "found latent"]]:
    """Ends that lie outside the known normal and high enough, with the row of each."""
    length, is_matrix = known.loc.shape[1], known.has_matrices
    inverse = inverses(known.factor, is_matrix=is_matrix)
    level = known.elbo_nats - known.entropy()
    radius = length + 4 * math.sqrt(2 * length)
    rows, found = [], []
    for row in range(len(known.loc)):
        centres = [known.loc[row]]
        for start in log_joint[:, row].argsort(descending=True, stable=True).tolist():
            end = ends[start, row]
            high = bool(log_joint[start, row] > level[row] - _MARGIN_NATS)
            noises = [times(inverse[row], end - c, is_matrix=is_matrix) for c in centres]
            apart = [noise.square().sum() > radius for noise in noises]
            if high and all(apart) and len(centres) <= MAX_FURTHER:
                centres.append(end)
                rows.append(row)
                found.append(end)
    places = torch.tensor(rows, dtype=torch.int64)
    return places, torch.stack(found) if found else known.loc[:0]
