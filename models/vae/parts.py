"""What a prior, a posterior and a likelihood are to the VAE: modules that return distributions.

Each is made from its own config and the whole model's: `PRIORS[config.prior.kind](config.prior,
config)`, likewise `POSTERIORS` and `LIKELIHOODS`. A network is made from its own config and the two
shapes that it connects: `NETWORKS[kind]`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from models.distributions.from_noise import FromNoise
from models.errors import OutOfSupport
from models.vae.networks import Shape

Encode = Callable[[Tensor], FromNoise]
"""q(z|x) of pictures in [0, 1], (batch, channel, height, width)."""


class Prior(nn.Module, ABC):
    """Gives p(z), or p(z|y)."""

    @abstractmethod
    def forward(self, y: Tensor | None, encode: Encode) -> FromNoise:
        """p(z) of batch shape (), or p(z|y) of batch shape (batch,).

        Args:
            y: Labels, (batch,), of a model with labels.
            encode: The model's own posterior, for priors made of it.
        """


class Posterior(nn.Module, ABC):
    """Turns an encoder's output into q(z|x).

    Attributes:
        params_shape: Shape of the encoder's output for one x.
    """

    params_shape: Shape

    @abstractmethod
    def forward(self, params: Tensor, prior: Callable[[], FromNoise]) -> FromNoise:
        """q(z|x) of batch shape (batch,).

        Args:
            params: The encoder's output, (batch, *params_shape).
            prior: Gives p(z), for posteriors that contain it.
        """


class Likelihood(nn.Module, ABC):
    """Turns a decoder's output into p(x|z), and checks the support of observations.

    The distributions do not check again.

    Attributes:
        num_params: Channels of the decoder's output.
        is_mass: `log_prob` is the log of a mass (bits per dim exist), not of a density.
        unit_scale: x / unit_scale lies in [0, 1] for a picture.
        support_words: The support, for messages.
    """

    num_params: int
    is_mass: bool
    unit_scale: float = 1.0
    support_words: str

    @abstractmethod
    def forward(self, params: Tensor) -> FromNoise:
        """p(x|z) from (*batch, num_params, height, width)."""

    @abstractmethod
    def support_mask(self, x: Tensor) -> Tensor:
        """True where an element of x lies in the support."""

    def check_support(self, x: Tensor) -> None:
        """Refuse observations outside the support.

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
            f"{len(items)} of {len(x)} items hold values outside {self.support_words} (item "
            f"{items[0][0]}: {items[0][1]}). Scale or binarize them as the image spec says.",
            allowed=[self.support_words],
            items=tuple(items),
        )
