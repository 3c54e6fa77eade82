"""Normals and mixtures of them against torch's and against Monte Carlo; float64."""

import pytest
import torch
from scipy import integrate
from torch.distributions import Normal

from models.distributions.kl import kl_divergence
from models.distributions.normals import (
    DiagonalNormal,
    FullNormal,
    MixtureOfNormals,
    multiply_normals,
)
from tests.models.distribution_cases import dense, full, mixture, normal, torchs, torchs_mixture


@pytest.mark.parametrize(
    ("shape", "event_dim"), [((3, 4), 1), ((3, 2, 2), 2), ((5, 3, 4), 1), ((4,), 1)]
)
def test_log_prob_and_shapes_are_torchs(shape, event_dim):
    d = normal(*shape, event_dim=event_dim)
    theirs = torchs(d)
    assert (d.batch_shape, d.event_shape) == (theirs.batch_shape, theirs.event_shape)
    z = d.loc + torch.linspace(-40, 40, d.loc.numel()).reshape(shape) * d.scale
    torch.testing.assert_close(d.log_prob(z), theirs.log_prob(z), rtol=1e-13, atol=1e-12)


def test_moments_are_the_parameters():
    d = normal(3, 4)
    assert d.mean is d.mode is d.loc


def test_a_draw_is_location_plus_scale_times_noise():
    d = normal(3, 4)
    assert d.noise_shape((5,)) == (5, 3, 4)
    noise = torch.linspace(-2, 2, 60, dtype=torch.float64).reshape(5, 3, 4)
    assert torch.equal(d.from_noise(noise), d.loc + d.scale * noise)


def test_rsample_has_the_distributions_moments():
    d = normal(2, 3)
    torch.manual_seed(0)
    drawn = d.rsample((20_000,))
    assert drawn.shape == (20_000, 2, 3)
    error = d.scale / 20_000**0.5
    assert bool(((drawn.mean(0) - d.loc).abs() < 4 * error).all())
    assert bool(((drawn.std(0) - d.scale).abs() < 4 * error / 2**0.5).all())


def test_detached_is_the_same_distribution_without_gradients():
    loc, scale = (torch.ones(2, 3).double().requires_grad_() for _ in range(2))
    d = DiagonalNormal(loc, scale, event_dim=1)
    stopped = d.detached()
    z = torch.full((2, 3), 0.3, dtype=torch.float64, requires_grad=True)
    assert torch.equal(stopped.log_prob(z), d.log_prob(z))
    assert stopped.event_shape == d.event_shape
    stopped.log_prob(z).sum().backward()
    assert loc.grad is None
    assert scale.grad is None
    assert z.grad is not None


# Full normals


@pytest.mark.parametrize("latent", [1, 2, 7])
def test_a_full_normals_log_prob_is_torchs_dense_one(latent):
    d = full(latent=latent)
    z = torch.linspace(-9, 9, 5 * 3 * latent, dtype=torch.float64).reshape(5, 3, latent)
    torch.testing.assert_close(d.log_prob(z), dense(d).log_prob(z), rtol=1e-11, atol=1e-11)
    assert (d.batch_shape, d.event_shape) == ((3,), (latent,))


def test_a_full_normals_draws_have_its_moments():
    d = full(batch=1)
    noise = torch.randn(60_000, 1, 4, generator=torch.Generator().manual_seed(1)).double()
    assert d.noise_shape((60_000,)) == noise.shape
    z = d.from_noise(noise)[:, 0]
    exact = dense(d).covariance_matrix[0]
    assert bool(((z.mean(0) - d.loc[0]).abs() < 4 * d.scale[0] / 60_000**0.5).all())
    # Var of a product of two normals: s_ii s_jj + s_ij^2
    error = ((exact.diagonal()[:, None] * exact.diagonal() + exact**2) / 60_000).sqrt()
    assert bool(((torch.cov(z.T) - exact).abs() < 4 * error).all())
    torch.testing.assert_close(d.scale, dense(d).stddev, rtol=1e-13, atol=0)
    assert d.mean is d.mode is d.loc


