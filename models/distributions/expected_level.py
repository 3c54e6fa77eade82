"""Mean of a discretized logistic, without a sum over all of its levels.

    E[k] = sum over the edges e_j, j = 1..levels-1, of P(k >= j) = s((m - e_j) / t)

m is the location, t the scale, s the logistic function. Of a narrow logistic only the terms near m
are neither 0 nor 1; for a wide one the sum is an integral and a correction at its ends.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from models.distributions.elementwise import polynomial

_WIDE = 2.0
"""Smallest scale, in levels, for which the integral is taken."""
_ONE_BY_ONE = 8
_ORDERS = 4
"""Edges summed one by one on either side; powers of exp(-8 / 2) in the series of the others."""
_MIDPOINT = (
    (-1 / 24, (1.0,)),
    (7 / 5760, (1.0, -6.0)),
    (-31 / 967680, (1.0, -30.0, 120.0)),
    (127 / 154828800, (1.0, -126.0, 1680.0, -5040.0)),
)
"""-(1 - 2^(1-2m)) B_2m / (2m)!, B the Bernoulli numbers, and s^(2m-1) / s' in powers of s'."""


def expected_level(loc: Tensor, scale: Tensor, levels: int) -> Tensor:
    """E[k], elementwise, to 1e-8 levels; rounding is below 20 epsilon x levels.

    Args:
        loc: Location on the scale where level 0 is -1 and the highest level is 1.
        scale: On the same scale, > 0.
        levels: Number of levels.

    Returns:
        From 0 to levels - 1, rising with `loc` up to rounding.
    """
    edges = levels - 1
    u, t = (loc + 1) * (edges / 2), scale * (edges / 2)  # in levels: edge j lies at j - 1/2
    wide = t >= _WIDE
    by_edges = _sum_over_edges(u, torch.where(wide, _WIDE, t), edges)
    by_integral = _integral(u, torch.where(wide, t, _WIDE), edges)
    return torch.where(wide, by_integral, by_edges).clamp(0, edges)


def _sum_over_edges(u: Tensor, t: Tensor, edges: int) -> Tensor:
    """The number of edges below u, corrected by the edges near it.

    An edge i levels beyond the nearest one adds z / (1 + z), z = y exp(-i / t), on either side. For
    the far ones it is z - z^2 + z^3 - ..., and each power is a geometric series over the edges.
    """
    passed = (u + 0.5).floor().clamp(0, edges)
    nearest = torch.stack([passed + 0.5 - u, u - passed + 0.5])  # above and below u
    count = torch.stack([edges - passed, passed])
    z, decay = (-nearest.clamp_min(0) / t).exp(), (-1 / t).exp()
    total = torch.zeros_like(z)
    for i in range(min(_ONE_BY_ONE, edges)):
        total = total + torch.where(i < count, z / (1 + z), 0)
        z = z * decay
    end = z * (-(count - _ONE_BY_ONE).clamp_min(0) / t).exp()  # z of the first edge that is not
    power, end_power, ratio = z, end, decay
    for order in range(1, _ORDERS + 1):
        series = (power - end_power) / (1 - ratio)
        total = total + series if order % 2 else total - series
        power, end_power, ratio = power * z, end_power * end, ratio * decay
    return passed + total[0] - total[1]


def _integral(u: Tensor, t: Tensor, edges: int) -> Tensor:
    """The midpoint rule with its ends corrected: t softplus(a) + g(a) - t softplus(b) - g(b).

    a = u / t, b = (u - edges) / t, g = sum over m of c_m s^(2m-1) / t^(2m-1). The nearer end is
    taken for a, and the difference of softplus in one piece, so that nothing cancels.

    Source: Euler and Maclaurin's formula, DLMF 2.10.1, at the midpoints, DLMF 24.4.27.
    """
    far_half = u > edges / 2
    u = torch.where(far_half, edges - u, u)
    a, b = u / t, (u - edges) / t
    log_ratio = torch.log(-torch.expm1(-edges / t)) + F.logsigmoid(-b)
    total = -t * F.logsigmoid(-(a + log_ratio)) + _end_terms(a, t) - _end_terms(b, t)
    return torch.where(far_half, edges - total, total)


def _end_terms(x: Tensor, t: Tensor) -> Tensor:
    """g at one end."""
    x = x.abs()
    slope = (2 * F.logsigmoid(x) - x).exp()  # s' = s(x) s(-x)
    total = torch.zeros_like(slope)
    for factor, derivative in reversed(_MIDPOINT):
        total = total / t.square() + factor * polynomial(slope, derivative)
    return total * slope / t
