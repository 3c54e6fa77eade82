"""What all likelihoods share: distributions over pixels, and the door that observations pass.

It holds no formula of any one likelihood (`bernoulli.py`, `discretized.py`, `likelihoods.py`). The
distributions do not look at their support again: the `Likelihood` modules check it once, at the
door (`check_support`), and say whether `log_prob` is the log of a mass or of a density (`is_mass`).
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution

from models.noise import NoiseKind

EVENT_DIM = 3
"""Channel, height, width."""


class PixelDistribution(Distribution):
    """What the distributions over (*batch, channel, height, width) share: shapes and noise."""

    noise_kind: NoiseKind = "uniform"
    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, batch_shape: torch.Size, event_shape: torch.Size) -> None:
        super().__init__(batch_shape, event_shape, validate_args=False)

    def noise_shape(self, sample_shape: Sequence[int] = ()) -> tuple[int, ...]:
        """Shape of the uniforms in [0, 1) that `from_noise` takes."""
        return (*sample_shape, *self.batch_shape, *self.event_shape)

    @abstractmethod
    def from_noise(self, noise: Tensor) -> Tensor:
        """The draw that the uniforms stand for."""

    def sample(self, sample_shape: Sequence[int] = torch.Size()) -> Tensor:
        """A draw with torch's ambient randomness; for tests."""
        mean = self.mean
        noise = torch.rand(self.noise_shape(sample_shape), dtype=mean.dtype, device=mean.device)
        return self.from_noise(noise)


def sum_event(terms: Tensor) -> Tensor:
    """Over channel, height and width."""
    return terms.flatten(-EVENT_DIM).sum(-1)
