"""Distributions of binary pixels, and of grey values in [0, 1].

    Bernoulli             log p = log sigmoid((2 x - 1) l)                 x in {0, 1}
    ContinuousBernoulli   log p = (x - 1/2) l - log(sinh(l/2) / (l/2))     x in [0, 1]

l is a logit. Nothing is clamped, and no constant is left out.
"""

import torch
from torch import Tensor

from models.distributions.elementwise import log_sigmoid, polynomial, sigmoid
from models.distributions.from_noise import IMAGE_DIM, FromNoise, sum_channels, sum_event
from models.noise import NoiseKind


class Bernoulli(FromNoise):
    """Binary pixels, with the fused log-mass log sigmoid(+-l): exact for any logit."""

    noise_kind: NoiseKind = "uniform"

    def __init__(self, logits: Tensor) -> None:
        """Logits of the shape (*batch, channel, height, width)."""
        self.logits = logits
        super().__init__(logits.shape, event_dim=IMAGE_DIM)

    @property
    def mean(self) -> Tensor:
        """Probability of 1."""
        return sigmoid(self.logits)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-mass, nats, summed over the image."""
        return sum_event(self._terms(value), IMAGE_DIM)

    def pixel_log_prob(self, value: Tensor) -> Tensor:
        """Log-mass of each pixel, nats, summed over its channels."""
        return sum_channels(self._terms(value))

    def _terms(self, value: Tensor) -> Tensor:
        # l where the pixel is 1, and -l where it is 0.
        return log_sigmoid(self.logits * value.mul(2).sub_(1))

    def from_noise(self, noise: Tensor, *, temperature: float = 1.0) -> Tensor:
        """1 where the uniform is below the probability."""
        return (noise < self.mean).to(noise.dtype)


class ContinuousBernoulli(FromNoise):
    """Grey values in [0, 1] with density proportional to exp(x l).

    The normaliser is taken from the logit, with its Taylor series below |l| = 1/2, so that neither
    the centre nor the tails are clamped.

    Source: Loaiza-Ganem and Cunningham 2019, arXiv:1907.06845.
    """

    noise_kind: NoiseKind = "uniform"
    has_rsample = True

    def __init__(self, logits: Tensor) -> None:
        """Logits of the shape (*batch, channel, height, width)."""
        self.logits = logits
        super().__init__(logits.shape, event_dim=IMAGE_DIM)

    @property
    def mean(self) -> Tensor:
        """1/2 + coth(l/2)/2 - 1/l, by its series near 0."""
        a = self.logits.abs()
        far = a >= _SERIES_BELOW
        safe = torch.where(far, a, torch.ones_like(a))
        exact = 0.5 / torch.tanh(safe / 2) - 1 / safe
        near = torch.where(far, torch.zeros_like(a), a)
        series = polynomial(near.square(), _LOG_SINHC_SLOPE) * near
        return 0.5 + torch.sign(self.logits) * torch.where(far, exact, series)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density per unit of the [0, 1] scale, nats, summed over the image."""
        return sum_event(self._terms(value), IMAGE_DIM)

    def pixel_log_prob(self, value: Tensor) -> Tensor:
        """Log-density of each pixel, nats, summed over its channels."""
        return sum_channels(self._terms(value))

    def _terms(self, value: Tensor) -> Tensor:
        return (value - 0.5) * self.logits - _log_sinhc(self.logits.abs())

    def from_noise(self, noise: Tensor, *, temperature: float = 1.0) -> Tensor:
        """Inverse distribution function of the uniform."""
        a = self.logits.abs()
        safe = torch.where(a > 0, a, torch.ones_like(a))
        up = self.logits > 0
        u = torch.where(up, 1 - noise, noise)
        low = -torch.log1p(u * torch.expm1(-safe)) / safe
        x = torch.where(up, 1 - low, low)
        return torch.where(a > 0, x, noise).clamp(0, 1)


# log(sinh(a/2) / (a/2)) = sum over k of B_2k a^2k / (2k (2k)!), B the Bernoulli numbers.
_LOG_SINHC = (
    0.0,
    1 / 24,
    -1 / 2880,
    1 / 181440,
    -1 / 9676800,
    1 / 479001600,
    -691 / 15692092416000,
)
_LOG_SINHC_SLOPE = tuple(2 * k * c for k, c in enumerate(_LOG_SINHC))[1:]
_SERIES_BELOW = 0.5


def _log_sinhc(a: Tensor) -> Tensor:
    """log(sinh(a/2) / (a/2)) for a >= 0, with an exact gradient everywhere."""
    far = a >= _SERIES_BELOW
    safe = torch.where(far, a, torch.ones_like(a))
    exact = safe / 2 + torch.log(-torch.expm1(-safe)) - safe.log()
    near = torch.where(far, torch.zeros_like(a), a)
    return torch.where(far, exact, polynomial(near.square(), _LOG_SINHC))
