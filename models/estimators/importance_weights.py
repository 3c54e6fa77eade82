"""Importance weights, streamed: their sums, Pareto k and lower confidence bound.

Draws take turns among ten blocks. Five of these are the half that is diagnosed, the other five the
half from which intervals come, so that no diagnosis selects the draws of an interval.
"""

import math
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from models.estimators.betting import BinnedWeights
from models.estimators.pareto import pareto_shape, tail_length
from models.estimators.weight_sums import WeightSums

NUM_BLOCKS = 10
_PLACES = 32
"""Rows are padded to a multiple of it: at least the width of a processor's vector unit."""
_WAITING = 200
"""Samples that are taken into the sums at once: chunks of a few would cost more than decoding."""
_POWERS = torch.tensor([[1.0], [2.0], [3.0]], dtype=torch.float64)


class RunningWeights:
    """Running sums of w, w^2, w^3 and log w of each block, and the largest weights; all (batch,).

    Samples are added one after the other, so that chunk sizes do not change a bit.
    """

    def __init__(self, num_items: int, num_samples: int) -> None:
        """Start empty; `num_samples` is the final K, which sets the length of the tail."""
        self.count = 0
        self.num_items = num_items
        columns = num_items + -num_items % _PLACES
        self.log_sums = torch.full((NUM_BLOCKS, 3, columns), -math.inf, dtype=torch.float64)
        self.log_w_sums = torch.zeros((NUM_BLOCKS, columns), dtype=torch.float64)
        self.bets = BinnedWeights(num_items)
        self.tail_length = tail_length(_half(num_samples))
        self.waiting: list[Tensor] = []
        """Log-weights that the sums do not hold yet."""
        self.largest = torch.empty((0, num_items), dtype=torch.float64)

    def add(self, log_w: Float[Tensor, "sample batch"]) -> None:
        """Add the next log-weights, nats."""
        self.count += len(log_w)
        self.waiting.append(log_w.double().cpu())
        if sum(map(len, self.waiting)) >= _WAITING:
            self._take()

    def _take(self) -> None:
        """Take the waiting log-weights into the sums."""
        if not self.waiting:
            return
        log_w, self.waiting = torch.cat(self.waiting), []
        first = self.count - len(log_w)
        self.bets.add(log_w)
        both = torch.cat([self.largest, log_w[first % 2 :: 2]])
        self.largest = both.topk(min(self.tail_length + 1, len(both)), dim=0).values
        # Padded: torch rounds logaddexp otherwise in a tensor's last few places than before them.
        pad = (0, -self.num_items % _PLACES, first % NUM_BLOCKS, -self.count % NUM_BLOCKS)
        for turn in F.pad(log_w, pad, value=-math.inf).split(NUM_BLOCKS):
            self.log_sums = torch.logaddexp(self.log_sums, _POWERS * turn.unsqueeze(1))
        for turn in F.pad(log_w, pad).split(NUM_BLOCKS):
            self.log_w_sums = self.log_w_sums + turn

    def sums(self, first: int = 0, step: int = 1) -> WeightSums:
        """Sums over all draws, or over every `step`-th block from the `first` one."""
        self._take()
        blocks = range(first, NUM_BLOCKS, step)
        count = sum((self.count - block + NUM_BLOCKS - 1) // NUM_BLOCKS for block in blocks)
        log_sums = reduce(torch.logaddexp, self.log_sums[first::step])[:, : self.num_items]
        return WeightSums(count, *log_sums.unbind())

    def mean_log_weight(self) -> Tensor:
        """Mean of log w, nats."""
        self._take()
        total: Tensor = reduce(torch.add, self.log_w_sums)
        mean: Tensor = total[: self.num_items] / self.count
        return mean

    def bound_estimates(self) -> Float[Tensor, "5 batch"]:
        """Draws of the bound L_n by n = K / 10 weights, nats: one of each block not diagnosed."""
        blocks = range(1, NUM_BLOCKS, 2)
        return torch.stack([self.sums(block, NUM_BLOCKS).log_mean() for block in blocks])

    def diagnosed(self) -> WeightSums:
        """Sums of the half of the draws that is diagnosed: the first, the third, ..."""
        return self.sums(0, 2)

    def estimated(self) -> WeightSums:
        """Sums of the other half."""
        return self.sums(1, 2)

    def lower_bound(self) -> Tensor:
        """Lower confidence bound on the log of the expected weight, nats; see `betting`."""
        self._take()
        return self.bets.lower_bound()

    def pareto_k(self) -> Tensor:
        """Shape of a generalised Pareto distribution fitted to the diagnosed half's tail."""
        self._take()
        length = tail_length(_half(self.count))
        if length < 5:
            return torch.full((self.num_items,), math.nan, dtype=torch.float64)
        return pareto_shape(self.largest[: length + 1])


def _half(count: int) -> int:
    """Number of draws that are diagnosed."""
    return (count + 1) // 2
