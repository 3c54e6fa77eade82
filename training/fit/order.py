"""The order in which a run sees its images: a function of (seed, step)."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from training.fit.objectives import Position


@dataclass(frozen=True)
class Annealing:
    """The weight of the KL: linear from 0 to 1 over a warm-up, then 1; in each cycle anew.

    Source: Bowman et al. 2016, arXiv:1511.06349, section 3.1; cycles: Fu et al. 2019,
        arXiv:1903.10145.
    """

    warmup_epochs: float = 0.0
    cycle_epochs: float = float("inf")
    """Epochs of a cycle; each begins with the warm-up."""

    def weight(self, epoch: float) -> float:
        """The weight at an epoch and its fraction."""
        within = epoch % self.cycle_epochs
        return min(1.0, within / self.warmup_epochs) if self.warmup_epochs > 0 else 1.0


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
    annealing: Annealing = Annealing()
    max_steps: int = 0
    """Most steps, where the epochs have more; 0 for all of theirs."""

    @property
    def steps_per_epoch(self) -> int:
        return self.count // self.batch_size

    @property
    def num_steps(self) -> int:
        steps = self.epochs * self.steps_per_epoch
        return min(steps, self.max_steps or steps)

    def epoch_of(self, step: int) -> int:
        """The epoch, from 1 on, to which the last of so many steps belongs."""
        return -(-step // self.steps_per_epoch)

    def at(self, step: int) -> Position:
        """The position of a step in the run."""
        epoch = step / self.steps_per_epoch
        return Position(step, epoch, step / self.num_steps, self.annealing.weight(epoch))

    def batches(
        self, *, start: int, device: torch.device | str = "cpu"
    ) -> Iterator[Int64[Tensor, " batch"]]:
        """Positions of the images of each step, from step `start` on, on a device.

        Each epoch is a permutation that depends on (seed, epoch) alone.
        """
        order, order_epoch = torch.empty(0, dtype=torch.int64), -1
        for step in range(start, self.num_steps):
            epoch, within = divmod(step, self.steps_per_epoch)
            if epoch != order_epoch:
                generator = torch.Generator().manual_seed(derive_seed(self.seed, -1 - epoch))
                order = torch.randperm(self.count, generator=generator).to(device)
                order_epoch = epoch
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
