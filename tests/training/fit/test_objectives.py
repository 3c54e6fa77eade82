"""The training objectives against the bounds of evaluation, brute force, and the oracle."""

import pytest
import torch

from models.distributions.batch_noise import BatchNoise
from models.distributions.kl import kl_at_draws, kl_divergence, kl_terms, log_ratios
from models.estimators.bounds import squared_error
from models.estimators.elbo import estimate_elbo
from models.estimators.importance import estimate_log_px
from tests import oracle
from tests.training.fit.objective_cases import START, binary, normals, number, of_family
from training.fit.objectives import (
    ELBO,
    IWAE,
    OBJECTIVES,
    Autoencoder,
    Batch,
    Capacity,
    Position,
    final_bound,
    kl_groups,
)
from training.fit.order import Annealing
from training.recipes.objective import (
    AutoencoderConfig,
    CapacityConfig,
    ELBOConfig,
    IWAEConfig,
    M2Config,
    ScoreFunctionConfig,
)

# Equal values for equal noise


@pytest.mark.parametrize("name", list(oracle.INSTANCES))
def test_the_loss_is_minus_the_elbo_that_evaluation_gives_for_the_same_noise(name: str):
    instance = oracle.instance(name)
    x = instance.draw(5)
    noise = BatchNoise(3, 5, "posterior").draw(1, instance.vae.latent_shape, dtype=x.dtype)
    terms = ELBO(instance.vae, ELBOConfig())(Batch(x), noise, START)
    estimate = estimate_elbo(instance.vae, x, num_samples=1, seed=3)
    elbo = estimate.elbo_nats.mean().item()
    assert -terms.loss.item() == pytest.approx(elbo, rel=1e-12)
    assert number(terms.scalars["elbo_nats"]) == pytest.approx(elbo, rel=1e-12)
    assert number(terms.scalars["rate_nats"]) == pytest.approx(instance.kl(x).mean().item())
    distortion = -estimate.expected_log_likelihood_nats.mean().item()
    assert number(terms.scalars["distortion_nats"]) == pytest.approx(distortion)


def test_the_expected_loss_is_minus_the_exact_elbo():
    instance = oracle.instance("medium")
    x = instance.draw(4)
    many = x.repeat(100, 1, 1, 1)
    for config in (ELBOConfig(), ELBOConfig(kl="sampled")):
        objective = ELBO(instance.vae, config)
        losses = torch.stack(
            [objective(Batch(many), n, START).loss for n in normals(40, 1, 400, 8)]
        )
        assert len(losses) == 40
        error = losses.std() / len(losses) ** 0.5
        assert abs(losses.mean() + instance.elbo(x).mean()) < 4 * error


@pytest.mark.parametrize("name", list(oracle.INSTANCES))
@pytest.mark.parametrize("gradient", ["plain", "stl", "dreg"])
def test_the_iwae_loss_is_minus_the_bound_that_evaluation_gives_for_the_same_noise(
    name: str, gradient: str
):
    instance = oracle.instance(name)
    x = instance.draw(5)
    noise = BatchNoise(3, 5, "posterior").draw(7, instance.vae.latent_shape, dtype=x.dtype)
    objective = IWAE(instance.vae, IWAEConfig(num_samples=7, gradient=gradient))
    terms = objective(Batch(x), noise, START)
    estimate = estimate_log_px(instance.vae, x, num_samples=7, seed=3)
    assert -terms.loss.item() == pytest.approx(estimate.estimate_nats.mean().item(), rel=1e-12)
    assert number(terms.scalars["rate_nats"]) == pytest.approx(instance.kl(x).mean().item())


@pytest.mark.parametrize(
    "name", ["standard", "mixture", "vamp", "full", "two-layers", "ladder", "labelled-ladder"]
)
@pytest.mark.parametrize("warmup", [0.0, 4.0])
def test_iwae_with_one_draw_is_the_elbo_with_a_sampled_kl_and_so_is_its_gradient(
    name: str, warmup: float
):
    vae, x = of_family(name), binary(6)
    y = torch.arange(6) % 3 if vae.num_labels else None
    noise = normals(1, 6, *vae.latent_shape)
    weight = Annealing(warmup_epochs=warmup).weight(1.0)
    found = []
    for objective in (
        ELBO(vae, ELBOConfig(kl="sampled", gradient="plain")),
        IWAE(vae, IWAEConfig(num_samples=1)),
    ):
        vae.zero_grad()
        loss = objective(Batch(x, y), noise, Position(7, 1.0, 0.1, weight)).loss
        loss.backward()
        gradients = [p.grad.flatten() for p in vae.parameters() if p.grad is not None]
        found.append(torch.cat([loss.detach().reshape(1), *gradients]))
    assert torch.allclose(found[0], found[1], rtol=1e-9, atol=1e-12)


