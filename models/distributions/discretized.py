"""Distributions of integer levels 0..levels-1.

    DiscretizedLogistic   p(k) = s((k + 1/2 - m) / t) - s((k - 1/2 - m) / t)
    DiscretizedNormal     p(k) = Phi((k + 1/2 - m) / t) - Phi((k - 1/2 - m) / t)

m is a location, t a scale, s the logistic function. The lowest level reaches down to minus infinity
and the highest one up to infinity, so the masses sum to one. Nothing is clamped, and nothing is
added inside a logarithm.
"""

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from models.distributions.expected_level import expected_level
from models.distributions.from_noise import IMAGE_DIM, FromNoise, sum_channels, sum_event
from models.noise import NoiseKind


class DiscretizedLogistic(FromNoise):
    """Integers 0..levels-1 under a mixture of logistics, one component per pixel.

    Colour channels are conditioned in turn: given its component, green's location moves linearly
    with red's value, and blue's with red's and green's. log s(b) + log s(-a) + log(1 - e^(a-b)) is
    the exact mass between the edges a < b, in the tails too.

    `mean` is exact for one channel. For colour it is each component's mean with the earlier
    channels at their own means, then mixed: exact but for the curvature that the open edges, and
    rounding at scales below one level, bring.

    Source: Salimans et al. 2017, arXiv:1701.05517, section 2.1-2.2 (its density fallback left out).
    """

    noise_kind: NoiseKind = "uniform"

    def __init__(
        self,
        *,
        logits: Tensor,
        loc: Tensor,
        scale: Tensor,
        levels: int,
        coupling: Tensor | None = None,
    ) -> None:
        """Parameters on the scale where level 0 is -1 and the highest level is 1.

        Args:
            logits: Component logits, (*batch, mixture, height, width).
            loc: Locations, (*batch, mixture, channel, height, width).
            scale: Scales > 0, shaped as `loc`.
            levels: Number of levels.
            coupling: Red to green, red to blue, green to blue: (*batch, mixture, 3, height, width).
        """
        self.logits, self.loc, self.scale, self.coupling = logits, loc, scale, coupling
        self.levels = levels
        self.num_mixtures = logits.shape[-IMAGE_DIM]
        shape = (*logits.shape[:-IMAGE_DIM], *loc.shape[-IMAGE_DIM:])
        super().__init__(shape, event_dim=IMAGE_DIM)

    @property
    def noise_event_shape(self) -> tuple[int, ...]:
        """A uniform for the component where there are several, then one for each channel."""
        channels, height, width = self.event_shape
        choice = 1 if self.num_mixtures > 1 else 0
        return choice + channels, height, width

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-mass, nats, summed over the image."""
        return self.pixel_log_prob(value).flatten(-2).sum(-1)

    def pixel_log_prob(self, value: Tensor) -> Tensor:
        """Log-mass of each pixel, nats: of its channels together, which share a component."""
        x = self._scaled(value).unsqueeze(-4)
        centre = (x - self._conditional_loc(x)) / self.scale
        half = 1 / ((self.levels - 1) * self.scale)
        upper, lower = F.logsigmoid(centre + half), F.logsigmoid(half - centre)
        interior = upper + lower + torch.log(-torch.expm1(-2 * half))
        k = value.unsqueeze(-4)
        log_mass = torch.where(k == 0, upper, torch.where(k == self.levels - 1, lower, interior))
        by_component = log_mass.sum(-3)
        if self.num_mixtures > 1:
            by_component = by_component + self.logits.log_softmax(-3)
        return by_component.logsumexp(-3)

    @property
    def mean(self) -> Tensor:
        """Expected level in 0..levels-1; the class docstring says how colour is treated."""
        channels = self.event_shape[0]
        means: list[Tensor] = []
        for channel in range(channels):
            known = [self._scaled(m) for m in means]
            loc, scale = self._loc_of(channel, known), self.scale[..., channel, :, :]
            means.append(expected_level(loc, scale, self.levels))
        stacked = torch.stack(means, dim=-3)
        return (stacked * _probabilities(self.logits).unsqueeze(-3)).sum(-4)

    def from_noise(self, noise: Tensor, *, temperature: float = 1.0) -> Tensor:
        """The component whose part of [0, 1) holds the first uniform, then each channel by inverse
        distribution function."""
        channels = self.event_shape[0]
        component = self._component(noise[..., 0, :, :])

        def pick(t: Tensor) -> Tensor:
            return (t * component).sum(-3)

        drawn: list[Tensor] = []
        for channel in range(channels):
            u = noise[..., channel - channels, :, :]
            known = [self._scaled(k).unsqueeze(-3) for k in drawn]
            loc = pick(self._loc_of(channel, known))
            x = loc + pick(self.scale[..., channel, :, :]) * torch.logit(u)
            level = torch.round((x + 1) * ((self.levels - 1) / 2))
            drawn.append(level.clamp(0, self.levels - 1))
        return torch.stack(drawn, dim=-3)

    def _component(self, u: Tensor) -> Tensor:
        """One-hot over the mixture axis, (..., mixture, height, width)."""
        if self.num_mixtures == 1:
            return torch.ones_like(self.logits)
        cdf = _probabilities(self.logits).cumsum(-3)[..., :-1, :, :]
        index = (u.unsqueeze(-3) >= cdf).sum(-3)
        return F.one_hot(index, self.num_mixtures).movedim(-1, -3).to(self.loc.dtype)

    def _scaled(self, level: Tensor) -> Tensor:
        return level * (2 / (self.levels - 1)) - 1

    def _loc_of(self, channel: int, known: Sequence[Tensor]) -> Tensor:
        """Locations of a channel, (..., mixture, height, width), given the earlier ones' values."""
        loc = self.loc[..., channel, :, :]
        if self.coupling is None:
            return loc
        first = {0: 0, 1: 0, 2: 1}[channel]
        for i, x in enumerate(known):
            loc = loc + self.coupling[..., first + i, :, :] * x
        return loc

    def _conditional_loc(self, x: Tensor) -> Tensor:
        """All locations given an observation (..., 1, channel, height, width)."""
        if self.coupling is None:
            return self.loc
        by_channel = [
            self._loc_of(channel, [x[..., earlier, :, :] for earlier in range(channel)])
            for channel in range(self.event_shape[0])
        ]
        return torch.stack(torch.broadcast_tensors(*by_channel), dim=-3)


