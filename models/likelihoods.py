"""Likelihoods p(x|z): normalised distributions over observations; they hold no decoder network.

    Bernoulli             log p = x l - softplus(l)                                  x in {0, 1}
    ContinuousBernoulli   log p = (x - 1/2) l - log(sinh(l/2) / (l/2))               x in [0, 1]
    DiscretizedLogistic   p(k) = s((k + 1/2 - m) / t) - s((k - 1/2 - m) / t)         0..levels-1
    DiscretizedNormal     p(k) = Phi((k + 1/2 - m) / t) - Phi((k - 1/2 - m) / t)     0..levels-1
    Normal                N(x; m, t^2)                                               x real

l is a logit, m a location, t a scale, s the logistic function. The lowest level of the discretized
ones reaches down to minus infinity and the highest one up to infinity, so the masses sum to one.
Nothing is clamped, nothing is added inside a logarithm, and every constant is there.

The distributions do not look at their support again: the `Likelihood` modules check it once, at the
door (`check_support`), and say whether `log_prob` is the log of a mass or of a density (`is_mass`).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints
from torch.nn import functional as F

from models.config import (
    BernoulliConfig,
    ContinuousBernoulliConfig,
    DiscretizedLogisticConfig,
    DiscretizedNormalConfig,
    NormalConfig,
    PointConfig,
)
from models.errors import OutOfSupport
from models.noise import NoiseKind
from models.normals import DiagonalNormal, positive
from models.point import Point

_EVENT_DIM = 3  # channel, height, width


class _PixelDistribution(Distribution):
    """What the distributions over (*batch, channel, height, width) share: shapes and noise."""

    noise_kind: NoiseKind = "uniform"
    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, batch_shape: torch.Size, event_shape: torch.Size) -> None:
        super().__init__(batch_shape, event_shape, validate_args=False)

    def noise_shape(self, sample_shape: Sequence[int] = ()) -> tuple[int, ...]:
        """Shape of the uniforms in [0, 1) that `from_noise` takes."""
        return (*sample_shape, *self.batch_shape, *self.event_shape)

    @abstractmethod
    def from_noise(self, noise: Tensor) -> Tensor:
        """The draw that the uniforms stand for."""

    def sample(self, sample_shape: Sequence[int] = torch.Size()) -> Tensor:
        """A draw with torch's ambient randomness; for tests."""
        mean = self.mean
        noise = torch.rand(self.noise_shape(sample_shape), dtype=mean.dtype, device=mean.device)
        return self.from_noise(noise)


class Bernoulli(_PixelDistribution):
    """Binary pixels; fused log-mass x l - softplus(l), which is exact for any logit."""

    support = constraints.boolean

    def __init__(self, logits: Tensor) -> None:
        """Logits of the shape (*batch, channel, height, width)."""
        self.logits = logits
        super().__init__(logits.shape[:-_EVENT_DIM], logits.shape[-_EVENT_DIM:])

    @property
    def mean(self) -> Tensor:
        """Probability of 1."""
        return _sigmoid(self.logits)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-mass, nats, summed over the event."""
        return _sum_event(value * self.logits + F.logsigmoid(-self.logits))

    def from_noise(self, noise: Tensor) -> Tensor:
        """1 where the uniform is below the probability."""
        return (noise < self.mean).to(noise.dtype)


class ContinuousBernoulli(_PixelDistribution):
    """Grey values in [0, 1] with density proportional to exp(x l).

    The normaliser is taken from the logit, with its Taylor series below |l| = 1/2, so that neither
    the centre nor the tails are clamped.

    Source: Loaiza-Ganem and Cunningham 2019, arXiv:1907.06845.
    """

    support = constraints.unit_interval

    def __init__(self, logits: Tensor) -> None:
        """Logits of the shape (*batch, channel, height, width)."""
        self.logits = logits
        super().__init__(logits.shape[:-_EVENT_DIM], logits.shape[-_EVENT_DIM:])

    @property
    def mean(self) -> Tensor:
        """1/2 + coth(l/2)/2 - 1/l, by its series near 0."""
        a = self.logits.abs()
        far = a >= _SERIES_BELOW
        safe = torch.where(far, a, torch.ones_like(a))
        exact = 0.5 / torch.tanh(safe / 2) - 1 / safe
        near = torch.where(far, torch.zeros_like(a), a)
        series = _polynomial(near.square(), _LOG_SINHC_SLOPE) * near
        return 0.5 + torch.sign(self.logits) * torch.where(far, exact, series)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density per unit of the [0, 1] scale, nats, summed over the event."""
        return _sum_event((value - 0.5) * self.logits - _log_sinhc(self.logits.abs()))

    def from_noise(self, noise: Tensor) -> Tensor:
        """Inverse distribution function; at logit 0 the uniform itself."""
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


