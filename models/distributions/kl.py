"""Kullback-Leibler divergences: closed forms by pair of distributions, and estimates at draws.

    KL(q || p) = E_q[log q(z) - log p(z)]

Groups that q and p draw in the same order, z_i after z_a, have closed forms given the draw:

    KL(q || p) = sum_i E_q[KL(q(z_i | z_a) || p(z_i | z_a))]
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from models.distributions.from_noise import FromNoise, sum_event
from models.distributions.grouped import GroupedNormal
from models.distributions.normals import DiagonalNormal, FullNormal
from models.distributions.one_hot import OneHot
from models.errors import UnsupportedOperation


def kl_terms(q: DiagonalNormal, p: DiagonalNormal) -> Tensor:
    """KL of each dimension where q and p factorise, nats, (*batch, *event).

    log(sigma_p / sigma_q) + (sigma_q^2 + (mu_q - mu_p)^2) / (2 sigma_p^2) - 1/2
    """
    ratio = (q.scale / p.scale).square()
    distance = ((q.loc - p.loc) / p.scale).square()
    return 0.5 * (ratio + distance - 1 - ratio.log())


def _kl_diagonal_normals(q: DiagonalNormal, p: DiagonalNormal) -> Tensor:
    return sum_event(kl_terms(q, p), len(q.event_shape))


def _kl_full_normal(q: FullNormal, p: DiagonalNormal) -> Tensor:
    variance = (q.scale / p.scale).square()
    distance = ((q.loc - p.loc) / p.scale).square()
    return (0.5 * (variance + distance - 1) - (q.diagonal / p.scale).log()).sum(-1)


def _kl_one_hots(q: OneHot, p: OneHot) -> Tensor:
    terms = q.mean * (q.log_probs - p.log_probs)
    return torch.where(q.mean > 0, terms, torch.zeros_like(terms)).sum(-1)


CLOSED_FORMS: dict[tuple[type[FromNoise], type[FromNoise]], Callable[[Any, Any], Tensor]] = {
    (DiagonalNormal, DiagonalNormal): _kl_diagonal_normals,
    (FullNormal, DiagonalNormal): _kl_full_normal,
    (OneHot, OneHot): _kl_one_hots,
}
"""KL(q || p) by the classes of q and p, nats, (batch,)."""


def has_analytic_kl(q: FromNoise, p: FromNoise) -> bool:
    """Whether KL(q || p) has a closed form."""
    return (type(q), type(p)) in CLOSED_FORMS


def kl_divergence(q: FromNoise, p: FromNoise) -> Float[Tensor, " batch"]:
    """KL(q || p) in closed form, nats >= 0, summed over the latent.

    Raises:
        UnsupportedOperation: The pair has no closed form.
    """
    if not has_analytic_kl(q, p):
        raise UnsupportedOperation(
            f"The KL from {type(q).__name__} to {type(p).__name__} has no closed form. "
            "Use kl_method='monte_carlo'.",
            parameter="kl_method",
            suggestion="monte_carlo",
        )
    return CLOSED_FORMS[type(q), type(p)](q, p)


def kl_at_draws(
    q: FromNoise, p: FromNoise, z: Float[Tensor, "sample batch ..."], *, path: bool = False
) -> Float[Tensor, "sample batch group"]:
    """KL of each group given the draw before it, where that is closed; log-ratios elsewhere.

    The mean over draws from q estimates the KL, and does so with less variance by closed forms.

    Returns:
        Nats, of each group of a hierarchy; one group otherwise.
    """
    if isinstance(q, GroupedNormal) and isinstance(p, GroupedNormal) and q.order == p.order:
        pairs = zip(q.groups_at(z), p.groups_at(z), strict=True)
        return torch.stack([_kl_diagonal_normals(*pair).expand(z.shape[:-1]) for pair in pairs], -1)
    return log_ratios(q, p, z, path=path)


def log_ratios(
    q: FromNoise, p: FromNoise, z: Float[Tensor, "sample batch ..."], *, path: bool = False
) -> Float[Tensor, "sample batch group"]:
    """log q(z) - log p(z) at draws from q; the mean estimates the KL.

    Args:
        q: What z was drawn from.
        p: The other distribution.
        z: Reparameterised draws.
        path: Hold q's parameters constant, so that their gradient goes through z alone. It leaves
            out the score of q, whose mean is zero, and with it the noise where q is exact.

    Returns:
        Nats, of each group of a hierarchy; one group otherwise.

    Source of the path: Roeder, Wu and Duvenaud 2017, arXiv:1703.09194, section 3.
    """
    q = q.detached() if path else q
    if isinstance(q, GroupedNormal) and isinstance(p, GroupedNormal):
        return q.log_prob_per_group(z) - p.log_prob_per_group(z)
    return (q.log_prob(z) - p.log_prob(z)).unsqueeze(-1)
