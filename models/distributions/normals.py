"""Normals over latents, and over pixels: diagonal, full, and mixtures; they hold no network.

diagonal  N(z; loc, diag(scale)^2),          z = loc + scale * noise,  noise ~ N(0, I)
full      N(z; loc, T T'),                   z = loc + T noise,        T lower triangular
mixture   sum_k pi_k N(z; m_k, diag(s_k)^2)
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

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
    def mode(self) -> Tensor:
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

    def from_noise(self, noise: Tensor, *, temperature: float = 1.0) -> Tensor:
        """The draw loc + scale * noise * temperature, differentiable in all of them."""
        return self.loc + self.scale * (noise * temperature)

    def rsample(self, sample_shape: Sequence[int] = torch.Size()) -> Tensor:
        """A draw with torch's ambient randomness; for tests."""
        shape = self.noise_shape(sample_shape)
        return self.from_noise(torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device))

    def detached(self) -> "DiagonalNormal":
        """The same distribution, through whose parameters no gradient flows."""
        cls = type(self)
        return cls(self.loc.detach(), self.scale.detach(), event_dim=len(self.event_shape))


def _sum_event(terms: Tensor, event_dim: int) -> Tensor:
    return terms.flatten(-event_dim).sum(-1) if event_dim else terms


class FullNormal(Distribution):
    """A normal over one axis with any covariance T T', whose T is lower triangular.

    Source: Kingma and Welling 2019, arXiv:1906.02691, section 2.5.1.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.real_vector
    has_rsample = True
    noise_kind: NoiseKind = "normal"

    def __init__(self, loc: Tensor, scale: Tensor, lower: Tensor) -> None:
        """Location and T's diagonal, (batch, latent), and T below it, (batch, latent, latent)."""
        self.loc, self.diagonal, self.lower = loc, scale, lower.tril(-1)
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """`loc`."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """`loc`."""
        return self.loc

    @property
    def scale(self) -> Tensor:
        """Standard deviation of each dimension by itself."""
        return (self.diagonal.square() + self.lower.square().sum(-1)).sqrt()

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density, nats."""
        terms = self._noise_of(value).square() * -0.5 - self.diagonal.log()
        return (terms - _HALF_LOG_2PI).sum(-1)

    def noise_shape(self, sample_shape: Sequence[int] = ()) -> tuple[int, ...]:
        """Shape of the standard normals that `from_noise` takes."""
        return (*sample_shape, *self.batch_shape, *self.event_shape)

    def from_noise(self, noise: Tensor) -> Tensor:
        """The draw loc + T noise, differentiable in all of them."""
        mixed = (self.lower * noise.unsqueeze(-2)).sum(-1)
        return self.loc + self.diagonal * noise + mixed

    def detached(self) -> "FullNormal":
        """The same distribution, through whose parameters no gradient flows."""
        return FullNormal(self.loc.detach(), self.diagonal.detach(), self.lower.detach())

    def _noise_of(self, value: Tensor) -> Tensor:
        """T^-1 (value - loc), by forward substitution."""
        # Not a library's solver, nor a matrix product below: their last bits depend on where in
        # memory a row begins.
        rest = value - self.loc
        noise: list[Tensor] = []
        for i in range(rest.shape[-1]):
            noise.append(rest[..., i] / self.diagonal[..., i])
            rest = rest - self.lower[..., :, i] * noise[-1].unsqueeze(-1)
        return torch.stack(noise, -1)


_MAX_ELEMENTS, _MIN_ROWS = 2**21, 16
"""Rows x components x numbers at once: 8 MiB, which stay in the cache, not 40 that leave it."""


class MixtureOfNormals(Distribution):
    """Diagonal normals with weights; batch shape ()."""

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.real
    noise_kind: NoiseKind = "normal"

    def __init__(self, logits: Tensor, components: DiagonalNormal) -> None:
        """Unnormalised log-weights, (K,), and as many normals over the latent."""
        self.logits, self.components = logits.log_softmax(0), components
        super().__init__(torch.Size(), components.event_shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """Of the mixture, shaped as the latent."""
        weights = self.logits.exp().reshape(-1, *[1] * len(self.event_shape))
        return (weights * self.components.loc).sum(0)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density, nats."""
        axes = len(self.event_shape)
        rows = value.reshape(-1, *self.event_shape)
        parts = [
            (self.components.log_prob(block.unsqueeze(-axes - 1)) + self.logits).logsumexp(-1)
            for block in rows.split(max(_MIN_ROWS, _MAX_ELEMENTS // self.components.loc.numel()))
        ]
        return torch.cat(parts).reshape(value.shape[: value.ndim - axes])

    def noise_shape(self, sample_shape: Sequence[int] = ()) -> tuple[int, ...]:
        """A normal that chooses the component, then one for each number of the latent."""
        return (*sample_shape, 1 + self.event_shape.numel())

    def from_noise(self, noise: Tensor, *, temperature: float = 1.0) -> Tensor:
        """A draw; the temperature scales the component's normals, not the choice of it."""
        # Normals of rank 0.3 are below 0.3's quantile: the same as uniforms below 0.3.
        edges = torch.special.ndtri(self.logits.double().exp().cumsum(0)[:-1]).to(noise.dtype)
        chosen = (noise[..., :1] >= edges).sum(-1)
        normals: Tensor = noise[..., 1:].unflatten(-1, self.event_shape)
        return self.components.loc[chosen] + self.components.scale[chosen] * (normals * temperature)


def merge(first: DiagonalNormal, second: DiagonalNormal) -> DiagonalNormal:
    """The normal whose density is proportional to the product of both, over one axis."""
    # By the quotient of the scales: a precision 1/s^2 overflows float32 for s below 1e-19.
    quotient = first.scale / second.scale
    share = (1 + quotient.square()).reciprocal(), (1 + quotient.reciprocal().square()).reciprocal()
    loc = first.loc * share[0] + second.loc * share[1]
    smaller = torch.minimum(first.scale, second.scale)
    return DiagonalNormal(loc, smaller * torch.maximum(*share).sqrt(), event_dim=1)
