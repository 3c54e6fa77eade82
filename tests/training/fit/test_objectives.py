"""The training objectives against the bounds of evaluation, brute force, and the oracle."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode

from models.distributions.batch_noise import BatchNoise
from models.distributions.kl import kl_at_draws, kl_divergence, kl_terms, log_ratios
from models.estimators.bounds import squared_error
from models.estimators.elbo import estimate_elbo
from models.estimators.importance import estimate_log_px
from models.vae.model import VAE
from tests import oracle
from tests.training.fit.objective_cases import START, binary, normals, number, of_family
from training.fit.objectives import (
    ELBO,
    IWAE,
    M2,
    OBJECTIVES,
    UNLABELLED,
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


# Labels


PRIOR_OF_LABELS = (0.5, 0.3, 0.2)


def elbo_given(vae: VAE, x: Tensor, y: Tensor, noise: Tensor) -> Tensor:
    """One draw's ELBO given the label, with the analytic KL, (row,)."""
    q = vae.posterior(x, y)
    log_likelihood = vae.likelihood(q.from_noise(noise), y).log_prob(x).mean(0)
    return log_likelihood - kl_divergence(q, vae.prior(y))


@pytest.fixture(scope="module", params=["m2", "m2 with p(z|y)"])
def m2(request: pytest.FixtureRequest) -> VAE:
    more = {} if request.param == "m2" else {"prior": {"kind": "label_normal"}}
    return of_family("m2", label_probabilities=PRIOR_OF_LABELS, **more)


def test_m2_with_every_label_and_no_alpha_is_its_labelled_bound(m2: VAE):
    x, y, noise = binary(6), torch.arange(6) % 3, normals(2, 6, 2)
    terms = M2(m2, M2Config(alpha=0.0))(Batch(x, y), noise, START)
    log_prior = torch.tensor(PRIOR_OF_LABELS, dtype=torch.float64).log()[y]
    bound = (elbo_given(m2, x, y, noise) + log_prior).mean()
    assert number(terms.loss) == pytest.approx(-number(bound), rel=1e-6)  # p(y) is in float32
    plain = ELBO(m2, ELBOConfig())(Batch(x, y), noise, START)
    assert number(terms.loss) == pytest.approx(number(plain.loss - log_prior.mean()), rel=1e-6)
    terms.loss.backward()
    assert all(p.grad is None or not p.grad.any() for p in m2.classifier.parameters())
    m2.zero_grad()


