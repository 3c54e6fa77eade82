"""The defensive mixture against torch's own mixtures; float64."""

import math

import torch
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from models.distributions.batch_noise import BatchNoise
from models.distributions.normals import DiagonalNormal
from models.estimators.defensive import PRIOR_SHARE, WIDE_SHARE, DefensiveMixture

LENGTH = 3


def make():
    """Two data: one of two modes, one of a single mode."""
    generator = torch.Generator().manual_seed(0)
    loc = torch.randn(2, 2, LENGTH, generator=generator, dtype=torch.float64)
    factor = torch.randn(2, 2, LENGTH, LENGTH, generator=generator, dtype=torch.float64)
    factor = factor + 2 * torch.eye(LENGTH, dtype=torch.float64)
    log_shares = torch.tensor([[0.3, 0.7], [1.0, 0.0]], dtype=torch.float64).log()
    zero = torch.zeros(LENGTH, dtype=torch.float64)
    prior = DiagonalNormal(zero, zero + 4, event_dim=1)
    return DefensiveMixture(log_shares, loc, factor, prior, zero)


def torchs(r, scale):
    """The normals alone, every scale a multiple."""
    covariance = scale**2 * r.factor @ r.factor.mT
    normals = MultivariateNormal(r.loc, covariance)
    return MixtureSameFamily(Categorical(logits=r.log_shares.clamp_min(-1e4)), normals)


def test_densities_are_those_of_torchs_mixtures():
    r = make()
    z = torch.randn(7, 2, LENGTH, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(r.log_q(z), torchs(r, 1.0).log_prob(z))
    shares = torch.tensor([1 - WIDE_SHARE - PRIOR_SHARE, WIDE_SHARE, PRIOR_SHARE]).double()
    parts = [torchs(r, 1 + c / math.sqrt(LENGTH)).log_prob(z) for c in (0.25, 1.5)]
    expected = torch.stack([*parts, r.prior.log_prob(z)], -1) + shares.log()
    torch.testing.assert_close(r.log_prob(z), expected.logsumexp(-1))


def test_draws_come_from_the_density():
    r, count = make(), 40_000
    noise = BatchNoise(0, 2, "proposal").draw_for(r.noise, count, dtype=torch.float64)
    assert noise.shape == (count, 2, 1 + LENGTH)
    z = r.from_noise(noise)
    other = r.log_q(z) - r.log_prob(z)  # the mean of q / r is 1
    ratio = other.exp()
    error = ratio.std(0) / math.sqrt(count)
    assert bool(((ratio.mean(0) - 1).abs() < 4 * error).all())
    assert float(error.max()) < 0.01
    mean = (1 - PRIOR_SHARE) * r.mean  # the prior's is zero
    assert bool(((z.mean(0) - mean).abs() < 4 * z.std(0) / math.sqrt(count)).all())
    for scale, low, high in ((r.narrow, 0.2, 1.0), (r.wide, 0.05, 0.2)):
        rank = torch.special.ndtr(noise[:, 1, 0])
        chosen = z[(rank > low) & (rank < high), 1]
        found = torch.cov(chosen.T)
        exact = scale**2 * r.factor[1, 0] @ r.factor[1, 0].T
        torch.testing.assert_close(found, exact, rtol=0, atol=0.07 * float(exact.max()))


def test_the_normals_alone_have_draws_a_density_and_its_slope():
    r, count = make(), 40_000
    noise = BatchNoise(0, 2, "annealing").draw_for(r.noise, count, dtype=torch.float64)
    z = r.q_from_noise(noise)
    assert bool(((z.mean(0) - r.mean).abs() < 4 * z.std(0) / math.sqrt(count)).all())
    ratio = (r.log_prob(z) - r.log_q(z)).exp()  # the mean of r / q is 1
    error = ratio.std(0) / math.sqrt(count)
    assert bool(((ratio.mean(0) - 1).abs() < 4 * error).all())
    at = z[:7].clone().requires_grad_()
    (expected,) = torch.autograd.grad(r.log_q(at).sum(), at)
    log_q, slope = r.log_q_and_slope(z[:7])
    torch.testing.assert_close(log_q, r.log_q(z[:7]))
    torch.testing.assert_close(slope, expected)
