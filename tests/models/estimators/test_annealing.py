"""Annealing against linear-Gaussian oracles, a model with two modes, and every family; float64."""

import math
from dataclasses import replace

import pytest
import torch

from models.distributions.batch_noise import BatchNoise
from models.errors import InputError, OutOfSupport, UnsupportedOperation
from models.estimators import annealed_chains
from models.estimators.annealed_chains import (
    Annealing,
    Chains,
    chains_steps,
    check_annealable,
    in_double,
    schedule,
)
from models.estimators.annealing import (
    annealed_log_px_steps,
    as_evidence,
    bound_both_sides,
    estimate_annealed_log_px,
    sandwich_steps,
)
from models.estimators.simulated import simulate
from models.estimators.steps import run_steps
from models.vae.model import VAE
from tests.models.estimators.test_refine import (
    REFINED,
    batch,
    folded,
    folded_log_px,
    random_model,
)
from tests.models.family_cases import family
from tests.oracle import instance, labelled, make, two_layers

STARTS = ("prior", "posterior", "refined")
TENSORS = (
    "estimate_nats",
    "standard_error_nats",
    "effective_sample_size",
    "lower_bound_95_nats",
    "acceptance_rate",
)


@pytest.fixture(autouse=True)
def _short_pilot_run(monkeypatch):
    monkeypatch.setattr(annealed_chains, "PLACES", 4)
    monkeypatch.setattr(annealed_chains, "PILOT_MOVES", 4)


def quick(start="posterior", steps=12, leapfrog=2):
    return Annealing(start=start, num_steps=steps, num_leapfrog=leapfrog)


def assert_unbiased(log_ratio):
    """The mean of exp(estimate - log p(x)) over images and seeds is 1, within four errors."""
    ratio = log_ratio.exp()
    assert float((ratio.mean() - 1).abs()) < 4 * float(ratio.std()) / math.sqrt(len(ratio))


def test_the_schedule_goes_from_0_to_1_with_small_steps_at_both_ends():
    b = schedule(10)
    assert (float(b[0]), float(b[-1]), len(b)) == (0.0, 1.0, 11)
    steps = b.diff()
    assert bool((steps > 0).all())
    torch.testing.assert_close(steps, steps.flip(0))
    assert float(steps[5] / steps[0]) > 5


@pytest.mark.parametrize("start", STARTS)
def test_weights_are_unbiased_and_no_seed_is_above_log_px_in_the_mean(start):
    oracle = instance("easy") if start == "prior" else instance("medium")
    x = oracle.draw(12)
    exact, found = oracle.log_px(x), []
    for seed in range(3):
        e = estimate_annealed_log_px(oracle.vae, x, seed=seed, settings=quick(start))
        apart = e.estimate_nats - exact
        assert float(apart.mean()) < 4 * float(apart.std()) / math.sqrt(len(x))
        assert float((apart / e.standard_error_nats).abs().median()) < 2
        found.append(apart)
    assert_unbiased(torch.cat(found))


def test_more_steps_come_closer_to_log_px():
    oracle = instance("medium")
    x = oracle.draw(16)
    errors = [
        (
            estimate_annealed_log_px(
                oracle.vae, x, seed=0, settings=quick("prior", steps)
            ).estimate_nats
            - oracle.log_px(x)
        )
        .abs()
        .mean()
        for steps in (4, 16, 64)
    ]
    assert errors[0] > 1.5 * errors[1] > 2 * errors[2]


def test_from_the_exact_posterior_every_chain_weighs_px():
    oracle = instance("easy")
    x = oracle.draw(4)
    e = estimate_annealed_log_px(oracle.vae, x, seed=0, settings=quick())
    torch.testing.assert_close(e.estimate_nats, oracle.log_px(x))
    torch.testing.assert_close(e.effective_sample_size, torch.full((4,), 16.0).double())
    assert float(e.standard_error_nats.max()) < 1e-6
    assert (e.start, e.num_steps, e.num_chains, e.num_leapfrog, e.seed) == (
        "posterior",
        12,
        16,
        2,
        0,
    )