class Asked(TorchDispatchMode):
    """Counts what a step asks the device for: a number, or which rows a mask has."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        masks = args[1] if func is torch.ops.aten.index.Tensor else []
        is_mask = any(one is not None and one.dtype == torch.bool for one in masks)
        self.count += is_mask or func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def test_m2_of_a_labelled_batch_is_the_same_and_asks_no_more_than_the_elbo(m2: VAE):
    x, y, noise = binary(6), torch.arange(6) % 3, normals(2, 6, 2)
    known = Batch(x, y, is_labelled=True)
    found, asked = [], []
    for objective, batch in (
        (M2(m2, M2Config()), Batch(x, y)),
        (M2(m2, M2Config()), known),
        (ELBO(m2, ELBOConfig()), known),
    ):
        with Asked() as mode:
            terms = objective(batch, noise, START)
            terms.loss.backward()
        asked.append(mode.count)
        gradients = [p.grad for p in m2.parameters() if p.grad is not None]
        found.append([terms.loss.detach(), *gradients])
        m2.zero_grad()
    assert all(torch.equal(one, other) for one, other in zip(*found[:2], strict=True))
    assert asked[0] > asked[1]
    assert asked[1] == asked[2]  # F.one_hot asks on a CPU alone


def test_rows_of_a_labelled_batch_are_labelled():
    batch = Batch(binary(6), torch.arange(6) % 3, is_labelled=True)
    assert batch.rows(slice(2, 5)).is_labelled
    assert batch.to(torch.float16).is_labelled


def unlabelled_bound(vae: VAE, x: Tensor, noise: Tensor) -> Tensor:
    """U(x), label by label."""
    log_q = vae.label_logits(x).log_softmax(-1)
    total = torch.zeros(len(x), dtype=torch.float64)
    for label, probability in enumerate(PRIOR_OF_LABELS):
        y = torch.full((len(x),), label)
        log_joint = elbo_given(vae, x, y, noise) + torch.tensor(probability).double().log()
        total = total + log_q[:, label].exp() * (log_joint - log_q[:, label])
    return total


def test_m2_without_labels_sums_over_all_of_them(m2: VAE):
    x, noise = binary(5), normals(2, 5, 2)
    terms = M2(m2, M2Config())(Batch(x, torch.full((5,), UNLABELLED)), noise, START)
    expected = unlabelled_bound(m2, x, noise).mean()
    assert number(terms.loss) == pytest.approx(-number(expected), rel=1e-6)
    assert number(terms.scalars["elbo_nats"]) == pytest.approx(number(expected), rel=1e-6)
    assert number(terms.scalars["classification_nats"]) == 0.0
    assert terms.loss.isfinite()


def test_m2_without_labels_is_the_elbo_that_evaluation_gives_for_the_same_noise(m2: VAE):
    x = binary(5)
    noise = BatchNoise(3, 5, "posterior").draw(4, (2,), dtype=x.dtype)
    terms = M2(m2, M2Config(num_samples=4))(Batch(x, torch.full((5,), UNLABELLED)), noise, START)
    estimate = estimate_elbo(m2, x, num_samples=4, seed=3)
    assert number(terms.scalars["elbo_nats"]) == pytest.approx(number(estimate.elbo_nats.mean()))
    assert number(terms.scalars["rate_nats"]) == pytest.approx(number(estimate.kl_nats.mean()))


def test_m2_warms_up_the_kl_of_the_latent_alone(m2: VAE):
    x, noise = binary(5), normals(2, 5, 2)
    unknown = Batch(x, torch.full((5,), UNLABELLED))
    log_q = m2.label_logits(x).log_softmax(-1)
    label_kl = (log_q.exp() * (log_q - m2.log_label_prior)).sum(-1).mean()
    full, none = (
        M2(m2, M2Config())(unknown, noise, Position(0, 0.0, 0.0, kl_weight=weight))
        for weight in (1.0, 0.0)
    )
    latent_kl = full.scalars["rate_nats"] - label_kl
    assert number(full.loss - none.loss) == pytest.approx(number(latent_kl))
    assert number(none.loss) == pytest.approx(number(none.scalars["distortion_nats"] + label_kl))
    assert number(none.scalars["elbo_nats"]) == number(full.scalars["elbo_nats"])


def test_m2_logs_the_entropy_of_the_labels_that_it_does_not_know(m2: VAE):
    x, noise = binary(4), normals(1, 4, 2)
    y = torch.tensor([UNLABELLED, 2, UNLABELLED, 0])
    q = torch.distributions.Categorical(logits=m2.label_logits(x[y == UNLABELLED]))
    terms = M2(m2, M2Config())(Batch(x, y), noise, START)
    entropy = terms.scalars["label_entropy_nats"]
    assert number(entropy) == pytest.approx(number(q.entropy().mean()))
    known = Batch(x, torch.tensor([0, 1, 2, 0]))
    assert number(M2(m2, M2Config())(known, noise, START).scalars["label_entropy_nats"]) == 0
    known = known._replace(is_labelled=True)
    assert "label_entropy_nats" not in M2(m2, M2Config())(known, noise, START).scalars


def test_m2_takes_each_bound_for_its_own_images_and_the_classifier_for_those_with_labels(m2: VAE):
    x, noise = binary(6), normals(1, 6, 2)
    y = torch.tensor([UNLABELLED, 2, UNLABELLED, 0, 1, UNLABELLED])
    known = y != UNLABELLED
    log_prior = torch.tensor(PRIOR_OF_LABELS, dtype=torch.float64).log()[y[known]]
    bounds = torch.cat(
        [
            elbo_given(m2, x[known], y[known], noise[:, known]) + log_prior,
            unlabelled_bound(m2, x[~known], noise[:, ~known]),
        ]
    )
    assert len(bounds) == 6
    entropy = cross_entropy(m2.label_logits(x[known]), y[known])
    terms = M2(m2, M2Config(alpha=3.0))(Batch(x, y), noise, START)
    expected = -bounds.mean() + 3 * entropy
    assert number(terms.loss) == pytest.approx(number(expected), rel=1e-6)
    taught = Batch(binary(4, seed=9), torch.tensor([0, 1, 2, 0]))
    entropy = cross_entropy(m2.label_logits(taught.x), torch.tensor([0, 1, 2, 0]))
    summed = M2(m2, M2Config(alpha=3.0, balanced=False))(Batch(x, y, taught), noise, START)
    assert number(summed.loss) == pytest.approx(number(-bounds.mean() + 3 * entropy), rel=1e-6)
    labels = torch.tensor([0, 1, 2, 0])
    log_prior = torch.tensor(PRIOR_OF_LABELS, dtype=torch.float64).log()[labels]
    bounds = torch.cat(
        [
            elbo_given(m2, taught.x, labels, noise[:, :4]) + log_prior,
            unlabelled_bound(m2, x[~known], noise[:, ~known]),
        ]
    )
    assert len(bounds) == 7
    balanced = M2(m2, M2Config(alpha=3.0))(Batch(x, y, taught), noise, START)
    assert number(balanced.loss) == pytest.approx(number(-bounds.mean() + 3 * entropy), rel=1e-6)


def test_m2_works_with_groups_of_latents_whose_kl_is_sampled():
    vae = of_family("labelled-ladder", classifier={"kind": "mlp", "hidden": [8]})
    x, noise = binary(4), normals(3, 4, 5)
    y = torch.tensor([0, UNLABELLED, 2, 1])
    terms = M2(vae, M2Config(alpha=0.0))(Batch(x, y), noise, START)
    known = M2(vae, M2Config(alpha=0.0))
    parts = [known(Batch(x[i : i + 1], y[i : i + 1]), noise[:, i : i + 1], START) for i in range(4)]
    mean = sum(number(part.loss) for part in parts) / 4
    assert number(terms.loss) == pytest.approx(mean)


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
