"""A lower confidence bound on log p(x) by betting, which needs only w >= 0 and E[w] = p(x).

    M(m) = mean_j prod_k (1 - l_j + l_j w_k / m),   l_j = 2^-1 ... 2^-11
    bound = sup{log m: M(m) >= 20}

At m = p(x) every product has expectation 1, so that M reaches 20 with probability 1/20 at most
(Ville), at whatever K one stops. No variance, tail or mode is assumed. M falls with m.

Weights are kept in bins of log w, as many as there are whatever K. A bin gives its mean log-weight
to each of its weights, which lowers M, since log(1 - l + l e^u / m) is convex in u: the bound
holds, and is less than 0.0005 nats below that of the weights themselves.
"""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

CONFIDENCE = 0.95
_FRACTIONS = 2.0 ** -np.arange(1, 12)
_BINS_PER_NAT = 16
_BINS = 48 * _BINS_PER_NAT
"""Weights more than 48 nats below the largest count as zero, which lowers the bound too."""
_UNITS = 2**20
"""Places within a bin: whole numbers, whose sums depend on no order."""
_MAX_EXPONENT = 600.0
"""Of w / m: more would overflow, and less lowers the bound."""
_MAX_STEPS = 200
_TOLERANCE_NATS = 1e-6
"""Of a step; Newton's next one is of the order of its square."""


class BinnedWeights:
    """Number and mean logarithm of the weights of each bin, exact for any order of the draws.

    Bin b holds b <= 16 log w < b + 1, and lies at place b mod 768 of a ring that follows the
    largest weight.
    """

    def __init__(self, num_items: int) -> None:
        """Start empty."""
        self.count = 0
        self.top = torch.full((num_items, 1), -math.inf, dtype=torch.float64)
        """Bin of the largest weight."""
        self.invalid = torch.zeros(num_items, dtype=torch.bool)
        """Whether a weight was NaN or infinite."""
        # One more place for the weights that count as zero.
        self.counts = torch.zeros((num_items, _BINS + 1), dtype=torch.int64)
        self.offsets = torch.zeros_like(self.counts)

    def add(self, log_w: Float[Tensor, "sample batch"]) -> None:
        """Add log-weights, nats, float64."""
        self.count += len(log_w)
        scaled = log_w.T * _BINS_PER_NAT
        faulty = ~(scaled < math.inf)
        self.invalid |= faulty.any(1)
        scaled = scaled.masked_fill(faulty, -math.inf)
        bins = scaled.floor()
        self._raise_top(bins.amax(1, keepdim=True))
        kept = self.top - bins < _BINS  # not of weights of zero: inf, or NaN while all are
        places = torch.where(kept, bins.remainder(_BINS), _BINS).long()
        within = torch.where(kept, (scaled - bins) * _UNITS, 0).long()
        self.counts.scatter_add_(1, places, torch.ones_like(places))
        self.offsets.scatter_add_(1, places, within)

    def _raise_top(self, largest: Tensor) -> None:
        """Empty the places of the bins that fall out of reach."""
        top = torch.maximum(self.top, largest)
        rise = (top - self.top).nan_to_num(0)
        if bool((rise > 0).any()):
            age = (top - torch.arange(_BINS, dtype=torch.float64)).remainder(_BINS)
            for held in (self.counts, self.offsets):
                held[:, :_BINS].masked_fill_(age < rise, 0)
        self.top = top

    def lower_bound(self) -> Tensor:
        """The bound, nats, (batch,); NaN after a log-weight that is no number, or +inf."""
        rows = [self._lower_bound(row) for row in range(len(self.top))]
        bounds = torch.tensor(rows, dtype=torch.float64)
        return bounds.masked_fill(self.invalid, math.nan)

    def _lower_bound(self, row: int) -> float:
        top = float(self.top[row])
        if math.isinf(top):
            return -math.inf
        held = self.counts[row, :_BINS].numpy()
        (places,) = held.nonzero()
        counts = held[places].astype(np.float64)
        within = self.offsets[row, :_BINS].numpy()[places] / _UNITS / counts
        # Relative to the largest weight's bin: no spread and no level of the weights overflows.
        log_w = (within - (top - places) % _BINS) / _BINS_PER_NAT
        return top / _BINS_PER_NAT + lower_bound(log_w, counts, self.count)


def lower_bound(log_w: np.ndarray, counts: np.ndarray, num_samples: int) -> float:
    """The bound of weights that come several times each; what is left of the samples is zero.

    log M is convex in log m, so that every step of Newton's method ends below the root: each
    iterate is a bound, and they rise.

    Args:
        log_w: Log-weights of at most 100 nats, float64, (bin,).
        counts: How often each comes, float64, (bin,).
        num_samples: K.

    Source: Waudby-Smith and Ramdas 2024, arXiv:2010.09686, section 4: a mixture of constant bets.
    """
    lost = num_samples * np.log1p(-_FRACTIONS) - math.log(len(_FRACTIONS) / (1 - CONFIDENCE))
    odds = (_FRACTIONS / (1 - _FRACTIONS))[:, np.newaxis]
    log_m = math.log(float((np.exp(log_w) * counts).sum()) / num_samples)
    for _ in range(_MAX_STEPS):
        gain = odds * np.exp((log_w - log_m).clip(max=_MAX_EXPONENT))
        log_products = (np.log(1 + gain) * counts).sum(1) + lost
        slopes = (gain / (1 + gain) * counts).sum(1)
        largest = log_products.max()
        shares = np.exp(log_products - largest)
        step = (largest + math.log(shares.sum())) * shares.sum() / float((shares * slopes).sum())
        log_m += step
        if abs(step) < _TOLERANCE_NATS:
            break
    return float(log_m)
