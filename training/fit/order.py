"""In which order a run sees its images, as a function of (seed, step); it reads none of them."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from training.fit.objectives import At


@dataclass(frozen=True)
class Plan:
    """How many steps a run has, and which images each of them takes.

    The last, incomplete batch of an epoch is left out; another epoch leaves out other images.
    """

    count: int
    """Training images."""
    batch_size: int
    """Images a step; never more than there are."""
    epochs: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in an epoch."""
        return self.count // self.batch_size

    @property
    def num_steps(self) -> int:
        """Steps in the run."""
        return self.epochs * self.steps_per_epoch

    def at(self, step: int) -> At:
        """Where in the run a step is."""
        return At(step=step, epoch=step / self.steps_per_epoch, progress=step / self.num_steps)

    def batches(self, *, start: int) -> Iterator[Int64[Tensor, " batch"]]:
        """Positions of the images of each step from one on.

        Each epoch is a permutation made by (seed, epoch) alone.
        """
        order, order_epoch = torch.empty(0, dtype=torch.int64), -1
        for step in range(start, self.num_steps):
            epoch, within = divmod(step, self.steps_per_epoch)
            if epoch != order_epoch:
                generator = torch.Generator().manual_seed(derive_seed(self.seed, -1 - epoch))
                order, order_epoch = torch.randperm(self.count, generator=generator), epoch
            yield order[within * self.batch_size : (within + 1) * self.batch_size]


def derive_seed(seed: int, position: int) -> int:
    """One 63-bit seed for a seed and a position, far from its neighbours'.

    Source: the finaliser of SplitMix64, Steele, Lea and Flood 2014.
    """
    mask = 2**64 - 1
    value = (seed * 0x9E3779B97F4A7C15 + position * 0xD1342543DE82EF95 + 0x632BE59BD9B4E019) & mask
    value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) & mask
    value = ((value ^ value >> 27) * 0x94D049BB133111EB) & mask
    return (value ^ value >> 31) >> 1