def _polynomial(x: Tensor, coefficients: Sequence[float]) -> Tensor:
    total = torch.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = total * x + coefficient
    return total


def _log_sinhc(a: Tensor) -> Tensor:
    """log(sinh(a/2) / (a/2)) for a >= 0, with an exact gradient everywhere."""
    far = a >= _SERIES_BELOW
    safe = torch.where(far, a, torch.ones_like(a))
    exact = safe / 2 + torch.log(-torch.expm1(-safe)) - safe.log()
    near = torch.where(far, torch.zeros_like(a), a)
    return torch.where(far, exact, _polynomial(near.square(), _LOG_SINHC))


class DiscretizedLogistic(_PixelDistribution):
    """Integers 0..levels-1 under a mixture of logistics, one component per pixel.

    Colour channels are conditioned in turn: given its component, green's location moves linearly
    with red's value, and blue's with red's and green's. log s(b) + log s(-a) + log(1 - e^(a-b)) is
    the exact mass between the edges a < b, in the tails too.

    `mean` is exact for one channel. For colour it is each component's mean with the earlier
    channels at their own means, then mixed: exact but for the curvature that the open edges, and
    rounding at scales below one level, bring.

    Source: Salimans et al. 2017, arXiv:1701.05517, section 2.1-2.2 (its density fallback left out).
    """

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
        self.num_mixtures = logits.shape[-_EVENT_DIM]
        super().__init__(logits.shape[:-_EVENT_DIM], loc.shape[-_EVENT_DIM:])

    @property
    def support(self) -> constraints.Constraint:
        """The integers 0..levels-1."""
        return constraints.integer_interval(0, self.levels - 1)

    def noise_shape(self, sample_shape: Sequence[int] = ()) -> tuple[int, ...]:
        """One uniform per channel, and before them one for the component when there are several."""
        channels, height, width = self.event_shape
        choice = 1 if self.num_mixtures > 1 else 0
        return (*sample_shape, *self.batch_shape, choice + channels, height, width)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-mass, nats, summed over the event."""
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
        return by_component.logsumexp(-3).flatten(-2).sum(-1)

    @property
    def mean(self) -> Tensor:
        """Expected level in 0..levels-1; the class docstring says how colour is treated."""
        channels = self.event_shape[0]
        means: list[Tensor] = []
        for channel in range(channels):
            known = [self._scaled(m) for m in means]
            means.append(self._expected_level(self._loc_of(channel, known), channel))
        stacked = torch.stack(means, dim=-3)
        return (stacked * self.logits.softmax(-3).unsqueeze(-3)).sum(-4)

    def from_noise(self, noise: Tensor) -> Tensor:
        """A component by its uniform, then each channel by inverse distribution function."""
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
        cdf = self.logits.softmax(-3).cumsum(-3)[..., :-1, :, :]
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

    def _expected_level(self, loc: Tensor, channel: int) -> Tensor:
        """E[k] = sum over j >= 1 of P(k >= j), level by level to keep memory flat."""
        scale = self.scale[..., channel, :, :]
        total = torch.zeros_like(loc)
        for j in range(1, self.levels):
            edge = (2 * j - 1) / (self.levels - 1) - 1
            total = total + _sigmoid((loc - edge) / scale)
        return total


class DiscretizedNormal(_PixelDistribution):
    """Integers 0..levels-1 under a normal: the exact mass between each level's edges, ends open.

    The masses are differences of log Phi, taken in float64 from the lower tail on either side.
    """

    def __init__(self, loc: Tensor, scale: Tensor, *, levels: int) -> None:
        """Location and scale > 0 where level 0 is -1 and the highest is 1, (*batch, *event)."""
        self.loc, self.scale, self.levels = loc, scale, levels
        super().__init__(loc.shape[:-_EVENT_DIM], loc.shape[-_EVENT_DIM:])

    @property
    def support(self) -> constraints.Constraint:
        """The integers 0..levels-1."""
        return constraints.integer_interval(0, self.levels - 1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-mass, nats, summed over the event."""
        k = value.double()
        scale = self.scale.double()
        centre = (k * (2 / (self.levels - 1)) - 1 - self.loc.double()) / scale
        half = 1 / ((self.levels - 1) * scale)
        # By symmetry the interval is moved to the lower tail, where log Phi keeps its digits.
        high, low = half - centre.abs(), -half - centre.abs()
        log_high, log_low = _log_phi(high), _log_phi(low)
        interior = log_high + torch.log(-torch.expm1(log_low - log_high))
        bottom, top = _log_phi(half + centre), _log_phi(half - centre)
        log_mass = torch.where(k == 0, bottom, torch.where(k == self.levels - 1, top, interior))
        return _sum_event(log_mass).to(self.loc.dtype)

    @property
    def mean(self) -> Tensor:
        """Expected level, exact: sum over j >= 1 of P(k >= j)."""
        total = torch.zeros_like(self.loc)
        for j in range(1, self.levels):
            edge = (2 * j - 1) / (self.levels - 1) - 1
            total = total + torch.special.ndtr((self.loc - edge) / self.scale)
        return total

    def from_noise(self, noise: Tensor) -> Tensor:
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


