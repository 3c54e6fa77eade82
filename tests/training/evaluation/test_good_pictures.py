"""Good pictures are scored as the service scores, and their p-values are as rare as they say."""

import numpy as np
import pytest
import torch
from scipy import stats

from models.errors import InputError
from models.estimators.anomaly import NUM_SAMPLES, measure
from models.estimators.typicality import KINDS, Typical, score
from models.vae.model import VAE
from tests.models.family_cases import family
from tests.training.conftest import RECIPE
from training.data.datasets import load
from training.evaluation import good_pictures
from training.evaluation.good_pictures import (
    can_score,
    chosen_pictures,
    find_good_pictures,
    fit_good_pictures,
    measure_pictures,
    pictures_of,
)

SPEC = RECIPE.image


@pytest.fixture(scope="module")
def vae() -> VAE:
    torch.manual_seed(0)
    return VAE(RECIPE.vae).freeze()


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.asarray(load("digits").train.observations(SPEC))


def test_stored_scores_rank_as_fitted_ones(vae: VAE, pictures: np.ndarray) -> None:
    good = find_good_pictures(vae, pictures[:200], SPEC, dataset="digits", split="test")
    assert (good.dataset, good.split, good.num_samples) == ("digits", "test", NUM_SAMPLES)
    assert len(good.evidence) == 100
    assert all(len(good.fitted[kind]) == 60 for kind in KINDS)
    assert [(found.alpha, found.n) for found in good.false_alarms] == [(0.01, 40), (0.05, 40)]
    typical = Typical.of(good)
    whole = measure(vae, torch.from_numpy(pictures[:200]), levels=SPEC.levels, seed=0)
    ranked = typical.rank(score(whole, typical.centres))
    counted = sum(found.count for found in good.false_alarms)
    assert counted <= int((ranked.p_value <= 0.05).sum()) + int((ranked.p_value <= 0.01).sum())
    black = np.zeros_like(pictures[:1])
    odd = score(measure_pictures(vae, black, SPEC), typical.centres)
    assert typical.rank(odd).p_value[0] <= 0.05


def test_p_values_of_pictures_of_the_same_kind_are_uniform(vae: VAE, pictures: np.ndarray) -> None:
    measured = measure_pictures(vae, pictures[:1_000], SPEC)
    typical = Typical.of(fit_good_pictures(measured, dataset="digits", split="test"))
    others = measure_pictures(vae, pictures[1_000:], SPEC)
    p_value = typical.rank(score(others, typical.centres)).p_value
    assert stats.kstest(p_value, "uniform").pvalue > 0.01
    count = int((p_value <= 0.05).sum())
    assert stats.binomtest(count, len(p_value), 0.05).pvalue > 0.001


def test_measurements_do_not_depend_on_how_many_are_scored_at_once(
    vae: VAE, pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = measure_pictures(vae, pictures[:30], SPEC)
    monkeypatch.setattr(good_pictures, "_ROWS", 7)
    for one, other in zip(whole, measure_pictures(vae, pictures[:30], SPEC), strict=True):
        assert np.array_equal(one, other)


def test_many_latents_keep_the_diagonal(
    vae: VAE, pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(good_pictures, "MOST_FACTORS", 1)
    good = find_good_pictures(vae, pictures[:100], SPEC, dataset="digits", split="test")
    assert len(good.latent_factor) == 1
    assert len(good.latent_factor[0]) == len(good.latent_mean) == 2


def test_too_few_pictures_are_refused(vae: VAE, pictures: np.ndarray) -> None:
    with pytest.raises(InputError, match="5 good pictures are too few"):
        find_good_pictures(vae, pictures[:5], SPEC, dataset="digits", split="test")


def test_no_more_pictures_are_scored_than_the_time_allows_but_enough(
    vae: VAE, pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(good_pictures, "ENOUGH_PICTURES", 40)
    asked = {"dataset": "digits", "split": "test"}
    held_out = [
        len(find_good_pictures(vae, pictures[:100], SPEC, **asked, most_seconds=seconds).evidence)
        for seconds in (0.0, 1e6)
    ]
    assert held_out == [20, 50]


def test_of_many_pictures_the_same_ones_are_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(good_pictures, "MOST_PICTURES", 10)
    assert chosen_pictures(10).tolist() == list(range(10))
    chosen = chosen_pictures(1_000)
    assert len(set(chosen.tolist())) == 10
    assert chosen.tolist() == chosen_pictures(1_000).tolist()


def test_of_known_data_and_those_of_the_training_the_test_split_is_taken() -> None:
    known = load("digits")
    x, split = pictures_of(known, SPEC, trained_on="")
    assert (len(x), split) == (len(known.test), "test")


def test_models_without_an_encoder_or_a_likelihood_cannot_score() -> None:
    assert can_score(VAE(family("standard")))
    assert not can_score(VAE(family("categorical")))
    assert not can_score(VAE(family("autoencoder")))