def test_chains_from_the_prior_find_both_modes_where_the_encoder_knows_one():
    plain = make(
        latents=3, shape=(1, 3, 3), noise_scale=0.5, posterior_scale=1.0, posterior_shift=0.0
    )
    vae, x = folded(plain), plain.draw(400)
    loc, scale = plain.exact_posterior(x)
    x = x[loc[:, -1] > 5 * scale[-1]][:12]
    exact = folded_log_px(plain, x)
    encoder = estimate_annealed_log_px(vae, x, seed=0, settings=quick())
    torch.testing.assert_close(encoder.estimate_nats, exact - math.log(2), rtol=0, atol=1e-3)
    apart = [
        estimate_annealed_log_px(vae, x, seed=seed, settings=quick("prior", 40)).estimate_nats
        - exact
        for seed in range(2)
    ]
    assert_unbiased(torch.cat(apart))
    assert float(torch.cat(apart).mean()) > -0.4
    refined = estimate_annealed_log_px(vae, x, seed=0, settings=quick("refined"))
    torch.testing.assert_close(refined.estimate_nats, exact, rtol=0, atol=0.4)


@pytest.mark.parametrize("start", STARTS)
def test_log_px_of_simulated_images_lies_between_both_bounds(start):
    oracle = instance("easy" if start == "prior" else "medium")
    simulated = simulate(oracle.vae, 24, seed=1)
    exact = oracle.log_px(simulated.x)
    e = bound_both_sides(oracle.vae, simulated, seed=0, settings=quick(start))
    below, above = exact - e.estimate_nats, e.upper_nats - exact
    for slack in (below, above, e.gap_nats):
        assert float(slack.mean()) > -3 * float(slack.std()) / math.sqrt(24)
    assert_unbiased(-below)
    assert_unbiased(-above)
    torch.testing.assert_close(e.gap_nats, below + above)
    lower = estimate_annealed_log_px(oracle.vae, simulated.x, seed=0, settings=quick(start))
    assert torch.equal(lower.estimate_nats, e.estimate_nats)


def test_chains_that_are_too_short_are_told_by_the_gap():
    oracle = instance("hard")
    simulated = simulate(oracle.vae, 8, seed=1)
    exact = oracle.log_px(simulated.x)
    e = bound_both_sides(oracle.vae, simulated, seed=0, settings=quick("prior", 6))
    assert bool((e.estimate_nats < exact - 1).all())
    assert bool((e.upper_nats > exact + 1).all())


@pytest.mark.parametrize("posterior", ["bottom_up", "ladder"])
@pytest.mark.parametrize("start", STARTS)
def test_two_layers_of_latents_are_annealed(posterior, start):
    layers = two_layers(posterior, posterior_scale=0.9)
    x = layers.draw(16)
    e = estimate_annealed_log_px(layers.vae, x, seed=0, settings=quick(start))
    assert_unbiased(e.estimate_nats - layers.log_px(x))


def test_a_given_label_conditions_the_estimate():
    model = labelled(posterior_scale=0.7)
    x, y = model.draw(12), torch.arange(12) % 3
    e = estimate_annealed_log_px(model.vae, x, seed=0, settings=quick(), y=y)
    assert_unbiased(e.estimate_nats - model.log_px_given_y(x).gather(1, y[:, None])[:, 0])
    assert float(e.standard_error_nats.max()) < 0.5


