"""The diagonal normal and its KL against torch's and against Monte Carlo; float64."""

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from models.normals import DiagonalNormal, kl_terms, positive


def normal(*shape, event_dim=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    loc = torch.randn(*shape, generator=generator, dtype=torch.float64)
    scale = torch.rand(*shape, generator=generator, dtype=torch.float64) + 0.2
    return DiagonalNormal(loc, scale, event_dim=event_dim)


def torchs(d):
    return Independent(Normal(d.loc, d.scale), len(d.event_shape))


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
    assert d.mean is d.loc
    assert d.stddev is d.scale
    assert torch.equal(d.variance, d.scale**2)


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


def test_the_closed_form_kl_is_torchs_and_sums_its_dimensions():
    q, p = normal(3, 2, 2, event_dim=2), normal(2, 2, event_dim=2, seed=1)
    theirs = kl_divergence(Normal(q.loc, q.scale), Normal(p.loc, p.scale))
    torch.testing.assert_close(kl_terms(q, p), theirs, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(kl_divergence(q, p), theirs.sum((1, 2)), rtol=1e-12, atol=1e-14)


def test_the_closed_form_kl_is_the_mean_of_the_log_ratio():
    q, p = normal(3, 4), normal(4, seed=1)
    noise = torch.randn(40_000, 3, 4, generator=torch.Generator().manual_seed(2)).double()
    z = q.from_noise(noise)
    ratio = q.log_prob(z) - p.log_prob(z)
    error = ratio.std(0) / 40_000**0.5
    assert bool(((ratio.mean(0) - kl_divergence(q, p)).abs() < 4 * error).all())
    assert float((error / kl_divergence(q, p)).max()) < 0.02


def test_the_kl_of_a_distribution_with_itself_is_zero():
    assert torch.equal(kl_divergence(normal(3, 4), normal(3, 4)), torch.zeros(3).double())


def test_the_kl_stays_right_for_scales_far_from_one():
    loc = torch.zeros(2, 1, dtype=torch.float64)
    scale = torch.tensor([[1e-12], [1e6]], dtype=torch.float64)
    q = DiagonalNormal(loc, scale, event_dim=1)
    p = DiagonalNormal(loc[0], torch.ones(1).double(), event_dim=1)
    exact = 0.5 * (scale**2 - 1) - scale.log()
    torch.testing.assert_close(kl_divergence(q, p), exact[:, 0], rtol=1e-14, atol=0)


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_scale_is_positive_and_finite_for_any_finite_network_output(dtype):
    raw = torch.tensor([-1e30, -1e4, -800, -90, 0, 90, 1e4, 1e30], dtype=dtype)
    scale = positive(raw)
    assert bool((scale > 0).all())
    assert bool(scale.isfinite().all())
    assert bool(scale.log().isfinite().all())
    assert torch.equal(scale[5:], raw[5:])
