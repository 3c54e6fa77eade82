"""Normal distributions: diagonal, full, and mixtures of diagonal ones.

diagonal  N(z; loc, diag(scale)^2),          z = loc + scale * noise,  noise ~ N(0, I)
full      N(z; loc, T T'),                   z = loc + T noise,        T lower triangular
mixture   sum_k pi_k N(z; m_k, diag(s_k)^2)
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from models.distributions.from_noise import FromNoise, sum_channels, sum_event

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class DiagonalNormal(FromNoise):
    """Independent normals; `loc` and `scale` have the shape (*batch, *event).

    Source: Kingma and Welling 2014, arXiv:1312.6114, appendices B and C.
    """

    has_rsample = True
    loc: Tensor
    scale: Tensor

    def __init__(self, loc: Tensor, scale: Tensor, *, event_dim: int) -> None:
        """The last `event_dim` axes are the event."""
        same = loc.shape == scale.shape
        self.loc, self.scale = (loc, scale) if same else torch.broadcast_tensors(loc, scale)
        super().__init__(self.loc.shape, event_dim=event_dim)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density, nats, summed over the event."""
        return sum_event(self._terms(value), len(self.event_shape))

    def pixel_log_prob(self, value: Tensor) -> Tensor:
        """Log-density of each pixel of an image, nats, summed over its channels."""
        return sum_channels(self._terms(value))

    def _terms(self, value: Tensor) -> Tensor:
        terms = ((value - self.loc) / self.scale).square() * -0.5 - self.scale.log()
        return terms - _HALF_LOG_2PI

    def from_noise(self, noise: Tensor, *, temperature: float = 1.0) -> Tensor:
        """loc + scale * noise * temperature."""
        return self.loc + self.scale * (noise * temperature)


class FullNormal(FromNoise):
    """A normal over one axis with any covariance T T', whose T is lower triangular.

    Source: Kingma and Welling 2019, arXiv:1906.02691, section 2.5.1.
    """

    has_rsample = True

    def __init__(self, loc: Tensor, scale: Tensor, lower: Tensor) -> None:
        """Location and T's diagonal, (*batch, L), and T below the diagonal, (*batch, L, L)."""
        self.loc, self.diagonal, self.lower = loc, scale, lower.tril(-1)
        super().__init__(loc.shape, event_dim=1)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def scale(self) -> Tensor:
        """Standard deviation of each dimension: the square root of the diagonal of T T'."""
        return (self.diagonal.square() + self.lower.square().sum(-1)).sqrt()

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density, nats."""
        terms = self._noise_of(value).square() * -0.5 - self.diagonal.log()
        return (terms - _HALF_LOG_2PI).sum(-1)

    def from_noise(self, noise: Tensor, *, temperature: float = 1.0) -> Tensor:
        """loc + T noise temperature."""
        noise = noise * temperature
        mixed = (self.lower * noise.unsqueeze(-2)).sum(-1)
        return self.loc + self.diagonal * noise + mixed

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


_MAX_ELEMENTS, _MIN_ROWS = 2**19, 16
"""Rows x components x numbers at once: 2 MiB in float32, which fit into the cache."""


class MixtureOfNormals(FromNoise):
    """A mixture of diagonal normals; batch shape () until it is expanded."""

    def __init__(self, logits: Tensor, components: DiagonalNormal) -> None:
        """Unnormalised log-weights, (K,), and K normals, batch shape (K,)."""
        self.logits, self.components = logits.log_softmax(0), components
        event = components.event_shape
        super().__init__(event, event_dim=len(event))
        log_scales = sum_event(components.scale.log(), len(event))
        self.log_peaks = self.logits - log_scales - event.numel() * _HALF_LOG_2PI
        """log pi_k N(m_k; m_k, diag(s_k)^2), which leaves four passes over rows x components."""

    @property
    def mean(self) -> Tensor:
        weights = self.logits.exp().reshape(-1, *[1] * len(self.event_shape))
        mean: Tensor = (weights * self.components.loc).sum(0)
        return mean.expand(*self.batch_shape, *self.event_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density, nats."""
        axes = len(self.event_shape)
        shape = torch.broadcast_shapes(value.shape, (*self.batch_shape, *self.event_shape))
        value = value.expand(shape)
        rows = value.reshape(-1, *self.event_shape)
        loc, scale = self.components.loc, self.components.scale
        parts = []
        for block in rows.split(max(_MIN_ROWS, _MAX_ELEMENTS // loc.numel())):
            squares = ((block.unsqueeze(-axes - 1) - loc) / scale).square()
            parts.append((self.log_peaks - 0.5 * sum_event(squares, axes)).logsumexp(-1))
        return torch.cat(parts).reshape(value.shape[: value.ndim - axes])

    @property
    def noise_event_shape(self) -> tuple[int, ...]:
        """A normal that chooses the component, then one for each number of the event."""
        return (1 + self.event_shape.numel(),)

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> "FromNoise":
        """The same mixture with a batch shape; its parameters have no batch axes."""
        return self._changed(lambda tensor: tensor, batch_shape)

    def from_noise(self, noise: Tensor, *, temperature: float = 1.0) -> Tensor:
        """A draw; the temperature scales the component's normals, not the choice of it."""
        # Normals of rank 0.3 are below 0.3's quantile: the same as uniforms below 0.3.
        edges = torch.special.ndtri(self.logits.double().exp().cumsum(0)[:-1]).to(noise.dtype)
        chosen = (noise[..., :1] >= edges).sum(-1)
        normals: Tensor = noise[..., 1:].unflatten(-1, self.event_shape)
        return self.components.loc[chosen] + self.components.scale[chosen] * (normals * temperature)


def multiply_normals(first: DiagonalNormal, second: DiagonalNormal) -> DiagonalNormal:
    """The normal whose density is proportional to the product of two, over one axis.

    1/s^2 = 1/s_1^2 + 1/s_2^2,    m / s^2 = m_1 / s_1^2 + m_2 / s_2^2
    """
    # By the quotient of the scales: a precision 1/s^2 overflows float32 for s below 1e-19.
    quotient = first.scale / second.scale
    share = (1 + quotient.square()).reciprocal(), (1 + quotient.reciprocal().square()).reciprocal()
    loc = first.loc * share[0] + second.loc * share[1]
    smaller = torch.minimum(first.scale, second.scale)
    return DiagonalNormal(loc, smaller * torch.maximum(*share).sqrt(), event_dim=1)
