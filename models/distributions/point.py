"""A point in the place of a distribution: what an autoencoder has; it has no density and no noise.

z = loc(x),    picture = loc(z)
"""

from collections.abc import Sequence
from typing import Any, ClassVar, NoReturn

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from models.config import VAEConfig
from models.errors import UnsupportedOperation
from models.noise import NoiseKind


class Point(Distribution):
    """All there is lies in one place."""

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.real
    noise_kind: NoiseKind = "normal"

    def __init__(self, loc: Tensor, *, event_dim: int) -> None:
        """Keep the place, (*batch, *event)."""
        self.loc = loc
        split = loc.ndim - event_dim
        super().__init__(loc.shape[:split], loc.shape[split:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """`loc`."""
        return self.loc

    def noise_shape(self, sample_shape: Sequence[int] = ()) -> tuple[int, ...]:
        """Nothing is drawn; the shape of what is returned."""
        return (*sample_shape, *self.batch_shape, *self.event_shape)

    def from_noise(self, noise: Tensor) -> Tensor:
        """The point, whatever the noise."""
        return self.loc.expand(torch.broadcast_shapes(self.loc.shape, noise.shape))

    def log_prob(self, value: Tensor) -> NoReturn:
        """Refused: a point has no density.

        Raises:
            UnsupportedOperation: Always.
        """
        raise UnsupportedOperation(
            "A score needs a density; this autoencoder has points, so that every picture but one "
            "would have probability zero. Train a VAE."
        )


class PointPosterior(nn.Module):
    """Turns an encoder's output into the latent itself."""

    def __init__(self, config: VAEConfig) -> None:
        """Remember the latent's shape; there is nothing to learn here."""
        super().__init__()
        self.params_shape = (1, *config.latent_shape)
        self.event_dim = len(config.latent_shape)

    def forward(self, params: Tensor, prior: nn.Module | None) -> Point:
        """From (batch, 1, *latent_shape)."""
        return Point(params.squeeze(1), event_dim=self.event_dim)
