"""A mixture of normals, each for itself, with a share of wider ones and a share of the prior.

    q(z) = sum_j a_j N(z; m_j, T_j T_j')
    r(z) = (1 - b - c) sum_j a_j N(z; m_j, s^2 T_j T_j') + b sum_j a_j N(z; m_j, t^2 T_j T_j')
           + c p(z)

Draws of r weighted by p(x, z) / r(z) never weigh more than p(x|z) / c, whatever the normals miss.
Weighting each draw by the whole mixture is the balance heuristic.

Source: Veach and Guibas 1995; Owen and Zhou 2000, Journal of the American Statistical Association
    95(449).
"""

import math

import torch
from jaxtyping import Float64
from torch import Tensor

from models.distributions.from_noise import FromNoise
from models.distributions.normals import DiagonalNormal
from models.estimators.factors import inverses, log_dets, times, transposed, variances

WIDE_SHARE, PRIOR_SHARE = 0.15, 0.05
_NARROW_FROM = WIDE_SHARE + PRIOR_SHARE
_MAX_NUMBERS = 2**22
"""Of an axis of matrices times draws, at once: 32 MiB."""
_LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)


class DefensiveMixture:
    """r(z) of each datum, over flat latents; `log_q` is the density of the normals alone.

    All but the prior is float64 on the CPU.
    """

    def __init__(
        self,
        log_shares: Float64[Tensor, "batch mode"],
        loc: Float64[Tensor, "batch mode latent"],
        factor: Float64[Tensor, "batch mode latent *latent"],
        prior: FromNoise,
        like: Tensor,
    ) -> None:
        """Put the parts together.

        Args:
            log_shares: log a_j; -inf for a datum with fewer normals than another.
            loc: m_j.
            factor: T_j, of any form, or the diagonals of diagonal ones.
            prior: p(z), over the model's latents.
            like: A tensor where the prior is, of its precision.
        """
        self.log_shares, self.loc, self.factor = log_shares, loc, factor
        self.prior, self._like = prior, like
        self._is_matrix = factor.ndim > loc.ndim
        self.inverse = inverses(factor, is_matrix=self._is_matrix)
        self.log_det = log_dets(factor, is_matrix=self._is_matrix)
        root = math.sqrt(loc.shape[-1])
        # What a normal that is s times too wide costs of the effective sample size depends on
        # (s - 1) sqrt(L): s is 1.04 and 1.24 for 40 latents.
        self.narrow, self.wide = 1 + 0.25 / root, 1 + 1.5 / root

    @property
    def mean(self) -> Tensor:
        """The mean of the normals alone, (batch, latent)."""
        return (self.log_shares.exp().unsqueeze(-1) * self.loc).sum(1)

    @property
    def scale(self) -> Tensor:
        """The standard deviation of each dimension of the normals alone, (batch, latent)."""
        variance = variances(self.factor, is_matrix=self._is_matrix)
        variance = variance + (self.loc - self.mean.unsqueeze(1)).square()
        return (self.log_shares.exp().unsqueeze(-1) * variance).sum(1).sqrt()

    @property
    def noise(self) -> DiagonalNormal:
        """Distribution of a draw's noise: what chooses the part, then a normal's or the prior's."""
        of_prior = math.prod(self.prior.noise_event_shape)
        zero = self.loc.new_zeros(len(self.loc), 1 + max(self.loc.shape[-1], of_prior))
        return DiagonalNormal(zero, torch.ones_like(zero), event_dim=1)

    def from_noise(self, noise: Tensor) -> Tensor:
        """A draw of each datum, (sample, batch, latent)."""
        noise = noise.double()
        rank = torch.special.ndtr(noise[..., 0])
        # The rank chooses the part, and within a part its place chooses the mode.
        is_prior, is_wide = rank < PRIOR_SHARE, rank < _NARROW_FROM
        wide_place, narrow_place = (
            (rank - PRIOR_SHARE) / WIDE_SHARE,
            (rank - _NARROW_FROM) / (1 - _NARROW_FROM),
        )
        place = torch.where(is_wide, wide_place, narrow_place)
        scale = torch.where(is_wide, self.wide, self.narrow).unsqueeze(-1)
        z = self._draw_normals(place, scale, noise)
        shape = self.prior.noise_event_shape
        of_prior = noise[..., 1 : 1 + math.prod(shape)].unflatten(-1, shape).to(self._like)
        drawn = self.prior.from_noise(of_prior)
        return torch.where(is_prior.unsqueeze(-1), drawn.flatten(2).to(z), z)

    def log_prob(self, value: Tensor) -> Tensor:
        """log r(z), nats, (sample, batch)."""
        z = value.unflatten(-1, self.prior.event_shape).to(self._like)
        parts = (
            math.log(1 - _NARROW_FROM) + self._log_normals(value, self.narrow),
            math.log(WIDE_SHARE) + self._log_normals(value, self.wide),
            math.log(PRIOR_SHARE) + self.prior.log_prob(z).to(value),
        )
        return torch.stack(parts, -1).logsumexp(-1)

    def log_q(self, value: Tensor) -> Tensor:
        """log q(z) of the normals alone, nats, (sample, batch)."""
        return self._log_normals(value, 1.0)

    def q_from_noise(self, noise: Tensor) -> Tensor:
        """A draw of the normals alone, (sample, batch, latent), from the same kind of noise."""
        noise = noise.double()
        one = noise.new_ones(())
        return self._draw_normals(torch.special.ndtr(noise[..., 0]), one, noise)

    def log_q_and_slope(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """log q(z) of the normals alone, nats, (sample, batch), and its gradient."""
        terms, slopes = [], []
        for mode in range(self.loc.shape[1]):
            inverse = self.inverse[:, mode]
            noise = by_item(inverse, value - self.loc[:, mode])
            each = noise.square() * -0.5 - _LOG_SQRT_2PI
            terms.append(each.sum(-1) - self.log_det[:, mode] + self.log_shares[:, mode])
            slopes.append(-by_item(transposed(inverse, is_matrix=self._is_matrix), noise))
        log_terms = torch.stack(terms, -1)
        weights = log_terms.softmax(-1).unsqueeze(-2)
        return log_terms.logsumexp(-1), (weights * torch.stack(slopes, -1)).sum(-1)

    def _draw_normals(self, place: Tensor, scale: Tensor, noise: Tensor) -> Tensor:
        """Draws of the normals that the places in [0, 1) choose, of so many times their scale."""
        edges = self.log_shares.exp().cumsum(-1)[:, :-1]
        mode = (place.unsqueeze(-1) >= edges).sum(-1)
        item = torch.arange(len(self.loc)).expand_as(mode)
        normals = noise[..., 1 : 1 + self.loc.shape[-1]]
        moved = [
            times(self.factor[i, m], v, is_matrix=self._is_matrix)
            for i, m, v in zip(
                *(rows.split(self._samples_at_once()) for rows in (item, mode, normals)),
                strict=True,
            )
        ]
        return self.loc[item, mode] + scale * torch.cat(moved)

    def _samples_at_once(self) -> int:
        return max(1, _MAX_NUMBERS // self.factor.numel())

    def _log_normals(self, value: Tensor, scale: float) -> Tensor:
        """log of sum_j a_j N(z; m_j, scale^2 T_j T_j'), (sample, batch)."""
        rest = value.unsqueeze(2) - self.loc
        parts = [
            times(self.inverse, part, is_matrix=self._is_matrix)
            for part in rest.split(self._samples_at_once())
        ]
        noise = torch.cat(parts) / scale
        terms = noise.square() * -0.5 - math.log(scale) - _LOG_SQRT_2PI
        return (terms.sum(-1) - self.log_det + self.log_shares).logsumexp(-1)


def by_item(
    matrices: Float64[Tensor, "batch *row latent"], vectors: Float64[Tensor, "sample batch latent"]
) -> Float64[Tensor, "sample batch latent"]:
    """Each item's matrix, or diagonal one, times its vectors."""
    if matrices.ndim == 2:
        return matrices * vectors
    # One item after the other, from memory of its own: else a library may add in another order.
    whole = torch.contiguous_format
    each = [
        vectors[:, i].clone(memory_format=whole) @ matrix.clone(memory_format=whole).mT
        for i, matrix in enumerate(matrices)
    ]
    return torch.stack(each, 1)


def slope_of(
    distribution: FromNoise, z: Float64[Tensor, "sample batch latent"], like: Tensor
) -> tuple[Tensor, Tensor]:
    """The log-density of flat latents, nats, (sample, batch), and its gradient, of z's shape.

    Args:
        distribution: Of batch shape () or (batch,).
        z: Where.
        like: A tensor where the distribution is, of its precision.
    """
    with torch.inference_mode(False), torch.enable_grad():
        at = z.to(like).clone().requires_grad_()
        log_prob = distribution.log_prob(at.unflatten(-1, distribution.event_shape))
        (slope,) = torch.autograd.grad(log_prob.sum(), at)
    return log_prob.detach().to(z), slope.to(z)