def _sigmoid(logits: Tensor) -> Tensor:
    """Its bits do not depend on the position in the tensor; `normals.positive` says why."""
    return F.logsigmoid(logits).exp()


def _sum_event(terms: Tensor) -> Tensor:
    return terms.flatten(-_EVENT_DIM).sum(-1)


class Likelihood(nn.Module, ABC):
    """Turns a decoder's output into p(x|z), and checks observations at the door.

    Attributes:
        num_params: Channels that the decoder must give per pixel.
        is_mass: `log_prob` is the log of a mass (bits per dim exist) or of a density.
        unit_scale: x / unit_scale lies in [0, 1] for a picture.
        support_words: The support, for messages.
    """

    num_params: int
    is_mass: bool
    unit_scale: float = 1.0
    support_words: str

    @abstractmethod
    def forward(self, params: Tensor) -> Distribution:
        """From (*batch, num_params, height, width)."""

    @abstractmethod
    def support_mask(self, x: Tensor) -> Tensor:
        """True where an element of x has positive mass or density."""

    def check_support(self, x: Tensor) -> None:
        """Refuse observations of probability zero, before anything is computed.

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
            f"Every element of an observation lies in {self.support_words}; {len(items)} of "
            f"{len(x)} items do not (item {items[0][0]}: {items[0][1]}). Scale or binarize them as "
            "the image spec says.",
            items=tuple(items),
        )


class BernoulliLikelihood(Likelihood):
    """p(x|z) of binary pixels."""

    is_mass = True
    support_words = "{0, 1}"

    def __init__(self, config: BernoulliConfig, image_shape: tuple[int, int, int]) -> None:
        """One logit per element."""
        super().__init__()
        self.num_params = image_shape[0]

    def forward(self, params: Tensor) -> Bernoulli:
        """Parameters are the logits."""
        return Bernoulli(params)

    def support_mask(self, x: Tensor) -> Tensor:
        """0 or 1."""
        return (x == 0) | (x == 1)


class ContinuousBernoulliLikelihood(Likelihood):
    """p(x|z) of grey values as real numbers."""

    is_mass = False
    support_words = "[0, 1]"

    def __init__(
        self, config: ContinuousBernoulliConfig, image_shape: tuple[int, int, int]
    ) -> None:
        """One logit per element."""
        super().__init__()
        self.num_params = image_shape[0]

    def forward(self, params: Tensor) -> ContinuousBernoulli:
        """Parameters are the logits."""
        return ContinuousBernoulli(params)

    def support_mask(self, x: Tensor) -> Tensor:
        """Between 0 and 1, both included."""
        return (x >= 0) & (x <= 1)


class _LevelLikelihood(Likelihood):
    """What the likelihoods of integers 0..levels-1 share."""

    is_mass = True

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels = levels
        self.unit_scale = float(levels - 1)
        self.support_words = f"the integers 0..{levels - 1}"

    def support_mask(self, x: Tensor) -> Tensor:
        """An integer from 0 to levels-1."""
        return (x >= 0) & (x <= self.levels - 1) & (x == x.floor())


class DiscretizedLogisticLikelihood(_LevelLikelihood):
    """p(x|z) of integer levels under a mixture of logistics."""

    def __init__(
        self, config: DiscretizedLogisticConfig, image_shape: tuple[int, int, int]
    ) -> None:
        """Per component a logit, per channel a location, a scale and, in colour, a coupling."""
        super().__init__(config.levels)
        self.channels = image_shape[0]
        self.num_mixtures = config.num_mixtures
        self.couples = self.channels == 3
        self._sizes = [1, self.channels, self.channels] + ([3] if self.couples else [])
        self.num_params = self.num_mixtures * sum(self._sizes)

    def forward(self, params: Tensor) -> DiscretizedLogistic:
        """From (*batch, mixture x (1 + 2 channel [+ 3]), height, width)."""
        shape = (*params.shape[:-3], self.num_mixtures, sum(self._sizes), *params.shape[-2:])
        parts = params.reshape(shape).split(self._sizes, dim=-3)
        return DiscretizedLogistic(
            logits=parts[0].squeeze(-3),
            loc=parts[1],
            scale=positive(parts[2]),
            levels=self.levels,
            coupling=parts[3].tanh() if self.couples else None,
        )


class DiscretizedNormalLikelihood(_LevelLikelihood):
    """p(x|z) of integer levels under a normal."""

    def __init__(self, config: DiscretizedNormalConfig, image_shape: tuple[int, int, int]) -> None:
        """A location and a scale per element."""
        super().__init__(config.levels)
        self.num_params = 2 * image_shape[0]

    def forward(self, params: Tensor) -> DiscretizedNormal:
        """From (*batch, 2 channel, height, width)."""
        loc, raw_scale = params.chunk(2, dim=-3)
        return DiscretizedNormal(loc, positive(raw_scale), levels=self.levels)


class NormalLikelihood(Likelihood):
    """p(x|z) of real pixels on the unit scale, with a fixed, per-image or per-pixel scale."""

    is_mass = False
    support_words = "the finite real numbers"

    def __init__(self, config: NormalConfig, image_shape: tuple[int, int, int]) -> None:
        """A location per element, and what the scale needs."""
        super().__init__()
        self.channels = image_shape[0]
        self.scale = config.scale
        self.num_params = (
            self.channels + {"fixed": 0, "per_image": 1, "per_pixel": self.channels}[config.scale]
        )
        self.fixed_scale = config.fixed_scale
        # softplus(raw + start) begins at fixed_scale when the network's output begins at 0.
        self._start = config.fixed_scale + math.log(-math.expm1(-config.fixed_scale))

    def forward(self, params: Tensor) -> DiagonalNormal:
        """From (*batch, num_params, height, width)."""
        loc, raw = params.split([self.channels, self.num_params - self.channels], dim=-3)
        if self.scale == "fixed":
            return DiagonalNormal(loc, loc.new_tensor(self.fixed_scale), event_dim=_EVENT_DIM)
        if self.scale == "per_image":
            raw = raw.flatten(-_EVENT_DIM).mean(-1)[..., None, None, None]
        return DiagonalNormal(loc, positive(raw + self._start), event_dim=_EVENT_DIM)

    def support_mask(self, x: Tensor) -> Tensor:
        """Finite."""
        return x.isfinite()


class PointLikelihood(Likelihood):
    """No distribution: a picture of an autoencoder's latent."""

    is_mass = False
    support_words = "the finite real numbers"

    def __init__(self, config: PointConfig, image_shape: tuple[int, int, int]) -> None:
        """One number per element."""
        super().__init__()
        self.num_params = image_shape[0]

    def forward(self, params: Tensor) -> Point:
        """Parameters are the picture."""
        return Point(params, event_dim=_EVENT_DIM)

    def support_mask(self, x: Tensor) -> Tensor:
        """Finite."""
        return x.isfinite()


LIKELIHOODS: dict[str, type[Likelihood]] = {
    "bernoulli": BernoulliLikelihood,
    "continuous_bernoulli": ContinuousBernoulliLikelihood,
    "discretized_logistic": DiscretizedLogisticLikelihood,
    "discretized_normal": DiscretizedNormalLikelihood,
    "normal": NormalLikelihood,
    "point": PointLikelihood,
}