def test_simulated_images_have_the_labels_and_moments_of_the_model():
    model = labelled(posterior_scale=1.0)
    simulated = simulate(model.vae, 2_000, seed=0)
    shares = simulated.y.bincount() / 2_000
    expected = torch.tensor(model.probabilities)
    error = (expected * (1 - expected) / 2_000).sqrt()
    assert bool(((shares - expected).abs() < 4 * error).all())
    likelihood = model.vae.likelihood(simulated.z, simulated.y)
    rest = (simulated.x - likelihood.mean) / model.plain.noise_scale
    assert float(rest.mean().abs()) < 4 / math.sqrt(rest.numel())
    assert float(rest.std()) == pytest.approx(1, abs=0.02)
    e = bound_both_sides(
        model.vae,
        type(simulated)(simulated.x[:4], simulated.z[:4], simulated.y[:4]),
        seed=0,
        settings=quick(),
    )
    exact = model.log_px_given_y(simulated.x[:4]).gather(1, simulated.y[:4, None])[:, 0]
    torch.testing.assert_close(e.estimate_nats, exact)  # whose posterior is exact
    torch.testing.assert_close(e.upper_nats, exact)
    assert torch.equal(simulate(model.vae, 5, seed=0).x, simulated.x[:5])


@pytest.mark.parametrize("name", REFINED)
@pytest.mark.parametrize("start", STARTS)
def test_an_image_gets_the_same_bits_alone_in_any_passes_and_in_inference_mode(name, start):
    config = family(name)
    vae = random_model(config)
    x, y = batch(config)
    settings = quick(start, steps=6)
    steps = annealed_log_px_steps(vae, x, seed=3, settings=settings, y=y)
    whole = run_steps(steps, max_rows=48)
    with torch.inference_mode():
        alone = estimate_annealed_log_px(
            vae,
            x[3:4].clone(),
            seed=3,
            settings=settings,
            first_item=3,
            y=None if y is None else y[3:4],
        )
    for field in TENSORS:
        ours, theirs = getattr(whole, field)[3:4], getattr(alone, field)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0, msg=field)
    assert bool(whole.estimate_nats.isfinite().all())


def chains_of(oracle, x, settings, seed=0):
    return run_steps(chains_steps(oracle.vae, x, None, settings, seed, 0))


def test_step_sizes_are_those_of_the_pilot_run_in_both_directions(monkeypatch):
    oracle = instance("medium")
    simulated = simulate(oracle.vae, 3, seed=1)
    used, tuned = [], []
    move, tune = Chains.move_steps, Chains.tune_steps

    def spy(self, state, b, size):
        used.append(size)
        return move(self, state, b, size)

    def spy_on_pilot(self):
        sizes = yield from tune(self)
        used.clear()  # the pilot's own
        tuned.append(sizes)
        return sizes

    monkeypatch.setattr(Chains, "move_steps", spy)
    monkeypatch.setattr(Chains, "tune_steps", spy_on_pilot)
    run_steps(sandwich_steps(oracle.vae, simulated, seed=0, settings=quick("prior", 20)))
    (sizes,) = tuned
    assert sizes.shape == (19, 3)
    assert torch.equal(torch.stack(used[:19]), sizes)
    assert torch.equal(torch.stack(used[19:]), sizes.flip(0))


def test_the_pilot_run_finds_the_acceptance_that_it_aims_at():
    oracle = instance("hard")
    x = oracle.draw(4)
    for start in ("prior", "posterior"):
        e = estimate_annealed_log_px(oracle.vae, x, seed=0, settings=quick(start, 60))
        assert bool(((e.acceptance_rate - 0.65).abs() < 0.15).all())


def test_moves_keep_the_posterior():
    oracle = instance("medium")
    x = oracle.draw(1)
    settings = replace(quick(leapfrog=3), num_chains=4_000)
    chains = chains_of(oracle, x, settings)
    loc, scale = oracle.exact_posterior(x)
    noise = BatchNoise(1, 1, "posterior").draw(4_000, (8,), dtype=torch.float64)
    state = run_steps(chains.at_steps(loc + scale * noise))
    for _ in range(3):
        state, probability = run_steps(chains.move_steps(state, 1.0, torch.ones(1).double()))
    assert 0.3 < float(probability.mean()) < 0.99
    whitened = ((state.z - loc) / scale)[:, 0]
    assert float((whitened - noise[:, 0]).abs().mean()) > 0.5  # they have moved
    assert float(whitened.mean(0).abs().max()) < 4.5 / math.sqrt(4_000)
    assert float((whitened.var(0) - 1).abs().max()) < 4.5 * math.sqrt(2 / 4_000)