def test_the_weight_of_the_kl_weighs_the_kl_alone_and_beta_one_is_the_elbo():
    instance = oracle.instance("easy")
    x, noise = instance.draw(3), torch.zeros(1, 3, 2, dtype=torch.float64)
    plain = ELBO(instance.vae, ELBOConfig())(Batch(x), noise, START)
    assert number(plain.loss) == -number(plain.scalars["elbo_nats"])
    rate, distortion = plain.scalars["rate_nats"], plain.scalars["distortion_nats"]
    four = ELBO(instance.vae, ELBOConfig(beta=4.0))(Batch(x), noise, START)
    assert number(four.loss) == pytest.approx(float(4 * rate + distortion), rel=1e-12)
    assert number(four.scalars["elbo_nats"]) == number(plain.scalars["elbo_nats"])
    warming = ELBO(instance.vae, ELBOConfig(beta=3.0))
    half = warming(Batch(x), noise, Position(20, 2.0, 0.1, kl_weight=0.5))
    assert half.scalars["kl_weight"] == 1.5
    assert number(half.loss) == pytest.approx(float(1.5 * rate + distortion), rel=1e-12)


def test_the_kl_weight_rises_to_one_and_begins_anew_in_each_cycle():
    once, cycles = Annealing(warmup_epochs=4.0), Annealing(warmup_epochs=4.0, cycle_epochs=10.0)
    assert [once.weight(epoch) for epoch in (0.0, 1.0, 4.0, 11.0)] == [0.0, 0.25, 1.0, 1.0]
    assert [cycles.weight(epoch) for epoch in (0.0, 1.0, 9.0, 10.0, 11.0)] == [0, 0.25, 1, 0, 0.25]
    assert Annealing().weight(0.0) == 1.0


def test_free_bits_are_the_sum_over_dimensions_of_the_larger_of_lambda_and_the_batch_mean_kl():
    instance = oracle.instance("medium")
    x, noise = instance.draw(5), normals(1, 5, 8)
    by_dimension = kl_terms(instance.vae.posterior(x), instance.vae.prior()).mean(0)
    free = number(by_dimension.median())  # so that some lie below it
    assert by_dimension.min() < free < by_dimension.max()
    terms = ELBO(instance.vae, ELBOConfig(free_bits_nats=free))(Batch(x), noise, START)
    expected = sum(max(free, number(kl)) for kl in by_dimension)
    assert number(terms.loss - terms.scalars["distortion_nats"]) == pytest.approx(expected)
    assert number(terms.scalars["rate_nats"]) == pytest.approx(number(by_dimension.sum()))


def test_free_bits_take_no_gradient_from_what_lies_below_them():
    instance = oracle.instance("medium")
    vae = instance.vae.requires_grad_(True)
    x, noise = instance.draw(5), normals(1, 5, 8)
    gradients = []
    for config in (ELBOConfig(free_bits_nats=1e6), ELBOConfig(beta=0.0)):
        vae.zero_grad()
        ELBO(vae, config)(Batch(x), noise, START).loss.backward()
        gradients.append(vae.encoder.body[-1].bias.grad.clone())
    assert torch.allclose(gradients[0], gradients[1], rtol=1e-12)


