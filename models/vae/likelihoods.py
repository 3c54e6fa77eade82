"""Likelihoods p(x|z) by the kind that a config names: each turns a decoder's output into one.

bernoulli               binary pixels
continuous_bernoulli    grey values in [0, 1]
discretized_logistic    integers 0..levels-1
discretized_normal      integers 0..levels-1
normal                  real numbers
point                   an autoencoder's picture, no distribution
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from models.config import (
    BernoulliConfig,
    ContinuousBernoulliConfig,
    DiscretizedLogisticConfig,
    DiscretizedNormalConfig,
    NormalConfig,
    PointConfig,
)
from models.distributions.bernoulli import Bernoulli, ContinuousBernoulli
from models.distributions.discretized import DiscretizedLogistic, DiscretizedNormal
from models.distributions.elementwise import positive
from models.distributions.from_noise import IMAGE_DIM
from models.distributions.normals import DiagonalNormal
from models.distributions.point import Point
from models.vae.parts import Likelihood
from models.vae_config import VAEConfig

_LEARNED_FACTOR = 10.0
"""A learned scale of levels is the softplus of this times its raw scale: it must follow the error
of reconstructions, and AdamW moves a parameter by the learning rate at most in a step."""


class _OneParameterLikelihood(Likelihood):
    """A likelihood with one parameter per element, whose config has no fields of its own."""

    def __init__(
        self, config: BernoulliConfig | ContinuousBernoulliConfig | PointConfig, vae: VAEConfig
    ) -> None:
        super().__init__()
        self.num_params = vae.image_shape[0]


class BernoulliLikelihood(_OneParameterLikelihood):
    """p(x|z) of binary pixels: independent Bernoullis."""

    is_mass = True
    support_words = "{0, 1}"

    def forward(self, params: Tensor) -> Bernoulli:
        """`params` are the logits."""
        return Bernoulli(params)

    def support_mask(self, x: Tensor) -> Tensor:
        return (x == 0) | (x == 1)


class ContinuousBernoulliLikelihood(_OneParameterLikelihood):
    """p(x|z) of grey values as real numbers in [0, 1]."""

    is_mass = False
    support_words = "[0, 1]"

    def forward(self, params: Tensor) -> ContinuousBernoulli:
        """`params` are the logits."""
        return ContinuousBernoulli(params)

    def support_mask(self, x: Tensor) -> Tensor:
        return (x >= 0) & (x <= 1)


class _LevelLikelihood(Likelihood):
    """The support of a likelihood of integers 0..levels-1."""

    is_mass = True

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels = levels
        self.unit_scale = float(levels - 1)
        self.support_words = f"the integers 0..{levels - 1}"

    def support_mask(self, x: Tensor) -> Tensor:
        return (x >= 0) & (x <= self.levels - 1) & (x == x.floor())


class DiscretizedLogisticLikelihood(_LevelLikelihood):
    """p(x|z) of integer levels under a mixture of logistics."""

    def __init__(self, config: DiscretizedLogisticConfig, vae: VAEConfig) -> None:
        """Per component a logit, per channel a location, a scale and, in colour, a coupling."""
        super().__init__(config.levels)
        self.channels = vae.image_shape[0]
        self.num_mixtures = config.num_mixtures
        self.couples = self.channels == 3
        self._sizes = [1, self.channels, self.channels] + ([3] if self.couples else [])
        self.num_params = self.num_mixtures * sum(self._sizes)

    def forward(self, params: Tensor, picture: Tensor | None = None) -> DiscretizedLogistic:
        """From (*batch, mixture x (1 + 2 channel [+ 3]), height, width).

        Locations and couplings are those of x less `picture`, (*batch, channel, height, width).
        """
        shape = (*params.shape[:-3], self.num_mixtures, sum(self._sizes), *params.shape[-2:])
        parts = params.reshape(shape).split(self._sizes, dim=-3)
        loc, coupling = parts[1], parts[3].tanh() if self.couples else None
        if picture is not None:
            loc = loc + _less_coupled(picture.unsqueeze(-4), coupling)
        return DiscretizedLogistic(
            logits=parts[0].squeeze(-3),
            loc=loc,
            scale=positive(parts[2]),
            levels=self.levels,
            coupling=coupling,
        )


def _less_coupled(picture: Tensor, coupling: Tensor | None) -> Tensor:
    """A picture less what the couplings add to each channel for the picture's earlier ones."""
    if coupling is None:
        return picture
    red, green, blue = picture.unbind(-3)
    red_to_green, red_to_blue, green_to_blue = coupling.unbind(-3)
    channels = (red, green - red_to_green * red, blue - red_to_blue * red - green_to_blue * green)
    return torch.stack(torch.broadcast_tensors(*channels), dim=-3)


