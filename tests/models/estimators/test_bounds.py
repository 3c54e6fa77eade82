"""Bounds and summaries of log-weights against the linear-Gaussian oracle; float64."""

import math

import pytest
import torch

from models.distributions.batch_noise import BatchNoise
from models.errors import ShapeMismatch
from models.estimators.bounds import bits_per_dim, distortion, iwae_bound, rate
from models.estimators.elbo import estimate_elbo
from tests.oracle import instance

NAMES = ["easy", "medium", "hard"]


def log_weights(oracle, x, num_samples, *, seed=0):
    noise = BatchNoise(seed, len(x), "posterior")
    draw = noise.draw(num_samples, oracle.vae.latent_shape, dtype=torch.float64)
    return oracle.vae.log_weights(x, draw)


@pytest.mark.parametrize("name", ["medium", "hard"])
def test_the_iwae_bound_rises_with_the_number_of_samples_towards_the_evidence(name):
    oracle = instance(name)
    x = oracle.draw(300)
    log_w = log_weights(oracle, x, 100)
    short = {
        k: oracle.log_px(x) - torch.stack([iwae_bound(part) for part in log_w.split(k)]).mean(0)
        for k in (1, 10, 100)
    }
    error = {k: gap.std() / 300**0.5 for k, gap in short.items()}
    for few, many in [(1, 10), (10, 100)]:
        rise = short[few] - short[many]
        assert rise.mean() > 4 * rise.std() / 300**0.5
    assert abs(short[1].mean() - oracle.gap()) < 4 * error[1]
    if name == "hard":
        assert short[100].mean() > 4 * error[100]
    else:  # E[L_100] is below log p(x) by Var(w) / (2 K p(x)^2), less than this sees
        assert abs(short[100].mean()) < 4 * error[100]


def test_with_the_exact_posterior_every_bound_is_the_evidence():
    oracle = instance("easy")
    x = oracle.draw(20)
    log_w = log_weights(oracle, x, 50)
    exact = oracle.log_px(x)
    for bound in (log_w.mean(0), iwae_bound(log_w), iwae_bound(log_w[:1])):
        torch.testing.assert_close(bound, exact, rtol=1e-10, atol=1e-9)


def test_bounds_are_the_mean_and_the_log_of_the_mean_weight():
    log_w = torch.tensor([[0.0, -1000.0], [1.0, -1001.0], [-2.0, -1002.0]], dtype=torch.float64)
    shifted = log_w - torch.tensor([0.0, -1000.0])
    exact = shifted.exp().mean(0).log() + torch.tensor([0.0, -1000.0])
    torch.testing.assert_close(iwae_bound(log_w), exact, rtol=1e-15, atol=1e-15)
    assert torch.equal(iwae_bound(log_w[:1]), log_w[0])


def test_a_bound_of_no_samples_is_refused():
    with pytest.raises(ShapeMismatch, match=r"log_w has the shape \(0, 4\)"):
        iwae_bound(torch.zeros(0, 4))


@pytest.mark.parametrize("name", NAMES)
def test_rate_plus_distortion_is_minus_the_mean_elbo(name):
    oracle = instance(name)
    e = estimate_elbo(oracle.vae, oracle.draw(50), num_samples=5, seed=0)
    both = rate(e.kl_nats) + distortion(e.expected_log_likelihood_nats)
    assert both == pytest.approx(-float(e.elbo_nats.mean()), rel=1e-13)
    assert rate(e.kl_nats) == pytest.approx(float(e.kl_nats.mean()), rel=1e-15)


def test_bits_per_dim_of_uniform_bytes_is_eight():
    nats = torch.tensor([-784 * math.log(256)], dtype=torch.float64)
    assert bits_per_dim(nats, 784).item() == pytest.approx(8, rel=1e-15)
