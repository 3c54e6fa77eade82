"""Gradients of the objectives against that of the ELBO and of the bound, in expectation."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from models.vae.model import VAE
from tests import oracle
from tests.oracle import two_layers
from tests.training.fit.objective_cases import START, binary, normals, number, of_family
from training.fit.objectives import ELBO, IWAE, Batch, Objective, Position, ScoreFunction
from training.recipes.objective import ELBOConfig, IWAEConfig, ScoreFunctionConfig

REPLICATES = 60


def gradients_of(
    make: Callable[[VAE], Objective],
    vae: VAE,
    x: Tensor,
    noises: Tensor,
    *,
    at: Position = START,
) -> dict[str, Tensor]:
    """The gradient of every parameter, (replicate, number), once for each noise."""
    objective, found = make(vae), {name: [] for name, _ in vae.named_parameters()}
    for noise in noises:
        vae.zero_grad()
        objective(Batch(x), noise, at).loss.backward()
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


@pytest.mark.parametrize("kind", ["bottom_up", "ladder"])
def test_dreg_is_right_for_two_layers_and_sticking_the_landing_for_one_draw(kind: str):
    vae, x = layers(kind, posterior_scale=1.3)
    for gradient, count, is_right in (("stl", 1, True), ("dreg", 4, True), ("stl", 4, False)):
        noises = normals(REPLICATES, count, len(x), 5, seed=11)
        expected = gradients_of(iwae("plain"), vae, x, noises)
        found = gradients_of(iwae(gradient), vae, x, noises)
        scores = {name: largest_score(found[name], expected[name]) for name in found}
        assert scores["decoder.body.1.weight"] < 1e-6
        assert (max(scores.values()) < 5) == is_right


# The path form of a sampled KL, and closed forms of conditionals


def elbo(**entries: object) -> Callable[[VAE], Objective]:
    return lambda vae: ELBO(vae, ELBOConfig.model_validate(entries))


PLAIN = elbo(kl="sampled", gradient="plain")


def layers(kind: str, *, posterior_scale: float) -> tuple[VAE, Tensor]:
    oracle = two_layers(kind, posterior_scale=posterior_scale)
    return oracle.vae.requires_grad_(True), oracle.draw(4).repeat(50, 1, 1, 1)


@pytest.mark.parametrize("kind", ["bottom_up", "ladder"])
@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize("warmup", [1.0, 0.3])
def test_the_path_has_the_plain_gradient_in_expectation(kind: str, samples: int, warmup: float):
    vae, x = layers(kind, posterior_scale=1.3)
    noises = normals(REPLICATES, samples, len(x), 5, seed=7)
    at = Position(0, 0.0, 0.0, kl_weight=warmup)
    expected = gradients_of(PLAIN, vae, x, noises, at=at)
    found = gradients_of(elbo(kl="sampled", gradient="path"), vae, x, noises, at=at)
    assert found.keys() == dict(vae.named_parameters()).keys()
    for name in found:
        assert largest_score(found[name], expected[name]) < 5
    changed = [name for name in found if not torch.allclose(found[name], expected[name])]
    posterior = {name for name in found if name.startswith(("encoder.", "_posterior."))}
    assert len(posterior) == 4
    assert posterior <= set(changed)
    assert "decoder.body.1.weight" not in changed


@pytest.mark.parametrize("name", ["standard", "vamp", "full-mixture"])
def test_the_path_has_the_plain_gradient_of_one_layer_in_expectation(name: str):
    vae, x = of_family(name), binary(3).repeat(40, 1, 1, 1)
    noises = normals(REPLICATES, 1, len(x), 2, seed=4)
    expected = gradients_of(PLAIN, vae, x, noises)
    found = gradients_of(elbo(kl="sampled", gradient="path"), vae, x, noises)
    for parameter in found:
        assert largest_score(found[parameter], expected[parameter]) < 5
    assert not torch.allclose(found["encoder.body.1.weight"], expected["encoder.body.1.weight"])


@pytest.mark.parametrize("kind", ["bottom_up", "ladder"])
def test_the_path_has_no_noise_where_the_posterior_of_two_layers_is_exact(kind: str):
    vae, x = layers(kind, posterior_scale=1.0)
    noises = normals(3, 1, len(x), 5, seed=8)
    found = gradients_of(elbo(kl="sampled", gradient="path"), vae, x, noises)
    plain = gradients_of(PLAIN, vae, x, noises)
    for name in found:
        if name.startswith(("encoder.", "_posterior.")):
            assert found[name].abs().max() < 1e-10
            assert plain[name].abs().max() > 1e-3


@pytest.mark.parametrize("kind", ["bottom_up", "ladder"])
@pytest.mark.parametrize("kl", ["analytic", "sampled"])
def test_hierarchies_take_the_path_by_themselves_where_their_kl_is_sampled(kind: str, kl: str):
    vae, x = layers(kind, posterior_scale=1.3)
    noises = normals(2, 1, len(x), 5, seed=8)
    found = gradients_of(elbo(kl=kl), vae, x, noises)
    is_path = kl == "sampled" or kind == "bottom_up"
    path = gradients_of(elbo(kl="sampled", gradient="path"), vae, x, noises)
    for name in found:
        if name.startswith(("encoder.", "_posterior.")):
            assert torch.equal(found[name], path[name]) == is_path


def test_one_layer_takes_the_plain_gradient_by_itself():
    vae, x = of_family("mixture"), binary(3)
    noises = normals(2, 1, len(x), 2, seed=8)
    found, plain = (gradients_of(make, vae, x, noises) for make in (elbo(), PLAIN))
    assert all(torch.equal(found[name], plain[name]) for name in found)


def test_the_closed_forms_of_a_ladders_conditionals_have_the_sampled_gradient_in_expectation():
    vae, x = layers("ladder", posterior_scale=1.3)
    noises = normals(REPLICATES, 1, len(x), 5, seed=9)
    expected = gradients_of(PLAIN, vae, x, noises)
    found = gradients_of(elbo(), vae, x, noises)
    for name in found:
        assert largest_score(found[name], expected[name]) < 5
    name = "_posterior.networks.0.body.1.bias"
    assert found[name].var(0).sum() < 0.5 * expected[name].var(0).sum()


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
