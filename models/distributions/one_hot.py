"""The categorical distribution over the K unit vectors e_k.

p(e_k) = pi_k
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from models.distributions.from_noise import FromNoise
from models.noise import NoiseKind


class OneHot(FromNoise):
    """Unit vectors e_k with probabilities, (*batch, K)."""

    noise_kind: NoiseKind = "uniform"

    def __init__(self, logits: Tensor) -> None:
        """Unnormalised log-probabilities, (*batch, K)."""
        self.log_probs = logits.log_softmax(-1)
        super().__init__(logits.shape, event_dim=1)

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

    @property
    def noise_event_shape(self) -> tuple[int, ...]:
        """One uniform."""
        return (1,)

    def from_noise(self, noise: Tensor, *, temperature: float = 1.0) -> Tensor:
        """The unit vector whose part of [0, 1) holds the uniform; the temperature is ignored."""
        cdf = self.log_probs.double().exp().cumsum(-1)[..., :-1]
        index = (noise >= cdf).sum(-1)
        return F.one_hot(index, self.event_shape[0]).to(self.log_probs.dtype)
