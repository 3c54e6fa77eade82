"""The Pareto diagnostic of importance weights: how heavy their upper tail is."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

CONSTANT_WEIGHTS = 1e-4
"""Relative spread of the tail below which its weights count as constant."""


def tail_length(num_samples: int) -> int:
    """min(K/5, 3 sqrt(K)), rounded up: the number of weights in the tail (Vehtari et al. 2024)."""
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
    """The shape of one datum, (tail, 1): sums over several data would take another order."""
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
