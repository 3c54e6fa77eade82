"""Approximate posteriors q(z|x): modules that turn an encoder's output into a distribution.

They hold no encoder network (`networks.py`) and compute no bound (`bounds.py`).

    diagonal_normal, full_normal   `normals.py`
    bottom_up, ladder              `hierarchy.py`
    enumerated                     `categorical.py`
    point                          `point.py`
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from models.config import VAEConfig
from models.distributions.elementwise import positive
from models.distributions.normals import DiagonalNormal, FullNormal
from models.distributions.one_hot import OneHot
from models.distributions.point import Point
from models.vae.hierarchy import BottomUpPosterior, LadderPosterior
from models.vae.networks import Shape


class DiagonalNormalPosterior(nn.Module):
    """Turns an encoder's output into q(z|x): a location and a positive scale per dimension."""

    def __init__(self, config: VAEConfig) -> None:
        """Remember the latent's shape; there is nothing to learn here."""
        super().__init__()
        self.event_dim = len(config.latent_shape)
        self.params_shape: Shape = (2, *config.latent_shape)

    def forward(self, params: Tensor, prior: nn.Module | None) -> DiagonalNormal:
        """From (batch, 2, *latent_shape): locations, and scales before the softplus."""
        loc, raw_scale = params.unbind(1)
        return DiagonalNormal(loc, positive(raw_scale), event_dim=self.event_dim)


class FullNormalPosterior(nn.Module):
    """Turns an encoder's output into q(z|x): a location and a triangular factor."""

    def __init__(self, config: VAEConfig) -> None:
        """Remember the latent's length; there is nothing to learn here."""
        super().__init__()
        (length,) = config.latent_shape
        self.params_shape: Shape = (2 + length, length)

    def forward(self, params: Tensor, prior: nn.Module | None) -> FullNormal:
        """From (batch, 2 + latent, latent): locations, the factor's diagonal, and below it."""
        return FullNormal(params[:, 0], positive(params[:, 1]), params[:, 2:])


class EnumeratedPosterior(nn.Module):
    """p(z|x) itself, from log p(x, e_k) of all K components."""

    params_shape: Shape = ()

    def __init__(self, config: VAEConfig) -> None:
        """There is nothing to learn here."""
        super().__init__()

    def forward(self, params: Tensor, prior: nn.Module | None) -> OneHot:
        """From log p(x, e_k), (batch, K)."""
        return OneHot(params)


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


# Each says which `params_shape` it takes from the encoder.
POSTERIORS: dict[str, Callable[[VAEConfig], Any]] = {
    "diagonal_normal": DiagonalNormalPosterior,
    "full_normal": FullNormalPosterior,
    "bottom_up": BottomUpPosterior,
    "ladder": LadderPosterior,
    "enumerated": EnumeratedPosterior,
    "point": PointPosterior,
}
