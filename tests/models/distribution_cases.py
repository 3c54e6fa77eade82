"""Distributions of random parameters, and torch's own of the same parameters; float64."""

import torch
from torch.distributions import (
    Categorical,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
)

from models.distributions.normals import DiagonalNormal, FullNormal, MixtureOfNormals
from models.distributions.one_hot import OneHot

COUNT = 5
"""Unit vectors of a one-hot."""


def normal(*shape, event_dim=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    loc = torch.randn(*shape, generator=generator, dtype=torch.float64)
    scale = torch.rand(*shape, generator=generator, dtype=torch.float64) + 0.2
    return DiagonalNormal(loc, scale, event_dim=event_dim)


def torchs(d):
    return Independent(Normal(d.loc, d.scale), len(d.event_shape))


def full(*, batch=3, latent=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    loc = torch.randn(batch, latent, generator=generator, dtype=torch.float64)
    scale = torch.rand(batch, latent, generator=generator, dtype=torch.float64) + 0.2
    lower = torch.randn(batch, latent, latent, generator=generator, dtype=torch.float64)
    return FullNormal(loc, scale, lower)


def dense(d):
    return MultivariateNormal(d.loc, scale_tril=d.lower + torch.diag_embed(d.diagonal))


def mixture(*shape, num_components=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(num_components, generator=generator, dtype=torch.float64)
    return MixtureOfNormals(logits, normal(num_components, *shape, event_dim=len(shape), seed=seed))


def torchs_mixture(d):
    return MixtureSameFamily(Categorical(logits=d.logits), torchs(d.components))


def one_hot(*batch, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return OneHot(3 * torch.randn(*batch, COUNT, generator=generator, dtype=torch.float64))
