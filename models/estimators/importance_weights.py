"""Importance weights, streamed: their sums, Pareto k and lower confidence bound.

Draws take turns among ten blocks. Five of these are the half that is diagnosed, the other five the
half from which intervals come, so that no diagnosis selects the draws of an interval.
"""

import math
from copy import deepcopy
from functools import reduce

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from models.estimators.betting import BinnedWeights
from models.estimators.pareto import pareto_shape, tail_length
from models.estimators.weight_sums import WeightSums

NUM_BLOCKS = 10
GROUP = 500
"""Draws that are taken into the sums at once, whatever the chunks: each call of a library takes
some microseconds, and one draw after the other took as long as half of their decoding."""
_POWERS = np.array([[1.0], [2.0], [3.0]])

Draws = Float64[np.ndarray, "draw batch"]


class RunningWeights:
    """Running sums of w, w^2, w^3 and log w of each block, and the largest weights; all (batch,).

    Groups of draws begin at multiples of `GROUP`, so that chunk sizes do not change a bit.
    """

    def __init__(self, num_items: int, num_samples: int) -> None:
        """Start empty; `num_samples` is the final K, which sets the length of the tail."""
        self.count = 0
        self.num_items = num_items
        self.log_sums = np.full((NUM_BLOCKS, 3, num_items), -np.inf)
        self.log_w_sums = np.zeros((NUM_BLOCKS, num_items))
        self.bets = BinnedWeights(num_items)
        self.tail_length = tail_length(_half(num_samples))
        self.largest = torch.empty((0, num_items), dtype=torch.float64)
        self.waiting: list[Tensor] = []
        """Log-weights of a group that is not complete."""

    def add(self, log_w: Float[Tensor, "sample batch"]) -> None:
        """Add the next log-weights, nats."""
        self.count += len(log_w)
        self.waiting.append(log_w.double().cpu())
        if sum(map(len, self.waiting)) < GROUP:
            return
        *groups, last = torch.cat(self.waiting).split(GROUP)
        if len(last) == GROUP:
            groups.append(last)
        self.waiting = [] if len(last) == GROUP else [last.clone()]
        for group in groups:
            self.log_sums, self.log_w_sums = self._summed_with(group)
            self.largest = self._largest_with(group)
            self.bets.add(group)

    def _rest(self) -> Float64[Tensor, "draw batch"]:
        """Log-weights that the sums do not hold yet."""
        return torch.cat([self.largest[:0], *self.waiting])

    def _summed_with(self, group: Float64[Tensor, "draw batch"]) -> tuple[np.ndarray, np.ndarray]:
        """Both sums with those of further draws."""
        log_sums, log_w_sums = _block_sums(group.numpy())
        with np.errstate(invalid="ignore"):  # of weights that are infinite
            return np.logaddexp(self.log_sums, log_sums), self.log_w_sums + log_w_sums

    def _largest_with(self, group: Float64[Tensor, "draw batch"]) -> Tensor:
        """The largest weights of the diagnosed half, with those of further draws."""
        both = torch.cat([self.largest, group[::2]])
        return both.topk(min(self.tail_length + 1, len(both)), dim=0).values

    def sums(self, first: int = 0, step: int = 1) -> WeightSums:
        """Sums over all draws, or over every `step`-th block from the `first` one."""
        log_sums, _ = self._summed_with(self._rest())
        blocks = range(first, NUM_BLOCKS, step)
        count = sum((self.count - block + NUM_BLOCKS - 1) // NUM_BLOCKS for block in blocks)
        with np.errstate(invalid="ignore"):
            chosen = reduce(np.logaddexp, log_sums[first::step])
        return WeightSums(count, *torch.from_numpy(chosen).unbind())

    def mean_log_weight(self) -> Tensor:
        """Mean of log w, nats."""
        _, log_w_sums = self._summed_with(self._rest())
        total: np.ndarray = reduce(np.add, log_w_sums)
        return torch.from_numpy(total / self.count)

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
        bets, rest = self.bets, self._rest()
        if len(rest):
            bets = deepcopy(bets)
            bets.add(rest)
        return bets.lower_bound()

    def pareto_k(self) -> Tensor:
        """Shape of a generalised Pareto distribution fitted to the diagnosed half's tail."""
        length = tail_length(_half(self.count))
        if length < 5:
            return torch.full((self.num_items,), math.nan, dtype=torch.float64)
        return pareto_shape(self._largest_with(self._rest())[: length + 1])


def _block_sums(
    log_w: Draws,
) -> tuple[Float64[np.ndarray, "block 3 batch"], Float64[np.ndarray, "block batch"]]:
    """log of the sums of w, w^2 and w^3 of each block, and sums of log w; block 0 begins.

    numpy adds along the first axis one row after the other, whatever the number of columns.
    """
    rounds = -(-len(log_w) // NUM_BLOCKS)
    short, shape = NUM_BLOCKS * rounds - len(log_w), (rounds, NUM_BLOCKS, log_w.shape[1])
    padded = np.pad(log_w, ((0, short), (0, 0)), constant_values=-np.inf).reshape(shape)
    of_logs = np.pad(log_w, ((0, short), (0, 0))).reshape(shape).sum(0)
    with np.errstate(all="ignore"):  # of weights that are zero, infinite or no numbers
        top = padded.max(0, initial=-np.inf)
        level = np.where(np.isfinite(top), top, 0.0)
        w = np.exp(padded - level)
        square = w * w
        sums = np.stack([w.sum(0), square.sum(0), (square * w).sum(0)], 1)
        return np.log(sums) + _POWERS * level[:, np.newaxis], of_logs


def _half(count: int) -> int:
    """Number of draws that are diagnosed."""
    return (count + 1) // 2
