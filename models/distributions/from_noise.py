"""`FromNoise`, the base class of every distribution here: a draw is a function of noise.

    z = f(noise),    noise ~ N(0, 1) or U[0, 1)

A new distribution writes `log_prob`, `mean` and `from_noise`, and `noise_event_shape` where a draw
is made of other noise than one number for each of its own.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from copy import copy
from functools import reduce
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution

from models.errors import UnsupportedOperation
from models.noise import NoiseKind

IMAGE_DIM = 3
"""Axes of an image: channel, height, width."""


class FromNoise(Distribution, ABC):
    """A distribution whose draws are a function of noise that the caller brings.

    Tensors that are attributes begin with the batch axes, (*batch, ...): `expand` relies on it.

    Attributes:
        noise_kind: "normal" for N(0, 1), "uniform" for U[0, 1).
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    noise_kind: NoiseKind = "normal"

    def __init__(self, shape: Sequence[int], *, event_dim: int) -> None:
        """Split a shape, (*batch, *event), before its last `event_dim` axes."""
        split = len(shape) - event_dim
        super().__init__(torch.Size(shape[:split]), torch.Size(shape[split:]), validate_args=False)

    @property
    @abstractmethod
    def mean(self) -> Tensor:
        """The expectation, (*batch, *event)."""

    @abstractmethod
    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density or log-mass of (*sample, *batch, *event), nats, summed over the event."""

    def pixel_log_prob(self, value: Tensor) -> Tensor:
        """What each pixel of an image adds to `log_prob`, nats, (*sample, *batch, height, width).

        Raises:
            UnsupportedOperation: The distribution is none of images.
        """
        raise UnsupportedOperation(f"{type(self).__name__} is no distribution of images.")

    @property
    def noise_event_shape(self) -> tuple[int, ...]:
        """Shape of the noise of one draw: the event's."""
        return tuple(self.event_shape)

    def noise_shape(self, sample_shape: Sequence[int] = ()) -> tuple[int, ...]:
        """Shape of the noise that `from_noise` takes for (*sample, *batch, *event)."""
        return (*sample_shape, *self.batch_shape, *self.noise_event_shape)

    @abstractmethod
    def from_noise(self, noise: Tensor, *, temperature: float = 1.0) -> Tensor:
        """The draw that the noise stands for.

        Args:
            noise: `noise_kind` in `noise_shape`.
            temperature: Scales normals; 0 gives the location. Uniforms have no temperature: a
                distribution that is drawn from them ignores it.

        Returns:
            (*sample, *batch, *event).
        """

    def sample(self, sample_shape: Sequence[int] = torch.Size()) -> Tensor:
        """A draw with torch's global generator, without a gradient."""
        with torch.no_grad():
            return self.from_noise(self._global_noise(sample_shape))

    def rsample(self, sample_shape: Sequence[int] = torch.Size()) -> Tensor:
        """A draw with torch's global generator, differentiable in the parameters.

        Raises:
            UnsupportedOperation: A draw of this distribution has no such gradient.
        """
        if not self.has_rsample:
            raise UnsupportedOperation(
                f"{type(self).__name__} has no reparameterised draw. Call sample()."
            )
        return self.from_noise(self._global_noise(sample_shape))

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> "FromNoise":
        """The same distribution with a larger batch shape, to which its own broadcasts."""
        start = len(self.batch_shape)
        return self._changed(lambda t: t.expand(*batch_shape, *t.shape[start:]), batch_shape)

    def detached(self) -> "FromNoise":
        """The same distribution without gradients of its parameters."""
        return self._changed(Tensor.detach, self.batch_shape)

    def __repr__(self) -> str:
        """The class and both shapes."""
        batch, event = tuple(self.batch_shape), tuple(self.event_shape)
        return f"{type(self).__name__}(batch_shape={batch}, event_shape={event})"

    def _changed(
        self, change: Callable[[Tensor], Tensor], batch_shape: Sequence[int]
    ) -> "FromNoise":
        """A copy of another batch shape, with each tensor changed."""
        changed = copy(self)
        changed._batch_shape = torch.Size(batch_shape)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(changed, name, change(value))
            elif isinstance(value, FromNoise):
                setattr(changed, name, value._changed(change, value.batch_shape))
        return changed

    def _global_noise(self, sample_shape: Sequence[int]) -> Tensor:
        draw = torch.randn if self.noise_kind == "normal" else torch.rand
        mean = self.mean
        return draw(self.noise_shape(sample_shape), dtype=mean.dtype, device=mean.device)


def sum_channels(terms: Tensor) -> Tensor:
    """Sum over the channels of an image, (*batch, channel, height, width), in their order."""
    return reduce(torch.add, terms.unbind(-IMAGE_DIM))


def sum_event(terms: Tensor, event_dim: int) -> Tensor:
    """Sum over the last `event_dim` axes."""
    return terms.flatten(-event_dim).sum(-1) if event_dim else terms
