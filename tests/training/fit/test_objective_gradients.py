"""Gradients of the objectives against that of the ELBO and of the bound, in expectation."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from models.vae.model import VAE
from tests import oracle
from tests.training.fit.objective_cases import START, binary, normals, number, of_family
from training.fit.objectives import ELBO, IWAE, Batch, Objective, ScoreFunction
from training.recipes.objective import ELBOConfig, IWAEConfig, ScoreFunctionConfig

REPLICATES = 60


def gradients_of(
    make: Callable[[VAE], Objective], vae: VAE, x: Tensor, noises: Tensor
) -> dict[str, Tensor]:
    """The gradient of every parameter, (replicate, number), once for each noise."""
    objective, found = make(vae), {name: [] for name, _ in vae.named_parameters()}
    for noise in noises:
        vae.zero_grad()
        objective(Batch(x), noise, START).loss.backward()
        for name, parameter in vae.named_parameters():
            assert parameter.grad is not None
            found[name].append(parameter.grad.flatten().clone())
    return {name: torch.stack(rows) for name, rows in found.items()}


def largest_score(first: Tensor, second: Tensor) -> float:
    """The largest difference of mean gradients, in standard errors of paired replicates."""
    difference = first - second
    error = difference.std(0) / len(difference) ** 0.5
    scores: Tensor = difference.mean(0).abs() / (error + 1e-12)
    return number(scores.max())


@pytest.fixture(scope="module")
def medium() -> tuple[VAE, Tensor]:
    instance = oracle.instance("medium")
    return instance.vae.requires_grad_(True), instance.draw(4).repeat(50, 1, 1, 1)


def iwae(gradient: str) -> Callable[[VAE], Objective]:
    return lambda vae: IWAE(vae, IWAEConfig(gradient=gradient))


PARAMETERS = {
    f"{network}.body.1.{part}" for network in ("encoder", "decoder") for part in ("weight", "bias")
}


@pytest.mark.parametrize("gradient", ["stl", "dreg"])
def test_with_one_draw_every_gradient_is_that_of_the_elbo_in_expectation(
    gradient: str, medium: tuple[VAE, Tensor]
):
    vae, x = medium
    noises = normals(REPLICATES, 1, len(x), 8, seed=1)
    expected = gradients_of(lambda v: ELBO(v, ELBOConfig()), vae, x, noises)
    found = gradients_of(iwae(gradient), vae, x, noises)
    assert found.keys() == PARAMETERS
    for name in PARAMETERS:
        assert found[name].shape == (60, vae.get_parameter(name).numel())
        assert largest_score(found[name], expected[name]) < 5


def test_dreg_has_the_plain_gradient_of_the_iwae_bound_in_expectation(medium: tuple[VAE, Tensor]):
    vae, x = medium
    noises = normals(REPLICATES, 5, len(x), 8, seed=2)
    expected = gradients_of(iwae("plain"), vae, x, noises)
    found = gradients_of(iwae("dreg"), vae, x, noises)
    assert found.keys() == PARAMETERS
    for name in PARAMETERS:
        assert found[name].shape == (60, vae.get_parameter(name).numel())
        assert largest_score(found[name], expected[name]) < 5
    for part in ("weight", "bias"):  # the decoder's is the same at every draw, the encoder's not
        decoder, encoder = f"decoder.body.1.{part}", f"encoder.body.1.{part}"
        assert torch.allclose(found[decoder], expected[decoder], rtol=1e-9)
        assert found[encoder].var(0).sum() < 0.5 * expected[encoder].var(0).sum()


def test_sticking_the_landing_is_biased_in_the_encoder_for_more_than_one_draw(
    medium: tuple[VAE, Tensor],
):
    vae, x = medium
    noises = normals(REPLICATES, 5, len(x), 8, seed=2)
    expected = gradients_of(iwae("plain"), vae, x, noises)
    found = gradients_of(iwae("stl"), vae, x, noises)
    assert torch.allclose(found["decoder.body.1.bias"], expected["decoder.body.1.bias"])
    name = "encoder.body.1.bias"
    assert largest_score(found[name], expected[name]) > 10  # the test above would see it


def test_dreg_vanishes_with_the_gap_and_so_does_its_variance():
    instance = oracle.instance("easy")  # whose posterior is exact
    vae, x = instance.vae.requires_grad_(True), instance.draw(8)
    for gradient in ("stl", "dreg"):
        found = gradients_of(iwae(gradient), vae, x, normals(3, 4, 8, 2))
        assert found["encoder.body.1.weight"].abs().max() < 1e-12


def test_dreg_is_right_where_the_prior_holds_the_posterior_too():
    vae, x = of_family("vamp"), binary(3).repeat(40, 1, 1, 1)
    noises = normals(REPLICATES, 4, len(x), 2, seed=4)
    expected = gradients_of(iwae("plain"), vae, x, noises)
    found = gradients_of(iwae("dreg"), vae, x, noises)
    assert {"_prior.pseudo_inputs", "encoder.body.1.weight"} <= found.keys()
    for name in found:
        assert largest_score(found[name], expected[name]) < 5


def test_dreg_is_right_for_a_full_covariance_and_a_learned_mixture():
    vae, x = of_family("full-mixture"), binary(3).repeat(40, 1, 1, 1)
    noises = normals(REPLICATES, 4, len(x), 2, seed=5)
    expected = gradients_of(iwae("plain"), vae, x, noises)
    found = gradients_of(iwae("dreg"), vae, x, noises)
    for name in found:
        assert largest_score(found[name], expected[name]) < 5


@pytest.mark.parametrize("baseline", ["none", "leave_one_out"])
def test_the_score_function_gradient_is_that_of_the_elbo_in_expectation(
    baseline: str, medium: tuple[VAE, Tensor]
):
    vae, x = medium
    noises = normals(REPLICATES, 4, len(x), 8, seed=3)
    expected = gradients_of(lambda v: ELBO(v, ELBOConfig()), vae, x, noises)
    config = ScoreFunctionConfig(num_samples=4, baseline=baseline)
    found = gradients_of(lambda v: ScoreFunction(v, config), vae, x, noises)
    assert found.keys() == PARAMETERS
    for name in PARAMETERS:
        assert found[name].shape == (60, vae.get_parameter(name).numel())
        assert largest_score(found[name], expected[name]) < 5


def test_the_score_function_loss_is_minus_the_elbo_and_a_baseline_lowers_its_variance(
    medium: tuple[VAE, Tensor],
):
    vae, x = medium
    noises = normals(REPLICATES, 4, len(x), 8, seed=3)
    losses, variances = [], {}
    for baseline in ("none", "leave_one_out"):
        config = ScoreFunctionConfig(num_samples=4, baseline=baseline)
        losses.append(ScoreFunction(vae, config)(Batch(x), noises[0], START).loss.item())
        found = gradients_of(lambda v, c=config: ScoreFunction(v, c), vae, x, noises)
        variances[baseline] = number(found["encoder.body.1.bias"].var(0).sum())
    sampled = ELBO(vae, ELBOConfig(kl="sampled"))(Batch(x), noises[0], START).loss
    assert losses == pytest.approx([sampled.item()] * 2, rel=1e-12)
    assert variances["leave_one_out"] < 0.1 * variances["none"]


@pytest.mark.parametrize("name", ["ladder", "two-layers", "vamp"])
def test_the_score_function_reaches_every_parameter_of_any_family(name: str):
    vae, x = of_family(name), binary(3).repeat(60, 1, 1, 1)
    noises = normals(REPLICATES, 4, len(x), *vae.latent_shape, seed=6)
    elbo = ELBOConfig(kl="sampled", num_samples=4)
    expected = gradients_of(lambda v: ELBO(v, elbo), vae, x, noises)
    config = ScoreFunctionConfig(num_samples=4)
    found = gradients_of(lambda v: ScoreFunction(v, config), vae, x, noises)
    for parameter in found:
        assert largest_score(found[parameter], expected[parameter]) < 5.5
