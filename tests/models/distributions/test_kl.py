"""Closed forms of the KL against torch's, the oracle's and Monte Carlo; float64."""

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal, OneHotCategorical
from torch.distributions import kl_divergence as torchs_kl

from models.distributions.kl import (
    CLOSED_FORMS,
    has_analytic_kl,
    kl_at_draws,
    kl_divergence,
    kl_terms,
    log_ratios,
)
from models.distributions.normals import DiagonalNormal
from models.distributions.one_hot import OneHot
from models.errors import UnsupportedOperation
from tests.models.distribution_cases import dense, full, mixture, normal, one_hot
from tests.oracle import instance, two_layers

NAMES = ["easy", "medium", "hard"]


@pytest.mark.parametrize("name", NAMES)
def test_the_kl_is_exact(name):
    oracle = instance(name)
    x = oracle.draw(20)
    kl = kl_divergence(oracle.vae.posterior(x), oracle.vae.prior())
    torch.testing.assert_close(kl, oracle.kl(x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_the_kl_per_dimension_sums_to_the_kl(name):
    oracle = instance(name)
    q, p = oracle.vae.posterior(oracle.draw(20)), oracle.vae.prior()
    parts = kl_terms(q, p)
    assert parts.shape == (20, oracle.vae.num_latents)
    assert bool((parts >= 0).all())
    torch.testing.assert_close(parts.sum(-1), kl_divergence(q, p), rtol=1e-13, atol=0)


def test_a_kl_without_closed_form_is_refused():
    q, p = normal(2, 3), mixture(3)
    assert has_analytic_kl(q, q)
    assert not has_analytic_kl(q, p)
    message = "The KL from DiagonalNormal to MixtureOfNormals has no closed form"
    with pytest.raises(UnsupportedOperation, match=message) as caught:
        kl_divergence(q, p)
    assert caught.value.details == {"parameter": "kl_method", "suggestion": "monte_carlo"}


def test_every_closed_form_is_tested_here():
    pairs = [(normal(3, 4), normal(4)), (full(), normal(4)), (one_hot(3), one_hot())]
    assert {(type(q), type(p)) for q, p in pairs} == CLOSED_FORMS.keys()
    for q, p in pairs:
        assert kl_divergence(q, p).shape == (3,)


def test_the_closed_form_kl_is_torchs_and_sums_its_dimensions():
    q, p = normal(3, 2, 2, event_dim=2), normal(2, 2, event_dim=2, seed=1)
    theirs = torchs_kl(Normal(q.loc, q.scale), Normal(p.loc, p.scale))
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


def test_a_full_normals_kl_is_torchs_dense_one_and_the_mean_of_the_log_ratio():
    q, p = full(), normal(4, seed=1)
    theirs = torchs_kl(dense(q), MultivariateNormal(p.loc, torch.diag(p.scale**2)))
    torch.testing.assert_close(kl_divergence(q, p), theirs, rtol=1e-12, atol=1e-13)
    noise = torch.randn(40_000, 3, 4, generator=torch.Generator().manual_seed(2)).double()
    z = q.from_noise(noise)
    ratio = q.log_prob(z) - p.log_prob(z)
    error = ratio.std(0) / 40_000**0.5
    assert bool(((ratio.mean(0) - theirs).abs() < 4 * error).all())


def test_groups_in_one_order_have_the_closed_forms_of_their_conditionals_at_each_draw():
    oracle = two_layers("ladder", posterior_scale=1.3)
    x = oracle.draw(3)
    q, p = oracle.vae.posterior(x), oracle.vae.prior()
    noise = torch.randn(20_000, 3, 5, generator=torch.Generator().manual_seed(2)).double()
    z = q.from_noise(noise)
    kl = kl_at_draws(q, p, z)
    assert kl.shape == (20_000, 3, 2)
    for i, above in ((0, z[..., 3:]), (1, None)):
        one, other = q.conditional(i, above), p.conditional(i, above)
        theirs = torchs_kl(Normal(one.loc, one.scale), Normal(other.loc, other.scale)).sum(-1)
        torch.testing.assert_close(kl[..., i], theirs.expand(20_000, 3), rtol=1e-12, atol=1e-14)
    difference = kl - log_ratios(q, p, z)
    error = difference.std(0) / 20_000**0.5
    assert bool((difference.mean(0).abs() < 4 * error).all())
    assert bool((kl.std(0) < 0.5 * log_ratios(q, p, z).std(0)).all())


def test_groups_in_opposite_orders_have_log_ratios():
    oracle = two_layers("bottom_up")
    q, p = oracle.vae.posterior(oracle.draw(3)), oracle.vae.prior()
    z = q.from_noise(torch.randn(4, 3, 5, dtype=torch.float64))
    assert torch.equal(kl_at_draws(q, p, z), log_ratios(q, p, z))


def test_the_path_changes_no_log_ratio_and_leaves_q_without_a_gradient_of_its_own():
    loc = torch.zeros(3, 2, dtype=torch.float64, requires_grad=True)
    q = DiagonalNormal(loc, torch.ones_like(loc), event_dim=1)
    z = torch.randn(4, 3, 2, dtype=torch.float64, requires_grad=True)
    ratios = log_ratios(q, normal(2), z, path=True)
    assert torch.equal(ratios, log_ratios(q, normal(2), z))
    ratios.sum().backward()
    assert loc.grad is None
    assert z.grad is not None


def test_the_kl_of_categoricals_is_torchs():
    q, p = one_hot(3), one_hot(seed=1)
    theirs = torchs_kl(OneHotCategorical(logits=q.log_probs), OneHotCategorical(logits=p.log_probs))
    assert has_analytic_kl(q, p)
    torch.testing.assert_close(kl_divergence(q, p), theirs, rtol=1e-12, atol=1e-14)


def test_a_kl_takes_nothing_from_an_impossible_component():
    q = OneHot(torch.tensor([[0.0, -1e5]]))
    p = OneHot(torch.zeros(2))
    torch.testing.assert_close(kl_divergence(q, p), torch.tensor([2.0]).log())
