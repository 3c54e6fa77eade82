"""What all likelihoods share: distributions over pixels, and the door that observations pass.

It holds no formula of any one likelihood (`bernoulli.py`, `discretized.py`, `likelihoods.py`). The
distributions do not look at their support again: the `Likelihood` modules check it once, at the
door (`check_support`), and say whether `log_prob` is the log of a mass or of a density (`is_mass`).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import functional as F

from models.errors import OutOfSupport
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


def sigmoid(logits: Tensor) -> Tensor:
    """1 / (1 + exp(-logits)); the same bits anywhere in a tensor, see `normals.positive`."""
    return F.logsigmoid(logits).exp()


def sum_event(terms: Tensor) -> Tensor:
    """Over channel, height and width."""
    return terms.flatten(-EVENT_DIM).sum(-1)


def polynomial(x: Tensor, coefficients: Sequence[float]) -> Tensor:
    """Sum of coefficients[i] x^i, by Horner's rule."""
    total = torch.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = total * x + coefficient
    return total


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
