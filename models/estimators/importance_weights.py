"""Importance weights, streamed: their mean, effective sample size, error and Pareto k."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from models.estimators.moments import RunningMoments
from models.estimators.pareto import pareto_shape, tail_length

_PLACES = 32
"""Rows are padded to a multiple of it: at least the width of a processor's vector unit."""


class RunningWeights:
    """Running sums of exp(log_w), exp(2 log_w) and log_w, and the largest weights; all (batch,).

    Samples are added one after the other, so that chunk sizes do not change a bit.
    """

    def __init__(self, num_items: int, num_samples: int) -> None:
        """Start empty; `num_samples` is the final K, which sets the length of the tail."""
        self.count = 0
        self.log_w = RunningMoments()
        self.log_sum = torch.full((num_items,), -math.inf, dtype=torch.float64)
        self.log_sum_squares = self.log_sum.clone()
        self.tail_length = tail_length(num_samples)
        self.largest = torch.empty((0, num_items), dtype=torch.float64)

    def add(self, log_w: Float[Tensor, "sample batch"]) -> None:
        """Add the next log-weights, nats."""
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
        """Standard error of the estimate by the delta method; NaN for a single sample."""
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