def test_a_full_normals_draw_is_undone_by_its_density():
    d = full()
    noise = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(1)).double()
    exact = Normal(0, 1).log_prob(noise).sum(-1) - d.diagonal.log().sum(-1)
    torch.testing.assert_close(d.log_prob(d.from_noise(noise)), exact, rtol=1e-11, atol=1e-11)


def test_a_full_normal_without_correlations_is_the_diagonal_one():
    d = normal(3, 4)
    same = FullNormal(d.loc, d.scale, torch.zeros(3, 4, 4).double())
    p = normal(4, seed=1)
    z = torch.linspace(-3, 3, 12, dtype=torch.float64).reshape(3, 4)
    torch.testing.assert_close(same.log_prob(z), d.log_prob(z), rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(kl_divergence(same, p), kl_divergence(d, p), rtol=1e-12, atol=0)


def test_a_detached_full_normal_is_the_same_without_gradients():
    parts = [t.requires_grad_() for t in (full().loc, full().diagonal, full().lower)]
    d = FullNormal(*parts)
    z = torch.full((3, 4), 0.3, dtype=torch.float64, requires_grad=True)
    assert torch.equal(d.detached().log_prob(z), d.log_prob(z))
    d.detached().log_prob(z).sum().backward()
    assert all(part.grad is None for part in parts)
    assert z.grad is not None


def test_a_gradient_of_a_full_normals_density_is_torchs():
    gradients = []
    for density in (lambda d, z: d.log_prob(z), lambda d, z: dense(d).log_prob(z)):
        parts = [t.clone().requires_grad_() for t in (full().loc, full().diagonal, full().lower)]
        density(FullNormal(*parts), torch.full((3, 4), 0.3).double()).sum().backward()
        gradients.append(torch.cat([part.grad.flatten() for part in parts]))
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-10)


# Mixtures


def test_many_rows_of_many_components_are_each_what_they_are_alone():
    d = mixture(2, 20, num_components=500)
    z = torch.randn(3, 50, 2, 20, generator=torch.Generator().manual_seed(1)).double()
    found = d.log_prob(z)
    assert found.shape == (3, 50)
    alone = [d.log_prob(row) for row in z.flatten(0, 1)]
    assert torch.equal(found.flatten(), torch.stack(alone))
    every = d.components.log_prob(z.unsqueeze(-3)) + d.logits
    torch.testing.assert_close(found, every.logsumexp(-1), rtol=1e-13, atol=1e-12)
    assert d.log_prob(z[:, :0]).shape == (3, 0)