def test_a_move_out_of_the_numbers_is_not_accepted():
    oracle = instance("easy")
    chains = chains_of(oracle, oracle.draw(2), quick())
    state = run_steps(chains.first_steps())
    sizes = torch.tensor([1e200, 1.0], dtype=torch.float64)
    moved, probability = run_steps(chains.move_steps(state, 0.5, sizes))
    assert torch.equal(moved.z[:, 0], state.z[:, 0])
    assert float(probability[:, 0].max()) == 0
    assert not torch.equal(moved.z[:, 1], state.z[:, 1])


def test_the_stated_gradients_are_those_that_are_run():
    oracle, rows = instance("easy"), 0
    settings = quick(steps=30)
    steps = annealed_log_px_steps(oracle.vae, oracle.draw(1), seed=0, settings=settings)
    asked = next(steps)
    try:
        while True:
            rows += asked.num_rows if asked.function.__name__ == "_slope" else 0
            asked = steps.send(asked.run())
    except StopIteration:
        pass
    assert rows == settings.gradients
    assert quick(steps=4).pilot_places == [1, 2, 3]


def test_a_model_of_float32_is_annealed_in_a_copy_of_float64():
    vae = random_model(family("standard"))
    copy = in_double(vae)
    assert in_double(copy) is copy
    assert next(vae.parameters()).dtype == torch.float32
    for ours, theirs in zip(copy.parameters(), vae.parameters(), strict=True):
        assert torch.equal(ours.float(), theirs)


@pytest.mark.parametrize(
    ("name", "fields", "words"),
    [
        ("categorical", {}, "latents are discrete"),
        ("autoencoder", {}, "autoencoder"),
        ("labelled", {}, "no label was given"),
    ],
)
def test_a_model_that_cannot_be_annealed_is_refused_with_the_reason(name, fields, words):
    vae = VAE(family(name, **fields)).eval()
    with pytest.raises(UnsupportedOperation, match=words):
        check_annealable(vae, None)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"num_chains": 20}, "num_chains=20 is no positive multiple of 16.*Use 16"),
        ({"num_chains": 0}, "num_chains=0 .*Use 16"),
        ({"num_steps": 1}, "num_steps=1 is too few. Give num_steps=2"),
        ({"num_leapfrog": 0}, "num_leapfrog=0 is too few. Give num_leapfrog=1"),
    ],
)
def test_numbers_without_a_meaning_are_refused(fields, words):
    with pytest.raises(InputError, match=words):
        Annealing(**fields)


def test_images_outside_the_support_are_refused():
    vae = random_model(family("standard"))
    with pytest.raises(OutOfSupport):
        estimate_annealed_log_px(vae, torch.full((1, 1, 4, 4), 0.5), seed=0)


def test_the_lower_bound_of_sixteen_chains_holds_and_takes_the_form_of_others():
    oracle = instance("medium")
    x = oracle.draw(60)
    e = estimate_annealed_log_px(oracle.vae, x, seed=0, settings=quick())
    below = oracle.log_px(x) - e.lower_bound_95_nats
    assert float((below < 0).double().mean()) <= 0.05
    assert float(below.median()) < 1.5
    found = as_evidence(e)
    assert (found.estimator, found.num_samples, found.inference) == ("ais", 16, "amortised")
    assert torch.equal(found.lower_bound_95_nats, e.lower_bound_95_nats)
    assert torch.isnan(found.log_px_interval_nats).all()
    assert not any(found.weights_look_regular)
    assert as_evidence(replace(e, start="refined")).inference == "refined"
