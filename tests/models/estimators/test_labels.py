"""Labels: brute-force sums over them, and exact Bayes on a linear-Gaussian oracle; float64."""

import pytest
import torch

from models.distributions.batch_noise import BatchNoise
from models.distributions.kl import kl_divergence
from models.errors import InputError, ShapeMismatch, UnsupportedOperation
from models.estimators.bounds import iwae_bound
from models.estimators.elbo import estimate_elbo
from models.estimators.importance import estimate_log_px
from models.estimators.labels import GUESS_NUM_SAMPLES, classify_steps, guess_steps
from models.estimators.steps import run_steps
from models.vae.model import VAE
from tests.models.family_cases import family
from tests.oracle import labelled

LABELLED = ["m2", "labelled", "label-prior", "labelled-ladder"]
CHANCES = (0.2, 0.3, 0.5)
LOG_CHANCES = torch.tensor(CHANCES, dtype=torch.float64).log()


def make(name, **fields):
    torch.manual_seed(0)
    vae = VAE(family(name, **{"label_probabilities": CHANCES, **fields})).double()
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return vae.freeze()


def pictures(count, *, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 1, 4, 4, generator=generator).round().double()


def all_of(label, count):
    return torch.full((count,), label)


def noise_of(vae, count, num_samples, *, seed=0):
    noise = BatchNoise(seed, count, "posterior")
    return noise.draw(num_samples, vae.latent_shape, dtype=torch.float64)


def guess(vae, x, chunk_rows=512):
    return run_steps(guess_steps(vae, x, chunk_rows=chunk_rows))


def classify(vae, x, *, num_samples=50, seed=0, first_item=0, chunk_rows=512):
    return run_steps(
        classify_steps(
            vae, x, num_samples=num_samples, seed=seed, first_item=first_item, chunk_rows=chunk_rows
        )
    )


# Weights


