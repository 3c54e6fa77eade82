"""How many images and draws an evaluation is worth: by its errors and its time."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from tests.training.evaluation.test_trained import DIGITS
from training.evaluation import effort
from training.evaluation.effort import (
    AskedEffort,
    Trial,
    choose_settings,
    count_draws,
    count_gradients,
    fit_effort,
)
from training.evaluation.evaluate import EvaluationSettings
from training.evaluation.trained import TrainedModel, load_trained_model

SURE = Trial(seconds_a_draw=1e-3, image_bits=0.5, draw_bits=0.02)


def fit(trial=SURE, *, count=300, seconds=1e9, is_exact=False, **changes):
    return fit_effort(replace(trial, **changes), count=count, seconds=seconds, is_exact=is_exact)


@pytest.mark.parametrize(
    ("draw_bits", "draws"),
    [(0.0, 2), (0.04, 5), (0.06, 10), (0.08, 20), (0.14, 50), (0.19, 100), (9.0, 100)],
)
def test_as_many_draws_as_one_images_score_needs(draw_bits, draws):
    assert fit(draw_bits=draw_bits).elbo_num_samples == draws


@pytest.mark.parametrize(
    ("count", "image_bits", "images"),
    [(300, 0.5, 0), (1_000, 0.5, 0), (50_000, 0.5, 1_000), (50_000, 1.0, 2_500), (2_500, 9.0, 0)],
)
def test_as_many_images_as_their_mean_needs_and_a_thousand_for_percentiles(
    count, image_bits, images
):
    assert fit(count=count, image_bits=image_bits).num_images == images


def test_own_images_have_no_subset_of_large_k():
    assert fit().subset_num_images == 0


@pytest.mark.parametrize(
    ("seconds", "found"),
    [
        (400 * 0.1021, (0, 2, 100)),
        (400 * 0.101, (0, 2, 50)),
        (400 * 0.007, (0, 2, 5)),
        (200 * 0.007, (200, 2, 5)),
        (100 * 0.007, (100, 2, 5)),
        (0.0, (100, 2, 5)),
    ],
)
def test_a_short_time_takes_draws_of_the_iwae_bound_first_and_images_next(seconds, found):
    settings = fit(count=400, seconds=seconds)
    got = (settings.num_images, settings.elbo_num_samples, settings.iwae_num_samples)
    assert got == found


def test_a_short_time_takes_draws_of_the_elbo_last():
    noisy = fit(count=100, draw_bits=9.0, seconds=100 * 0.060)
    assert (noisy.num_images, noisy.elbo_num_samples, noisy.iwae_num_samples) == (0, 50, 5)


def test_an_exact_log_likelihood_takes_no_draws_from_the_time():
    assert fit(count=400, seconds=400 * 0.004, is_exact=True).num_images == 0
    assert fit(count=400, seconds=400 * 0.004).num_images == 200


def test_draws_are_counted_over_images_and_subset():
    settings = EvaluationSettings(
        num_images=10, elbo_num_samples=3, iwae_num_samples=4, subset_num_images=2
    )
    assert count_draws(settings, 100) == (10 * 7 + 2 * 5_000, 10)
    assert count_draws(settings, 5) == (5 * 7 + 2 * 5_000, 5)


def test_gradients_are_counted_forwards_and_backwards():
    settings = EvaluationSettings(ais_num_images=10, bdmc_num_images=2, ais_num_steps=50)
    each, pilot = settings.annealing.gradients, settings.annealing.pilot_gradients
    assert count_gradients(settings, 100) == 14 * each - 2 * pilot
    assert count_gradients(settings, 5) == 9 * each - 2 * pilot


@pytest.fixture(scope="module")
def model() -> TrainedModel:
    return load_trained_model(DIGITS)


def choose(model: TrainedModel, asked: AskedEffort) -> tuple[EvaluationSettings, str]:
    console = Console(file=io.StringIO(), width=200)
    settings = choose_settings(model, asked, device="cpu", console=console)
    return settings, console.file.getvalue()


def own(model: TrainedModel, seconds: float) -> TrainedModel:
    """The same model as if it were of own images."""
    change = {"dataset": "photos", "training_seconds": seconds}
    return replace(model, provenance=model.provenance.model_copy(update=change))


def test_a_known_data_set_has_the_published_settings_and_its_time_is_said(model):
    settings, said = choose(model, AskedEffort())
    assert settings == EvaluationSettings()
    assert said.startswith(
        f"Evaluation: {len(model.x)} of {len(model.x)} test images, 100 draws of the ELBO, 100 of "
        f"the IWAE bound, 5,000 for {min(1_000, len(model.x))} of them; about 0:"
    )


def test_own_images_are_scored_within_a_quarter_of_the_training(model, monkeypatch):
    monkeypatch.setattr(effort, "_try", lambda *args, **_: replace(SURE, seconds_a_draw=1.0))
    for training, images in ((4 * 110 * len(model.x), 0), (0.0, 100)):
        settings, _ = choose(own(model, training), AskedEffort())
        assert settings.num_images == images
        assert settings.subset_num_images == 0


def test_what_is_asked_for_is_kept(model):
    asked = AskedEffort(seed=3, elbo_num_samples=7, subset_num_images=5)
    for one in (model, own(model, 1e6)):
        settings, _ = choose(one, asked)
        assert (settings.seed, settings.elbo_num_samples, settings.subset_num_images) == (3, 7, 5)


def test_a_trial_sees_the_spread_over_images_and_draws(model):
    found = effort._try(model, "cpu", seed=0)
    whole = model.evaluate(settings=EvaluationSettings(subset_num_images=0, iwae_num_samples=1))
    elbo = whole.estimates[0]
    bits = elbo.standard_error_nats * len(model.x) ** 0.5 / (64 * 0.6931)
    assert found.image_bits == pytest.approx(bits, rel=0.5)
    drawn = elbo.monte_carlo_error_nats * (len(model.x) * 100) ** 0.5 / (64 * 0.6931)
    assert found.draw_bits == pytest.approx(drawn, rel=0.3)
    assert found.seconds_a_draw > 0


def test_a_random_part_of_the_test_images_can_be_scored(model, tmp_path: Path):
    settings = EvaluationSettings(
        num_images=20, elbo_num_samples=2, iwae_num_samples=2, subset_num_images=0
    )
    evaluation = model.evaluate(settings=settings)
    assert evaluation.num_images == 20
    assert {baseline.n for baseline in evaluation.baselines} == {20}
    same = load_trained_model(DIGITS, num_images=20).evaluate(
        settings=settings.model_copy(update={"num_images": 0})
    )
    assert evaluation == same
