"""The training objective against the bounds of evaluation and the oracle."""

import pytest
import torch

from models.bounds import estimate_elbo
from models.evidence import estimate_log_px
from models.noise import BatchNoise
from tests import oracle
from training.config import ELBOConfig, IWAEConfig
from training.objectives import ELBO, IWAE, OBJECTIVES, At, Batch, ramp

START = At(step=0, epoch=0.0, progress=0.0)


@pytest.mark.parametrize("name", list(oracle.INSTANCES))
def test_the_loss_is_minus_the_elbo_that_evaluation_gives_for_the_same_noise(name: str):
    instance = oracle.instance(name)
    x = instance.draw(5)
    noise = BatchNoise(3, 5, "posterior").draw(1, instance.vae.latent_shape, dtype=x.dtype)
    terms = ELBO(instance.vae)(Batch(x), noise, START)
    estimate = estimate_elbo(instance.vae, x, num_samples=1, seed=3)
    assert -terms.loss.item() == pytest.approx(estimate.elbo_nats.mean().item(), rel=1e-12)
    assert terms.kl.item() == pytest.approx(instance.kl(x).mean().item(), rel=1e-10)


def test_the_expected_loss_is_minus_the_exact_elbo():
    instance = oracle.instance("medium")
    x = instance.draw(4)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(40, 1, 400, 8, generator=generator, dtype=x.dtype)
    many = x.repeat(100, 1, 1, 1)
    losses = torch.stack([ELBO(instance.vae)(Batch(many), n, START).loss for n in noise])
    assert len(losses) == 40
    error = losses.std() / len(losses) ** 0.5
    assert abs(losses.mean() + instance.elbo(x).mean()) < 4 * error


def test_the_kl_weight_weighs_the_kl_alone():
    instance = oracle.instance("easy")
    x, noise = instance.draw(3), torch.zeros(1, 3, 2, dtype=torch.float64)
    objective = ELBO(instance.vae, kl_warmup_epochs=4.0)
    half = objective(Batch(x), noise, At(step=20, epoch=2.0, progress=0.1))
    assert half.scalars["kl_weight"] == 0.5
    assert half.loss.item() == pytest.approx((0.5 * half.kl - half.log_likelihood).item())


@pytest.mark.parametrize("name", list(oracle.INSTANCES))
def test_the_iwae_loss_is_minus_the_bound_that_evaluation_gives_for_the_same_noise(name: str):
    instance = oracle.instance(name)
    x = instance.draw(5)
    noise = BatchNoise(3, 5, "posterior").draw(7, instance.vae.latent_shape, dtype=x.dtype)
    terms = IWAE(instance.vae)(Batch(x), noise, START)
    estimate = estimate_log_px(instance.vae, x, num_samples=7, seed=3)
    assert -terms.loss.item() == pytest.approx(estimate.estimate_nats.mean().item(), rel=1e-12)
    assert terms.kl.item() == pytest.approx(instance.kl(x).mean().item(), rel=1e-10)


def test_iwae_with_one_sample_has_the_expected_gradient_of_the_elbo():
    instance = oracle.instance("medium")
    vae = instance.vae.requires_grad_(True)
    x = instance.draw(4).repeat(100, 1, 1, 1)
    generator = torch.Generator().manual_seed(0)
    differences = []
    for _ in range(40):
        noise = torch.randn(1, 400, 8, generator=generator, dtype=x.dtype)
        gradients = []
        for kind in (ELBO, IWAE):
            vae.zero_grad()
            kind(vae)(Batch(x), noise, START).loss.backward()
            gradients.append(vae.encoder.body[-1].bias.grad.clone())
        differences.append(gradients[0] - gradients[1])
    stacked = torch.stack(differences)
    error = stacked.std(0) / len(stacked) ** 0.5
    assert len(stacked) == 40
    assert bool((stacked.mean(0).abs() < 5 * error + 1e-12).all())


def test_every_objective_of_the_config_is_there():
    assert set(OBJECTIVES) == {ELBOConfig().kind, IWAEConfig().kind}


def test_the_kl_weight_rises_to_one():
    assert [ramp(epoch, 4.0) for epoch in (0.0, 1.0, 4.0, 9.0)] == [0.0, 0.25, 1.0, 1.0]
    assert ramp(0.0, 0.0) == 1.0