class DiscretizedNormalLikelihood(_LevelLikelihood):
    """p(x|z) of integer levels under a normal; `DiscretizedNormalConfig.scale` says whose scale.

    With one scale for all pixels the likelihood falls with the squared error alone, and the scale
    that fits best is the error's root (Rybkin et al. 2021, arXiv:2006.13202).
    """

    def __init__(self, config: DiscretizedNormalConfig, vae: VAEConfig) -> None:
        """A location per element, and a scale per element where the decoder makes it."""
        super().__init__(config.levels)
        self.is_learned = config.scale == "learned"
        self.num_params = vae.image_shape[0] * (1 if self.is_learned else 2)
        if self.is_learned:
            self.raw_scale = nn.Parameter(torch.zeros(()))

    def forward(self, params: Tensor, picture: Tensor | None = None) -> DiscretizedNormal:
        """From (*batch, num_params, height, width); locations are those of x less `picture`."""
        if self.is_learned:
            loc, scale = params, positive(_LEARNED_FACTOR * self.raw_scale).expand_as(params)
        else:
            loc, raw_scale = params.chunk(2, dim=-3)
            scale = positive(raw_scale)
        if picture is not None:
            loc = loc + picture
        return DiscretizedNormal(loc, scale, levels=self.levels)


class NormalLikelihood(Likelihood):
    """p(x|z) of real pixels on the unit scale; `NormalConfig.scale` says whose scale it has."""

    is_mass = False
    support_words = "the finite real numbers"

    def __init__(self, config: NormalConfig, vae: VAEConfig) -> None:
        """A location per element, and the scale's parameters where the decoder makes it."""
        super().__init__()
        self.channels = vae.image_shape[0]
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
            return DiagonalNormal(loc, loc.new_tensor(self.fixed_scale), event_dim=IMAGE_DIM)
        if self.scale == "learned":
            raw = self.raw_scale
        if self.scale == "per_image":
            raw = raw.flatten(-IMAGE_DIM).mean(-1)[..., None, None, None]
        return DiagonalNormal(loc, positive(raw + self._start), event_dim=IMAGE_DIM)

    def support_mask(self, x: Tensor) -> Tensor:
        return x.isfinite()


class PointLikelihood(_OneParameterLikelihood):
    """The picture of an autoencoder's latent: a point, no distribution."""

    is_mass = False
    support_words = "the finite real numbers"

    def forward(self, params: Tensor) -> Point:
        """`params` are the picture."""
        return Point(params, event_dim=IMAGE_DIM)

    def support_mask(self, x: Tensor) -> Tensor:
        return x.isfinite()


LIKELIHOODS: dict[str, Callable[[Any, VAEConfig], Likelihood]] = {
    "bernoulli": BernoulliLikelihood,
    "continuous_bernoulli": ContinuousBernoulliLikelihood,
    "discretized_logistic": DiscretizedLogisticLikelihood,
    "discretized_normal": DiscretizedNormalLikelihood,
    "normal": NormalLikelihood,
    "point": PointLikelihood,
}