@pytest.mark.parametrize("name", ["ladder", "mixture", "full"])
def test_free_bits_are_of_groups_or_of_the_whole_latent_where_dimensions_have_no_kl(name: str):
    vae, x = of_family(name), binary(4)
    noise = normals(2, 4, *vae.latent_shape)
    vae.requires_grad_(False)
    q, prior = vae.posterior(x), vae.prior()
    groups = kl_groups(q, prior, q.from_noise(noise), sampled=False)
    assert len(groups) == (2 if name == "ladder" else 1)
    if name == "full":
        assert number(groups) == pytest.approx(number(kl_divergence(q, prior).mean()))
    else:
        kl = kl_at_draws if name == "ladder" else log_ratios
        assert torch.allclose(groups, kl(q, prior, q.from_noise(noise)).mean((0, 1)))
    free = 1.1 * number(groups.max())
    terms = ELBO(vae, ELBOConfig(free_bits_nats=free, num_samples=2))(Batch(x), noise, START)
    penalised = number(terms.loss - terms.scalars["distortion_nats"])
    assert penalised == pytest.approx(free * len(groups))


def test_capacity_zero_is_the_beta_vae_and_its_gradient():
    instance = oracle.instance("medium")
    vae = instance.vae.requires_grad_(True)
    x, noise = instance.draw(5), normals(1, 5, 8)
    found = []
    late = Position(step=9, epoch=4.0, progress=0.9)
    for objective in (
        ELBO(vae, ELBOConfig(beta=4.0)),
        Capacity(vae, CapacityConfig(gamma=4.0, capacity_nats=0.0)),
    ):
        vae.zero_grad()
        loss = objective(Batch(x), noise, late).loss
        loss.backward()
        gradients = [p.grad.flatten() for p in vae.parameters()]
        found.append(torch.cat([loss.detach().reshape(1), *gradients]))
    assert torch.allclose(found[0], found[1], rtol=1e-12)


def test_capacity_rises_to_its_end_and_holds_the_mean_kl_there_from_both_sides():
    instance = oracle.instance("medium")
    x, noise = instance.draw(5), normals(1, 5, 8)
    kl = number(instance.kl(x).mean())
    config = CapacityConfig(gamma=7.0, capacity_nats=2 * kl, until=0.5)
    for progress, reached in ((0.0, 0.0), (0.125, 0.5), (0.5, 2.0), (0.9, 2.0)):
        terms = Capacity(instance.vae, config)(Batch(x), noise, Position(0, 0.0, progress))
        assert terms.scalars["capacity_nats"] == pytest.approx(reached * kl)
        penalty = number(terms.loss - terms.scalars["distortion_nats"])
        assert penalty == pytest.approx(7 * abs(kl - reached * kl))


def test_weights_are_chosen_by_what_the_objective_has_when_its_annealing_is_over():
    log_likelihood, kl = normals(9) - 90, normals(9, seed=1).abs() + 3
    over = [final_bound(c, log_likelihood, kl) for c in (ELBOConfig(), ELBOConfig(beta=4.0))]
    assert torch.equal(over[0], log_likelihood - kl)
    assert torch.equal(over[1], log_likelihood - 4 * kl)
    for capacity in (1.0, 30.0):
        config = CapacityConfig(gamma=2.0, capacity_nats=capacity)
        expected = log_likelihood.mean() - 2 * (kl.mean() - capacity).abs()
        found = final_bound(config, log_likelihood, kl)
        assert found.shape == (9,)
        assert number(found.mean()) == pytest.approx(number(expected))


# Without a likelihood


def test_an_autoencoder_minimises_the_squared_error_of_its_pictures():
    vae = of_family("autoencoder")
    x, noise = binary(4) / 2 + 0.25, torch.zeros(1, 4, 2, dtype=torch.float64)
    terms = Autoencoder(vae, AutoencoderConfig())(Batch(x), noise, START)
    picture = vae.decoder(vae.encoder(2 * x - 1)[:, 0])
    assert number(terms.loss) == pytest.approx(number((x - picture).square().sum() / 4))
    assert number(squared_error(vae, x).mean()) == pytest.approx(number(terms.loss))
    optimizer = torch.optim.Adam(vae.parameters(), lr=1e-2)
    for _ in range(100):
        optimizer.zero_grad()
        Autoencoder(vae, AutoencoderConfig())(Batch(x), noise, START).loss.backward()
        optimizer.step()
    assert number(squared_error(vae, x).mean()) < 0.1 * number(terms.loss)


def test_every_objective_of_the_config_is_there():
    kinds = {
        config().kind
        for config in (
            AutoencoderConfig,
            CapacityConfig,
            ELBOConfig,
            IWAEConfig,
            M2Config,
            ScoreFunctionConfig,
        )
    }
    assert set(OBJECTIVES) == kinds
