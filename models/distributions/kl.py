"""Kullback-Leibler divergences: closed forms by pair of distributions, and log-ratios at draws."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions.kl import kl_divergence as torch_kl_divergence
from torch.distributions.kl import register_kl

from models.distributions.grouped import GroupedNormal
from models.distributions.normals import DiagonalNormal, FullNormal, _sum_event
from models.distributions.one_hot import OneHot
from models.errors import UnsupportedOperation


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


@register_kl(FullNormal, DiagonalNormal)  # type: ignore[untyped-decorator]
def _kl_full_normal(q: FullNormal, p: DiagonalNormal) -> Tensor:
    variance = (q.scale / p.scale).square()
    distance = ((q.loc - p.loc) / p.scale).square()
    return (0.5 * (variance + distance - 1) - (q.diagonal / p.scale).log()).sum(-1)


@register_kl(OneHot, OneHot)  # type: ignore[untyped-decorator]
def _kl_one_hot(q: OneHot, p: OneHot) -> Tensor:
    terms = q.mean * (q.log_probs - p.log_probs)
    return torch.where(q.mean > 0, terms, torch.zeros_like(terms)).sum(-1)


def kl_divergence(posterior: Distribution, prior: Distribution) -> Float[Tensor, " batch"]:
    """KL(q(z|x) || p(z)) in closed form, nats >= 0, summed over the latent.

    Raises:
        UnsupportedOperation: The pair has no closed form.
    """
    try:
        return torch_kl_divergence(posterior, prior)
    except NotImplementedError as error:
        raise UnsupportedOperation(
            "An analytic KL needs a pair of distributions with a closed form; received "
            f"{type(posterior).__name__} and {type(prior).__name__}. Use the Monte Carlo form."
        ) from error


def has_analytic_kl(posterior: Distribution, prior: Distribution) -> bool:
    """Whether `kl_divergence` has a closed form for this pair."""
    pairs = ((DiagonalNormal, DiagonalNormal), (FullNormal, DiagonalNormal), (OneHot, OneHot))
    return any(isinstance(posterior, q) and isinstance(prior, p) for q, p in pairs)


def log_ratios(
    posterior: Distribution, prior: Distribution, z: Float[Tensor, "sample batch ..."]
) -> Float[Tensor, "sample batch group"]:
    """log q(z|x) - log p(z) at draws from the posterior: means of them estimate the KL.

    Returns:
        Nats, of each group of a hierarchy; one group otherwise.
    """
    if isinstance(posterior, GroupedNormal) and isinstance(prior, GroupedNormal):
        return posterior.log_prob_per_group(z) - prior.log_prob_per_group(z)
    return (posterior.log_prob(z) - prior.log_prob(z)).unsqueeze(-1)
