"""A point: an autoencoder's latent or picture, which has no density."""

from typing import NoReturn

import torch
from torch import Tensor

from models.distributions.from_noise import FromNoise
from models.errors import UnsupportedOperation


class Point(FromNoise):
    """One point with all of the probability."""

    has_rsample = True

    def __init__(self, loc: Tensor, *, event_dim: int) -> None:
        """The point, (*batch, *event)."""
        self.loc = loc
        super().__init__(loc.shape, event_dim=event_dim)

    @property
    def mean(self) -> Tensor:
        return self.loc

    def from_noise(self, noise: Tensor, *, temperature: float = 1.0) -> Tensor:
        """The point, whatever the noise and the temperature."""
        return self.loc.expand(torch.broadcast_shapes(self.loc.shape, noise.shape))

    def log_prob(self, value: Tensor) -> NoReturn:
        """A point has no density.

        Raises:
            UnsupportedOperation: Always.
        """
        raise UnsupportedOperation(
            "This model is an autoencoder: it has no density and cannot score. Use a VAE."
        )