def _probabilities(logits: Tensor) -> Tensor:
    """softmax over the mixture axis: torch's own has other last bits with other numbers of rows."""
    return logits.log_softmax(-3).exp()


class DiscretizedNormal(FromNoise):
    """Integers 0..levels-1 under a normal: the exact mass between each level's edges, ends open.

    The masses are differences of log Phi, taken in float64 from the lower tail on either side.
    """

    noise_kind: NoiseKind = "uniform"

    def __init__(self, loc: Tensor, scale: Tensor, *, levels: int) -> None:
        """Location and scale > 0 where level 0 is -1 and the highest is 1, (*batch, *event)."""
        self.loc, self.scale, self.levels = loc, scale, levels
        super().__init__(loc.shape, event_dim=IMAGE_DIM)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-mass, nats, summed over the image."""
        return sum_event(self._terms(value), IMAGE_DIM).to(self.loc.dtype)

    def pixel_log_prob(self, value: Tensor) -> Tensor:
        """Log-mass of each pixel, nats, summed over its channels."""
        return sum_channels(self._terms(value)).to(self.loc.dtype)

    def _terms(self, value: Tensor) -> Tensor:
        k = value.double()
        scale = self.scale.double()
        centre = (k * (2 / (self.levels - 1)) - 1 - self.loc.double()) / scale
        half = 1 / ((self.levels - 1) * scale)
        # By symmetry the interval is moved to the lower tail, where log Phi keeps its digits.
        high, low = half - centre.abs(), -half - centre.abs()
        log_high, log_low = _log_phi(high), _log_phi(low)
        interior = log_high + torch.log(-torch.expm1(log_low - log_high))
        bottom, top = _log_phi(half + centre), _log_phi(half - centre)
        return torch.where(k == 0, bottom, torch.where(k == self.levels - 1, top, interior))

    @property
    def mean(self) -> Tensor:
        """Expected level, exact: sum over j >= 1 of P(k >= j)."""
        total = torch.zeros_like(self.loc)
        for j in range(1, self.levels):
            edge = (2 * j - 1) / (self.levels - 1) - 1
            total = total + torch.special.ndtr((self.loc - edge) / self.scale)
        return total

    def from_noise(self, noise: Tensor, *, temperature: float = 1.0) -> Tensor:
        """Inverse distribution function, rounded to the nearest level."""
        x = self.loc + self.scale * torch.special.ndtri(noise)
        return torch.round((x + 1) * ((self.levels - 1) / 2)).clamp(0, self.levels - 1)


class _LogPhi(torch.autograd.Function):
    """log Phi with its own gradient: torch's loses all digits beyond -1e7 and is NaN at -1e10."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return cast(Tensor, torch.special.log_ndtr(x))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        # phi(x) / Phi(x) = sqrt(2 / pi) / erfcx(-x / sqrt(2))
        ratio: Tensor = math.sqrt(2 / math.pi) / torch.special.erfcx(x * -math.sqrt(0.5))
        return grads[0] * ratio


def _log_phi(x: Tensor) -> Tensor:
    return cast(Tensor, _LogPhi.apply(x))  # type: ignore[no-untyped-call]
