"""Likelihoods p(x|z): normalised distributions over observations, by the kind that a config names.

    bernoulli, continuous_bernoulli             `bernoulli.py`      binary pixels, greys in [0, 1]
    discretized_logistic, discretized_normal    `discretized.py`    integers 0..levels-1
    normal              N(x; m, t^2)            here                real numbers
    point               no distribution         here                an autoencoder's picture

m is a location, t a scale. What they share is in `pixels.py`.
"""

import math

import torch
from torch import Tensor, nn

from models.config import NormalConfig, PointConfig
from models.distributions.bernoulli import BernoulliLikelihood, ContinuousBernoulliLikelihood
from models.distributions.discretized import (
    DiscretizedLogisticLikelihood,
    DiscretizedNormalLikelihood,
)
from models.distributions.from_noise import EVENT_DIM, Likelihood
from models.distributions.normals import DiagonalNormal, positive
from models.distributions.point import Point


class NormalLikelihood(Likelihood):
    """p(x|z) of real pixels on the unit scale, whose own scale `NormalConfig.scale` says."""

    is_mass = False
    support_words = "the finite real numbers"

    def __init__(self, config: NormalConfig, image_shape: tuple[int, int, int]) -> None:
        """A location per element, and what the scale needs of the decoder."""
        super().__init__()
        self.channels = image_shape[0]
        self.scale = config.scale
        decoded = {"per_image": 1, "per_pixel": self.channels}.get(config.scale, 0)
        self.num_params = self.channels + decoded
        if config.scale == "learned":
            self.raw_scale = nn.Parameter(torch.zeros(()))
        self.fixed_scale = config.fixed_scale
        # softplus(raw + start) begins at fixed_scale when the network's output begins at 0.
        self._start = config.fixed_scale + math.log(-math.expm1(-config.fixed_scale))

    def forward(self, params: Tensor) -> DiagonalNormal:
        """From (*batch, num_params, height, width)."""
        loc, raw = params.split([self.channels, self.num_params - self.channels], dim=-3)
        if self.scale == "fixed":
            return DiagonalNormal(loc, loc.new_tensor(self.fixed_scale), event_dim=EVENT_DIM)
        if self.scale == "learned":
            raw = self.raw_scale
        if self.scale == "per_image":
            raw = raw.flatten(-EVENT_DIM).mean(-1)[..., None, None, None]
        return DiagonalNormal(loc, positive(raw + self._start), event_dim=EVENT_DIM)

    def support_mask(self, x: Tensor) -> Tensor:
        """Finite."""
        return x.isfinite()


class PointLikelihood(Likelihood):
    """No distribution: the picture that belongs to an autoencoder's latent."""

    is_mass = False
    support_words = "the finite real numbers"

    def __init__(self, config: PointConfig, image_shape: tuple[int, int, int]) -> None:
        """One number per element."""
        super().__init__()
        self.num_params = image_shape[0]

    def forward(self, params: Tensor) -> Point:
        """Parameters are the picture."""
        return Point(params, event_dim=EVENT_DIM)

    def support_mask(self, x: Tensor) -> Tensor:
        """Finite."""
        return x.isfinite()


LIKELIHOODS: dict[str, type[Likelihood]] = {
    "bernoulli": BernoulliLikelihood,
    "continuous_bernoulli": ContinuousBernoulliLikelihood,
    "discretized_logistic": DiscretizedLogisticLikelihood,
    "discretized_normal": DiscretizedNormalLikelihood,
    "normal": NormalLikelihood,
    "point": PointLikelihood,
}
