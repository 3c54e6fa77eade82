"""The training objective against the bounds of evaluation and the oracle."""

import pytest
import torch

from models.bounds import estimate_elbo
from models.noise import BatchNoise
from tests import oracle
from training.objectives import ELBO


@pytest.mark.parametrize("name", list(oracle.INSTANCES))
def test_the_loss_is_minus_the_elbo_that_evaluation_gives_for_the_same_noise(name: str):
    instance = oracle.instance(name)
    x = instance.draw(5)
    noise = BatchNoise(3, 5, "posterior").draw(1, instance.vae.latent_shape, dtype=x.dtype)[0]
    terms = ELBO(instance.vae)(x, noise, kl_weight=1.0)
    estimate = estimate_elbo(instance.vae, x, num_samples=1, seed=3)
    assert -terms.loss.item() == pytest.approx(estimate.elbo_nats.mean().item(), rel=1e-12)
    assert terms.kl.item() == pytest.approx(instance.kl(x).mean().item(), rel=1e-10)


def test_the_expected_loss_is_minus_the_exact_elbo():
    instance = oracle.instance("medium")
    x = instance.draw(4)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(40, 400, 8, generator=generator, dtype=x.dtype)
    many = x.repeat(100, 1, 1, 1)
    losses = torch.stack([ELBO(instance.vae)(many, n, kl_weight=1.0).loss for n in noise])
    assert len(losses) == 40
    error = losses.std() / len(losses) ** 0.5
    assert abs(losses.mean() + instance.elbo(x).mean()) < 4 * error


def test_the_kl_weight_weighs_the_kl_alone():
    instance = oracle.instance("easy")
    x, noise = instance.draw(3), torch.zeros(3, 2, dtype=torch.float64)
    half = ELBO(instance.vae)(x, noise, kl_weight=0.5)
    assert half.loss.item() == pytest.approx((0.5 * half.kl - half.log_likelihood).item())