@pytest.mark.parametrize("shape", [(1,), (4,), (2, 3)], ids=str)
def test_a_mixtures_log_prob_is_torchs(shape):
    d = mixture(*shape)
    z = torch.linspace(-30, 30, 10 * d.event_shape.numel(), dtype=torch.float64)
    z = z.reshape(5, 2, *shape)
    assert (d.batch_shape, d.event_shape) == ((), shape)
    torch.testing.assert_close(d.log_prob(z), torchs_mixture(d).log_prob(z), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(d.mean, torchs_mixture(d).mean, rtol=1e-13, atol=1e-14)


def test_a_mixtures_density_integrates_to_one():
    one = mixture(1)
    mass, _ = integrate.quad(lambda v: float(one.log_prob(torch.tensor([v]).double()).exp()), -9, 9)
    assert mass == pytest.approx(1, abs=1e-8)
    axis = torch.linspace(-9, 9, 801, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    two = mixture(2).log_prob(grid).exp().sum() * (axis[1] - axis[0]) ** 2
    assert float(two) == pytest.approx(1, abs=1e-8)  # the trapezium rule, exponentially accurate


def test_a_mixtures_draws_choose_components_as_often_as_their_weights():
    d = mixture(2, num_components=4)
    spread = MixtureOfNormals(  # so far apart that a draw tells its component
        d.logits,
        DiagonalNormal(
            1000 * torch.arange(4.0).double()[:, None].expand(4, 2),
            torch.ones(4, 2).double(),
            event_dim=1,
        ),
    )
    noise = torch.randn(40_000, 3, generator=torch.Generator().manual_seed(0)).double()
    assert d.noise_shape((40_000,)) == noise.shape
    chosen = (spread.from_noise(noise)[:, 0] / 1000).round().long()
    weights = d.logits.exp()
    found = torch.bincount(chosen, minlength=4) / 40_000
    assert bool(((found - weights).abs() < 4 * (weights * (1 - weights) / 40_000).sqrt()).all())


def test_a_mixtures_draws_have_its_moments():
    d = mixture(2)
    noise = torch.randn(60_000, 3, generator=torch.Generator().manual_seed(0)).double()
    z, theirs = d.from_noise(noise), torchs_mixture(d)
    assert bool(((z.mean(0) - theirs.mean).abs() < 4 * theirs.stddev / 60_000**0.5).all())
    fourth = ((z - theirs.mean) ** 2).std(0) / 60_000**0.5
    assert bool(((z.var(0) - theirs.variance).abs() < 4 * fourth).all())


def test_a_temperature_scales_a_components_normals_and_leaves_the_choice_alone():
    d = mixture(2)
    noise = torch.randn(200, 3, generator=torch.Generator().manual_seed(0)).double()
    cold, warm, hot = (d.from_noise(noise, temperature=t) for t in (0.0, 1.0, 2.0))
    assert bool((cold[:, None] == d.components.loc).all(-1).any(-1).all())  # each at a location
    assert len(cold.unique(dim=0)) == 3
    torch.testing.assert_close(hot - cold, 2 * (warm - cold), rtol=1e-12, atol=1e-13)


def test_a_component_without_weight_is_never_chosen():
    components = DiagonalNormal(torch.arange(3.0)[:, None], torch.ones(3, 1), event_dim=1)
    d = MixtureOfNormals(torch.tensor([-1e4, 0.0, -1e4]), components)
    noise = torch.linspace(-8, 8, 400)[:, None].repeat(1, 2)
    assert torch.equal(d.from_noise(noise, temperature=0.0), torch.ones(400, 1))


# Products


def test_a_product_of_normals_has_the_product_of_both_densities_but_for_a_constant():
    a = DiagonalNormal(torch.tensor([[0.3]]).double(), torch.tensor([[0.7]]).double(), event_dim=1)
    b = DiagonalNormal(torch.tensor([[-1.0]]).double(), torch.tensor([[2.5]]).double(), event_dim=1)
    z = torch.linspace(-4, 4, 9).double()[:, None, None]
    rest = a.log_prob(z) + b.log_prob(z) - multiply_normals(a, b).log_prob(z)
    torch.testing.assert_close(rest, rest[:1].expand_as(rest), rtol=0, atol=1e-12)


@pytest.mark.parametrize("scales", [(1e-30, 1.0), (1e-30, 1e-30), (1e30, 1e-3), (1e38, 1e38)])
def test_a_product_stays_finite_for_scales_whose_precision_does_not(scales):
    first, second = (
        DiagonalNormal(torch.tensor([[loc]]), torch.tensor([[s]]), event_dim=1)
        for loc, s in zip((2.0, -1.0), scales, strict=True)
    )
    for product in (multiply_normals(first, second), multiply_normals(second, first)):
        exact = 1 / sum(s**-2 for s in scales)
        assert float(product.scale) == pytest.approx(exact**0.5, rel=1e-5)
        loc = exact * (2.0 * scales[0] ** -2 - scales[1] ** -2)
        assert float(product.loc) == pytest.approx(loc, rel=1e-5)
