"""The order in which a run sees its images: a function of (seed, step)."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from training.fit.objectives import Position


@dataclass(frozen=True)
class Plan:
    """The number of steps of a run, and the positions of the images of each step.

    The last, incomplete batch of an epoch is left out; which images that are changes by epoch.
    """

    count: int
    """Number of training images."""
    batch_size: int
    """Images per step, at most `count`."""
    epochs: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        return self.count // self.batch_size

    @property
    def num_steps(self) -> int:
        return self.epochs * self.steps_per_epoch

    def at(self, step: int) -> Position:
        """The position of a step in the run."""
        return Position(
            step=step, epoch=step / self.steps_per_epoch, progress=step / self.num_steps
        )

    def batches(self, *, start: int) -> Iterator[Int64[Tensor, " batch"]]:
        """Positions of the images of each step, from step `start` on.

        Each epoch is a permutation that depends on (seed, epoch) alone.
        """
        order, order_epoch = torch.empty(0, dtype=torch.int64), -1
        for step in range(start, self.num_steps):
            epoch, within = divmod(step, self.steps_per_epoch)
            if epoch != order_epoch:
                generator = torch.Generator().manual_seed(derive_seed(self.seed, -1 - epoch))
                order, order_epoch = torch.randperm(self.count, generator=generator), epoch
            yield order[within * self.batch_size : (within + 1) * self.batch_size]


def derive_seed(seed: int, position: int) -> int:
    """A 63-bit seed from a seed and a position, unrelated to those of neighbouring positions.

    Source: the finaliser of SplitMix64, Steele, Lea and Flood 2014.
    """
    mask = 2**64 - 1
    value = (seed * 0x9E3779B97F4A7C15 + position * 0xD1342543DE82EF95 + 0x632BE59BD9B4E019) & mask
    value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) & mask
    value = ((value ^ value >> 27) * 0x94D049BB133111EB) & mask
    return (value ^ value >> 31) >> 1
