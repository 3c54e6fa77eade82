"""Approximate posteriors q(z|x), and the diagonal normal that they and the priors return.

It holds no encoder network (`networks.py`) and computes no bound (`bounds.py`).

    q(z|x) = N(z; loc(x), diag(scale(x))^2),    z = loc + scale * noise,  noise ~ N(0, I)
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints
from torch.distributions.kl import register_kl
from torch.nn import functional as F

from models.config import PosteriorConfig
from models.noise import NoiseKind

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class DiagonalNormal(Distribution):
    """Independent normals; `loc` and `scale` have the shape (*batch, *event).

    Source: Kingma and Welling 2014, arXiv:1312.6114, appendices B and C.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "loc": constraints.real,
        "scale": constraints.positive,
    }
    support = constraints.real
    has_rsample = True
    noise_kind: NoiseKind = "normal"
    loc: Tensor
    scale: Tensor

    def __init__(self, loc: Tensor, scale: Tensor, *, event_dim: int) -> None:
        """Keep the parameters; the last `event_dim` axes are the event."""
        self.loc, self.scale = torch.broadcast_tensors(loc, scale)
        split = self.loc.ndim - event_dim
        super().__init__(self.loc.shape[:split], self.loc.shape[split:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """`loc`."""
        return self.loc

    @property
    def stddev(self) -> Tensor:
        """`scale`."""
        return self.scale

    @property
    def variance(self) -> Tensor:
        """`scale` squared."""
        return self.scale.square()

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density, nats, summed over the event."""
        terms = ((value - self.loc) / self.scale).square() * -0.5 - self.scale.log()
        return _sum_event(terms - _HALF_LOG_2PI, len(self.event_shape))

    def noise_shape(self, sample_shape: Sequence[int] = ()) -> tuple[int, ...]:
        """Shape of the standard normals that `from_noise` takes."""
        return (*sample_shape, *self.batch_shape, *self.event_shape)

    def from_noise(self, noise: Tensor) -> Tensor:
        """The draw loc + scale * noise, differentiable in both."""
        return self.loc + self.scale * noise

    def rsample(self, sample_shape: Sequence[int] = torch.Size()) -> Tensor:
        """A draw with torch's ambient randomness; for tests."""
        shape = self.noise_shape(sample_shape)
        return self.from_noise(torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device))

    def detached(self) -> "DiagonalNormal":
        """The same distribution, through whose parameters no gradient flows."""
        cls = type(self)
        return cls(self.loc.detach(), self.scale.detach(), event_dim=len(self.event_shape))


def kl_terms(q: DiagonalNormal, p: DiagonalNormal) -> Tensor:
    """KL of each dimension, nats, (*batch, *event).

    log(sigma_p / sigma_q) + (sigma_q^2 + (mu_q - mu_p)^2) / (2 sigma_p^2) - 1/2
    """
    ratio = (q.scale / p.scale).square()
    distance = ((q.loc - p.loc) / p.scale).square()
    return 0.5 * (ratio + distance - 1 - ratio.log())


@register_kl(DiagonalNormal, DiagonalNormal)  # type: ignore[untyped-decorator]
def _kl_diagonal_normal(q: DiagonalNormal, p: DiagonalNormal) -> Tensor:
    return _sum_event(kl_terms(q, p), len(q.event_shape))


def _sum_event(terms: Tensor, event_dim: int) -> Tensor:
    return terms.flatten(-event_dim).sum(-1) if event_dim else terms


class DiagonalNormalPosterior(nn.Module):
    """Turns an encoder's output into q(z|x): a location and a positive scale per dimension."""

    num_params = 2

    def __init__(self, config: PosteriorConfig, latent_shape: tuple[int, ...]) -> None:
        """Remember the latent's shape; there is nothing to learn here."""
        super().__init__()
        self.latent_shape = latent_shape

    def forward(self, params: Tensor) -> DiagonalNormal:
        """From (batch, 2, *latent_shape): locations, and scales before the softplus."""
        loc, raw_scale = params.unbind(1)
        return DiagonalNormal(loc, positive(raw_scale), event_dim=len(self.latent_shape))


def positive(raw: Tensor) -> Tensor:
    """softplus, whose smallest value is the dtype's smallest normal number, not zero.

    By way of logsigmoid: torch's softplus, sigmoid and silu give an element other last bits in a
    tensor's last few places than before them, so that a row would depend on its neighbours.
    """
    return -F.logsigmoid(-raw).clamp_max(-torch.finfo(raw.dtype).tiny)


POSTERIORS: dict[str, type[DiagonalNormalPosterior]] = {
    "diagonal_normal": DiagonalNormalPosterior,
}
