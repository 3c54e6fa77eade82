"""Mean and variance of streamed samples, in float64."""

import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass
class RunningMoments:
    """Mean and squared deviations of chunks of samples, merged as they come, in float64.

    Source: Chan, Golub and LeVeque 1979, updating formulae for sample variances.
    """

    count: int = 0
    mean: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    squares: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))

    def add(self, values: Float[Tensor, "sample batch *group"]) -> None:
        """Add the next samples, one after the other so that chunk sizes do not matter."""
        for row in values.double().cpu():
            self.count += 1
            delta = row - self.mean
            self.mean = self.mean + delta / self.count
            self.squares = self.squares + delta * (row - self.mean)

    def standard_error(self) -> Tensor:
        """Standard error of the mean; NaN for fewer than two samples."""
        if self.count < 2:
            return torch.full_like(self.mean, math.nan)
        return (self.squares / (self.count - 1) / self.count).sqrt()
