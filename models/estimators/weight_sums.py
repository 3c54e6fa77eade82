"""What the sums of importance weights say: mean, effective sample size, error and intervals.

    T = (mean(w) - p(x)) / se,   c = skewness / sqrt(n)
    g(T) = T + c T^2 / 3 + c^2 T^3 / 27 + c / 6

g(T) is nearly a standard normal where T, of weights that are skewed to the right, is not: few draws
hold the largest weights, and a sample without them has a mean that is too small and an error that
is too small as well. What a transformation cannot mend makes p(x) lie above the interval, so that
nearly all of the 5 % is left to the other side.
"""

import math
from dataclasses import dataclass
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor

_BELOW, _ABOVE = 1.6497210637, 3.2905267315
"""Normal quantiles of 4.95 % (log p(x) below the interval) and 0.05 % (above it).

Chosen on half of the cases of docs/math.md, given that the weights look regular: equal shares of
2.5 % covered log p(x) in 76 to 96 % of the trials, and 0.5 % above in 86 to 96 %. The other half of
the cases confirms them.
"""
_T_BELOW, _T_ABOVE = 2.2777211316, 4.0879747881
"""Quantiles of Student's t with 4 degrees of freedom: 4.25 % below the interval, 0.75 % above it.

Bounds by few draws are skewed to the right too. Equal shares covered 89 to 95 % of the trials; how
often these cover is in docs/math.md.
"""
_LEAST_VARIANCE = 1e-8
"""Relative variance of the weights below which their skewness is rounding."""


@dataclass(frozen=True)
class WeightSums:
    """Logarithms of the sums of w, w^2 and w^3 over some draws, (batch,), float64."""

    count: int
    log_sum: Tensor
    log_squares: Tensor
    log_cubes: Tensor

    def log_mean(self) -> Tensor:
        """Log of the mean weight, nats."""
        if self.count == 0:
            return torch.full_like(self.log_sum, math.nan)
        return self.log_sum - math.log(self.count)

    def effective_sample_size(self) -> Tensor:
        """(sum w)^2 / sum w^2 (Kong 1992)."""
        return (2 * self.log_sum - self.log_squares).exp().clamp(1, max(1, self.count))

    def standard_error(self) -> Tensor:
        """Standard error of the log mean by the delta method; NaN for a single sample."""
        if self.count < 2:
            return torch.full_like(self.log_sum, math.nan)
        ratio = self.count / self.effective_sample_size()
        return ((ratio - 1) / (self.count - 1)).clamp_min(0).sqrt()

    def skewness(self) -> Tensor:
        """Skewness of the weights; 0 where they hardly vary."""
        squares = self.count * (self.log_squares - 2 * self.log_sum).exp()
        cubes = self.count**2 * (self.log_cubes - 3 * self.log_sum).exp()
        variance, third = squares - 1, cubes - 3 * squares + 2
        return torch.where(variance < _LEAST_VARIANCE, 0, third / (variance * variance.sqrt()))

    def log_px_interval(self) -> Float[Tensor, "batch 2"]:
        """Interval of the log of the expected weight, nats, aimed at 95 %: 4.95 % are below it.

        Source: Hall 1992, Journal of the Royal Statistical Society B 54(1), 221-228.
        """
        c = self.skewness() / math.sqrt(self.count)
        error = self.standard_error()
        low, high = (1 - error * _invert(c, z) for z in (_BELOW, -_ABOVE))
        return self.log_mean().unsqueeze(-1) + torch.stack([low, high], -1).clamp_min(0).log()


def _invert(c: Tensor, z: float) -> Tensor:
    """T at which g(T) = z."""
    flat = c.abs() < 1e-8
    safe = torch.where(flat, 1, c)
    base = 1 + safe * (z - safe / 6)
    # No power: torch rounds it otherwise in a tensor's last few places than before them.
    root = base.sign() * (base.abs().log() / 3).exp()
    return torch.where(flat, z, 3 / safe * (root - 1))


def t_interval(values: Float[Tensor, "5 batch"]) -> Float[Tensor, "batch 2"]:
    """Interval of the expectation of five values, aimed at 95 %, by Student's t: 4.25 % below."""
    count = len(values)  # one by one: torch's own sums round otherwise for a single datum
    mean = reduce(torch.add, values) / count
    squares = reduce(torch.add, (values - mean).square())
    error = (squares / (count - 1) / count).sqrt()
    return torch.stack([mean - _T_BELOW * error, mean + _T_ABOVE * error], -1)
