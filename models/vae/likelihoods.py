"""Likelihoods p(x|z): normalised distributions over observations, by the kind that a config names.

    bernoulli, continuous_bernoulli             `bernoulli.py`      binary pixels, greys in [0, 1]
    discretized_logistic, discretized_normal    `discretized.py`    integers 0..levels-1
    normal              N(x; m, t^2)            here                real numbers
    point               no distribution         here                an autoencoder's picture

m is a location, t a scale. What they share is in `pixels.py`.
"""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

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
from models.distributions.from_noise import EVENT_DIM
from models.distributions.normals import DiagonalNormal
from models.distributions.point import Point
from models.errors import OutOfSupport


class Likelihood(nn.Module, ABC):
    """Turns a decoder's output into p(x|z), and checks observations at the door.

    Attributes:
        num_params: Channels that the decoder must give per pixel.
        is_mass: `log_prob` is the log of a mass (bits per dim exist) or of a density.
        unit_scale: x / unit_scale lies in [0, 1] for a picture.
        support_words: The support, for messages.
    """

    num_params: int
    is_mass: bool
    unit_scale: float = 1.0
    support_words: str

    @abstractmethod
    def forward(self, params: Tensor) -> Distribution:
        """From (*batch, num_params, height, width)."""

    @abstractmethod
    def support_mask(self, x: Tensor) -> Tensor:
        """True where an element of x has positive mass or density."""

    def check_support(self, x: Tensor) -> None:
        """Refuse observations of probability zero, before anything is computed.

        Args:
            x: (batch, channel, height, width).

        Raises:
            OutOfSupport: An element is NaN, infinite or outside the support; names the items.
        """
        inside = self.support_mask(x).flatten(1).all(1)
        if bool(inside.all()):
            return
        items = []
        for i in torch.nonzero(~inside).flatten().tolist():
            value = x[i][~self.support_mask(x[i])][0].item()
            items.append((i, f"received the value {value:g}"))
        raise OutOfSupport(
            f"Every element of an observation lies in {self.support_words}; {len(items)} of "
            f"{len(x)} items do not (item {items[0][0]}: {items[0][1]}). Scale or binarize them as "
            "the image spec says.",
            items=tuple(items),
        )


class BernoulliLikelihood(Likelihood):
    """p(x|z) of binary pixels."""

    is_mass = True
    support_words = "{0, 1}"

    def __init__(self, config: BernoulliConfig, image_shape: tuple[int, int, int]) -> None:
        """One logit per element."""
        super().__init__()
        self.num_params = image_shape[0]

    def forward(self, params: Tensor) -> Bernoulli:
        """Parameters are the logits."""
        return Bernoulli(params)

    def support_mask(self, x: Tensor) -> Tensor:
        """0 or 1."""
        return (x == 0) | (x == 1)


class ContinuousBernoulliLikelihood(Likelihood):
    """p(x|z) of grey values as real numbers."""

    is_mass = False
    support_words = "[0, 1]"

    def __init__(
        self, config: ContinuousBernoulliConfig, image_shape: tuple[int, int, int]
    ) -> None:
        """One logit per element."""
        super().__init__()
        self.num_params = image_shape[0]

    def forward(self, params: Tensor) -> ContinuousBernoulli:
        """Parameters are the logits."""
        return ContinuousBernoulli(params)

    def support_mask(self, x: Tensor) -> Tensor:
        """Between 0 and 1, both included."""
        return (x >= 0) & (x <= 1)


class _LevelLikelihood(Likelihood):
    """What the likelihoods of integers 0..levels-1 share."""

    is_mass = True

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels = levels
        self.unit_scale = float(levels - 1)
        self.support_words = f"the integers 0..{levels - 1}"

    def support_mask(self, x: Tensor) -> Tensor:
        """An integer from 0 to levels-1."""
        return (x >= 0) & (x <= self.levels - 1) & (x == x.floor())


class DiscretizedLogisticLikelihood(_LevelLikelihood):
    """p(x|z) of integer levels under a mixture of logistics."""

    def __init__(
        self, config: DiscretizedLogisticConfig, image_shape: tuple[int, int, int]
    ) -> None:
        """Per component a logit, per channel a location, a scale and, in colour, a coupling."""
        super().__init__(config.levels)
        self.channels = image_shape[0]
        self.num_mixtures = config.num_mixtures
        self.couples = self.channels == 3
        self._sizes = [1, self.channels, self.channels] + ([3] if self.couples else [])
        self.num_params = self.num_mixtures * sum(self._sizes)

    def forward(self, params: Tensor) -> DiscretizedLogistic:
        """From (*batch, mixture x (1 + 2 channel [+ 3]), height, width)."""
        shape = (*params.shape[:-3], self.num_mixtures, sum(self._sizes), *params.shape[-2:])
        parts = params.reshape(shape).split(self._sizes, dim=-3)
        return DiscretizedLogistic(
            logits=parts[0].squeeze(-3),
            loc=parts[1],
            scale=positive(parts[2]),
            levels=self.levels,
            coupling=parts[3].tanh() if self.couples else None,
        )


class DiscretizedNormalLikelihood(_LevelLikelihood):
    """p(x|z) of integer levels under a normal."""

    def __init__(self, config: DiscretizedNormalConfig, image_shape: tuple[int, int, int]) -> None:
        """A location and a scale per element."""
        super().__init__(config.levels)
        self.num_params = 2 * image_shape[0]

    def forward(self, params: Tensor) -> DiscretizedNormal:
        """From (*batch, 2 channel, height, width)."""
        loc, raw_scale = params.chunk(2, dim=-3)
        return DiscretizedNormal(loc, positive(raw_scale), levels=self.levels)


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