@pytest.mark.parametrize("name", LABELLED)
def test_weights_without_a_label_are_the_brute_force_sum_over_labels(name):
    vae, x = make(name), pictures(4)
    noise = noise_of(vae, 4, 6)
    by_label = [
        vae.log_weights(x, noise, all_of(c, 4)) + chance for c, chance in enumerate(LOG_CHANCES)
    ]
    exact = torch.stack(by_label).logsumexp(0)
    torch.testing.assert_close(vae.log_weights(x, noise), exact, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", LABELLED)
def test_weights_with_a_label_are_the_three_log_densities_given_it(name):
    vae, x = make(name), pictures(4)
    y = torch.tensor([0, 2, 1, 2])
    noise = noise_of(vae, 4, 6)
    q = vae.posterior(x, y)
    z = q.from_noise(noise)
    exact = vae.likelihood(z, y).log_prob(x) + vae.prior(y).log_prob(z) - q.log_prob(z)
    torch.testing.assert_close(vae.log_weights(x, noise, y), exact, rtol=1e-12, atol=1e-12)
    for i in range(4):  # each its own label's
        alone = vae.log_weights(x[i : i + 1], noise[:, i : i + 1], y[i : i + 1])
        torch.testing.assert_close(alone[:, 0], exact[:, i], rtol=1e-12, atol=1e-12)


def test_a_label_enters_encoder_and_decoder():
    vae, x = make("labelled"), pictures(1)
    z = torch.zeros(1, 2, dtype=torch.float64)
    said = [
        (vae.posterior(x, all_of(c, 1)).loc, vae.likelihood(z, all_of(c, 1)).mean) for c in (0, 1)
    ]
    for first, second in zip(*said, strict=True):
        assert float((first - second).abs().max()) > 1e-3


def test_the_decoder_takes_the_label_as_a_unit_vector_beside_the_latent():
    vae = make("labelled")
    z = torch.randn(5, 3, 2, dtype=torch.float64)
    y = torch.tensor([2, 0, 1])
    beside = torch.cat([z, torch.eye(3, dtype=torch.float64)[y].expand(5, 3, 3)], -1)
    assert torch.equal(vae.likelihood(z, y).logits, vae.decoder(beside))


def test_the_labels_probabilities_are_those_of_the_config_or_uniform():
    given = make("labelled").log_label_prior
    torch.testing.assert_close(given, LOG_CHANCES, rtol=1e-14, atol=0)
    assert float(given.exp().sum()) == pytest.approx(1, abs=1e-15)
    uniform = make("labelled", label_probabilities=()).log_label_prior
    third = torch.ones(3, dtype=torch.float64) / 3
    torch.testing.assert_close(uniform, third.log(), rtol=1e-14, atol=0)
    assert make("labelled").float().log_label_prior.dtype == torch.float32


@pytest.mark.parametrize("call", ["prior", "posterior", "likelihood", "log_joint"])
def test_a_distribution_of_a_labelled_model_needs_a_label(call):
    vae, z = make("labelled"), torch.zeros(2, 2, dtype=torch.float64)
    arguments = {
        "prior": (),
        "posterior": (pictures(2),),
        "likelihood": (z,),
        "log_joint": (pictures(2), z),
    }
    with pytest.raises(UnsupportedOperation, match=r"needs a label. Give one of 0\.\.2"):
        getattr(vae, call)(*arguments[call])


@pytest.mark.parametrize("estimate", [estimate_elbo, estimate_log_px])
def test_labels_that_are_none_are_refused(estimate):
    vae, x = make("labelled"), pictures(2)
    with pytest.raises(InputError, match=r"y holds -1; a label of this model is one of 0\.\.2"):
        estimate(vae, x, num_samples=1, seed=0, y=torch.tensor([1, -1]))
    with pytest.raises(InputError, match=r"y holds 3;"):
        estimate(vae, x, num_samples=1, seed=0, y=torch.tensor([3, 3]))
    with pytest.raises(
        ShapeMismatch, match=r"y has shape \(3,\).*for each of 2 observations, \(2,\)"
    ):
        estimate(vae, x, num_samples=1, seed=0, y=torch.tensor([0, 1, 2]))


# The evidence


@pytest.mark.parametrize("estimator", ["iwae", "prior"])
@pytest.mark.parametrize("given", [False, True])
def test_the_evidence_is_that_of_the_dense_normals(estimator, given):
    oracle = labelled(posterior_scale=1.2)
    x = oracle.draw(30)
    y = torch.arange(30) % 3 if given else None
    e = estimate_log_px(
        oracle.vae, x, num_samples=5000, seed=0, estimator=estimator, y=y, chunk_rows=50_000
    )
    exact = oracle.log_joint(x).logsumexp(-1)
    if y is not None:
        exact = oracle.log_px_given_y(x)[torch.arange(30), y]
    assert e.num_samples == 5000
    kept = torch.tensor(e.weights_look_regular)
    assert int(kept.sum()) > 10
    off = ((e.estimate_nats - exact) / e.standard_error_nats)[kept]
    assert bool((off.abs() < 4.5).all())


def test_with_exact_posteriors_one_weight_without_a_label_is_the_evidence():
    oracle = labelled(posterior_scale=1.0)
    x = oracle.draw(10)
    log_w = oracle.vae.log_weights(x, noise_of(oracle.vae, 10, 5))
    exact = oracle.log_joint(x).logsumexp(-1).expand(5, 10)
    torch.testing.assert_close(log_w, exact, rtol=1e-10, atol=1e-10)


def test_the_interval_without_a_label_covers_the_evidence_as_often_as_it_says():
    oracle = labelled(posterior_scale=1.2)
    x = oracle.draw(400)
    e = estimate_log_px(oracle.vae, x, num_samples=600, seed=3, chunk_rows=50_000)
    exact = oracle.log_joint(x).logsumexp(-1)
    low, high = e.log_px_interval_nats.unbind(-1)
    assert all(e.weights_look_regular)
    covered = float(((low <= exact) & (exact <= high)).double().mean())
    assert abs(covered - 0.95) < 4 * (0.95 * 0.05 / 400) ** 0.5


# The ELBO


@pytest.mark.parametrize("name", LABELLED)
def test_the_elbo_without_a_label_is_the_brute_force_bound_of_unlabelled_data(name):
    vae, x = make(name), pictures(4)
    e = estimate_elbo(vae, x, num_samples=40, seed=5)
    log_q = guess(vae, x)
    noise = noise_of(vae, 4, 40, seed=5)
    draws, label_kl = torch.zeros(40, 4).double(), torch.zeros(4).double()
    for c in range(3):
        y = all_of(c, 4)
        q, p = vae.posterior(x, y), vae.prior(y)
        z = q.from_noise(noise)
        log_likelihood = vae.likelihood(z, y).log_prob(x)
        if e.kl_method == "analytic":
            bound = log_likelihood - kl_divergence(q, p)
        else:
            bound = log_likelihood + p.log_prob(z) - q.log_prob(z)
        draws += log_q[:, c].exp() * bound
        label_kl += log_q[:, c].exp() * (log_q[:, c] - LOG_CHANCES[c])
    assert e.num_samples == 40
    exact = draws.mean(0) - label_kl
    torch.testing.assert_close(e.elbo_nats, exact, rtol=1e-12, atol=1e-11)
    torch.testing.assert_close(e.label_kl_nats, label_kl, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(e.elbo_nats, e.expected_log_likelihood_nats - e.kl_nats)
    error = draws.std(0) / 40**0.5
    torch.testing.assert_close(e.standard_error_nats, error, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", LABELLED)
def test_the_elbo_with_a_label_has_no_kl_of_labels(name):
    vae, x = make(name), pictures(4)
    y = torch.tensor([0, 2, 1, 2])
    e = estimate_elbo(vae, x, num_samples=40, seed=5, y=y)
    noise = noise_of(vae, 4, 40, seed=5)
    assert e.label_kl_nats is None
    sampled = estimate_elbo(vae, x, num_samples=40, seed=5, y=y, kl_method="monte_carlo")
    torch.testing.assert_close(sampled.elbo_nats, vae.log_weights(x, noise, y).mean(0))
    assert bool(((e.elbo_nats - sampled.elbo_nats).abs() < 6 * sampled.standard_error_nats).all())


@pytest.mark.parametrize("name", LABELLED)
def test_the_mean_weight_summed_over_labels_is_no_lower_than_the_elbo(name):
    vae, x = make(name), pictures(4)
    bound = estimate_elbo(vae, x, num_samples=30, seed=2, kl_method="monte_carlo")
    mean = vae.log_weights(x, noise_of(vae, 4, 30, seed=2)).mean(0)
    assert bool((mean > bound.elbo_nats).all())


@pytest.mark.parametrize("given", [False, True])
def test_the_evidence_has_an_elbo_only_where_no_label_is_summed_over(given):
    vae, x = make("labelled"), pictures(2)
    y = all_of(1, 2) if given else None
    found = estimate_log_px(vae, x, num_samples=3, seed=0, y=y)
    assert (found.elbo_nats is not None) == (found.gap_lower_bound_nats is not None) == given


def test_the_parts_of_the_latents_kl_sum_to_it_without_that_of_the_labels():
    vae, x = make("m2"), pictures(4)
    e = estimate_elbo(vae, x, num_samples=3, seed=0)
    latent = e.kl_nats - e.label_kl_nats
    torch.testing.assert_close(e.kl_per_dimension_nats.sum(-1), latent)
    ladder = make("labelled-ladder")
    e = estimate_elbo(ladder, x, num_samples=3, seed=0)
    torch.testing.assert_close(e.kl_per_group_nats.sum(-1), e.kl_nats - e.label_kl_nats)


def test_the_elbo_without_a_label_agrees_with_the_exact_bound_within_its_stated_error():
    oracle = labelled(posterior_scale=1.3)
    x = oracle.draw(60)
    e = estimate_elbo(oracle.vae, x, num_samples=400, seed=0)
    log_q = guess(oracle.vae, x)
    exact = log_q.exp() * (oracle.log_joint(x) - oracle.plain.gap() - log_q)
    off = (e.elbo_nats - exact.sum(-1)) / e.standard_error_nats
    assert bool((off.abs() < 4).all())
    assert float(off.std()) == pytest.approx(1, abs=4 / (2 * 60) ** 0.5)
    assert bool((exact.sum(-1) <= oracle.log_joint(x).logsumexp(-1)).all())


# q(y|x)


def test_a_guess_converges_to_bayes_rule():
    oracle = labelled(posterior_scale=1.2)
    with torch.no_grad():  # else the labels' errors are the same, and cancel
        oracle.vae.label_pictures.mul_(0.5)
    x = oracle.draw(30)
    exact = oracle.log_joint(x).log_softmax(-1)
    few, many = (
        float((classify(oracle.vae, x, num_samples=n, chunk_rows=50_000) - exact).abs().mean())
        for n in (50, 5000)
    )
    assert many < few / 5  # ten times less, as errors fall
    assert many < 0.02


def test_with_exact_posteriors_one_sample_is_bayes_rule():
    oracle = labelled(posterior_scale=1.0)
    x = oracle.draw(30)
    exact = oracle.log_joint(x).log_softmax(-1)
    for found in (classify(oracle.vae, x, num_samples=1), guess(oracle.vae, x)):
        torch.testing.assert_close(found, exact, rtol=1e-9, atol=1e-10)


def test_bayes_rule_takes_the_mean_weight_of_each_label():
    vae, x = make("label-prior"), pictures(3)
    found = classify(vae, x, num_samples=20, seed=4)
    noise = BatchNoise(4, 3, "label").draw(20, (2,), dtype=torch.float64)
    log_px = torch.stack(
        [iwae_bound(vae.log_weights(x, noise, all_of(c, 3))) for c in range(3)], -1
    )
    exact = (log_px + LOG_CHANCES).log_softmax(-1)
    torch.testing.assert_close(found, exact, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", ["labelled", "labelled-ladder", "m2"])
def test_a_guess_rests_on_the_picture_alone(name):
    vae, x = make(name).float(), pictures(60).float()
    vae.freeze()
    whole = guess(vae, x)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    assert torch.equal(guess(vae, x[order]), whole[order])
    for i in (0, 17, 59):
        assert torch.equal(guess(vae, x[i : i + 1]), whole[i : i + 1])
    for chunk_rows in (1, 7, 10**6):
        assert torch.equal(guess(vae, x, chunk_rows), whole)


def test_a_classifiers_softmax_is_taken_where_there_is_one():
    vae, x = make("m2"), pictures(5)
    exact = torch.log_softmax(vae.classifier(2 * x - 1), -1)
    for found in (guess(vae, x), classify(vae, x)):
        assert torch.equal(found, exact)


def test_a_categorical_latents_posterior_is_its_guess():
    vae, x = make("categorical", label_probabilities=(), latent_shape=(4,)), pictures(5)
    assert torch.equal(classify(vae, x), vae.posterior(x).log_probs)


@pytest.mark.parametrize("num_samples", [1, 5])
def test_exactly_the_samples_that_were_asked_for_are_decoded(num_samples):
    vae, x, rows = make("labelled"), pictures(4), []
    vae.decoder.register_forward_hook(lambda m, args, out: rows.append(args[0].shape[:-1].numel()))
    classify(vae, x, num_samples=num_samples, chunk_rows=24)
    assert sum(rows) == 4 * 3 * num_samples
    assert max(rows) <= 24
    rows.clear()
    guess(vae, x)
    assert sum(rows) == 4 * 3 * GUESS_NUM_SAMPLES


def test_without_labels_there_is_nothing_to_guess():
    with pytest.raises(
        UnsupportedOperation, match="cannot classify: it was trained without labels"
    ):
        classify(make("standard", label_probabilities=()), pictures(2))


def test_bayes_rule_without_samples_is_refused():
    with pytest.raises(InputError, match="num_samples=0 is too few"):
        classify(make("labelled"), pictures(2), num_samples=0)
