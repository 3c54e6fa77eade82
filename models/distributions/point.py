"""A point in the place of a distribution: what an autoencoder has; it has no density and no noise.

z = loc(x),    picture = loc(z)
"""

from collections.abc import Sequence
from typing import Any, ClassVar, NoReturn

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

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
