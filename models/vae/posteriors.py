"""Posteriors q(z|x) by the kind that a config names: each turns an encoder's output into one.

diagonal_normal   N(z; m(x), diag(s(x))^2)
full_normal       N(z; m(x), T(x) T(x)')
bottom_up         q(z_1|x) q(z_2|z_1) ...: `hierarchy.py`
ladder            q(z_n|x) q(z_(n-1)|z_n, x) ...: `hierarchy.py`
enumerated        p(z = e_k | x) = pi_k p(x | e_k) / sum_j pi_j p(x | e_j), exact
point             an autoencoder's latent, no distribution
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from models.config import (
    DiagonalNormalConfig,
    EnumeratedConfig,
    FullNormalConfig,
    PointPosteriorConfig,
)
from models.distributions.elementwise import positive
from models.distributions.from_noise import FromNoise
from models.distributions.normals import DiagonalNormal, FullNormal
from models.distributions.one_hot import OneHot
from models.distributions.point import Point
from models.vae.hierarchy import BottomUpPosterior, LadderPosterior
from models.vae.parts import Posterior
from models.vae_config import VAEConfig


class DiagonalNormalPosterior(Posterior):
    """q(z|x) with a location and a scale for each dimension."""

    def __init__(self, config: DiagonalNormalConfig, vae: VAEConfig) -> None:
        super().__init__()
        self.event_dim = len(vae.latent_shape)
        self.params_shape = (2, *vae.latent_shape)

    def forward(self, params: Tensor, prior: Callable[[], FromNoise]) -> DiagonalNormal:
        """From (batch, 2, *latent_shape): locations, and scales before the softplus."""
        loc, raw_scale = params.unbind(1)
        return DiagonalNormal(loc, positive(raw_scale), event_dim=self.event_dim)


class FullNormalPosterior(Posterior):
    """q(z|x) with a location and a triangular factor of its covariance."""

    def __init__(self, config: FullNormalConfig, vae: VAEConfig) -> None:
        super().__init__()
        (length,) = vae.latent_shape
        self.params_shape = (2 + length, length)

    def forward(self, params: Tensor, prior: Callable[[], FromNoise]) -> FullNormal:
        """From (batch, 2 + latent, latent): locations, the factor's diagonal, and below it."""
        return FullNormal(params[:, 0], positive(params[:, 1]), params[:, 2:])


class EnumeratedPosterior(Posterior):
    """The exact p(z|x), from log p(x, e_k) of all K unit vectors."""

    params_shape = ()

    def __init__(self, config: EnumeratedConfig, vae: VAEConfig) -> None:
        super().__init__()

    def forward(self, params: Tensor, prior: Callable[[], FromNoise]) -> OneHot:
        """From log p(x, e_k), (batch, K)."""
        return OneHot(params)


class PointPosterior(Posterior):
    """An autoencoder's latent: the encoder's output itself."""

    def __init__(self, config: PointPosteriorConfig, vae: VAEConfig) -> None:
        super().__init__()
        self.params_shape = (1, *vae.latent_shape)
        self.event_dim = len(vae.latent_shape)

    def forward(self, params: Tensor, prior: Callable[[], FromNoise]) -> Point:
        """From (batch, 1, *latent_shape)."""
        return Point(params.squeeze(1), event_dim=self.event_dim)


POSTERIORS: dict[str, Callable[[Any, VAEConfig], Posterior]] = {
    "diagonal_normal": DiagonalNormalPosterior,
    "full_normal": FullNormalPosterior,
    "bottom_up": BottomUpPosterior,
    "ladder": LadderPosterior,
    "enumerated": EnumeratedPosterior,
    "point": PointPosterior,
}
