"""A latent that is one of K unit vectors: prior, exact posterior; a mixture model's component.

    p(z) = Cat(z; pi),    p(z = e_k | x) = pi_k p(x | e_k) / sum_j pi_j p(x | e_j)

The posterior is exact, so every importance weight equals p(x).
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.nn import functional as F

from models.noise import NoiseKind


class OneHot(Distribution):
    """Unit vectors e_k with probabilities, (*batch, K)."""

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.one_hot
    noise_kind: NoiseKind = "uniform"

    def __init__(self, logits: Tensor) -> None:
        """Unnormalised log-probabilities."""
        self.log_probs = logits.log_softmax(-1)
        super().__init__(logits.shape[:-1], logits.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The probabilities."""
        return self.log_probs.exp()

    @property
    def mode(self) -> Tensor:
        """The most probable unit vector."""
        return F.one_hot(self.log_probs.argmax(-1), self.event_shape[0]).to(self.log_probs.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-mass of unit vectors, nats."""
        return torch.where(value > 0.5, self.log_probs, torch.zeros_like(value)).sum(-1)

    def noise_shape(self, sample_shape: Sequence[int] = ()) -> tuple[int, ...]:
        """One uniform for each draw."""
        return (*sample_shape, *self.batch_shape, 1)

    def from_noise(self, noise: Tensor, *, temperature: float = 1.0) -> Tensor:
        """The component in whose part of [0, 1) the uniform lies; it has no temperature."""
        cdf = self.log_probs.double().exp().cumsum(-1)[..., :-1]
        index = (noise >= cdf).sum(-1)
        return F.one_hot(index, self.event_shape[0]).to(self.log_probs.dtype)
