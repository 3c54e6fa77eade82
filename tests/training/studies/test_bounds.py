"""Scores side by side, against the oracle's exact values and direct computations."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from models.errors import ConfigError, UnsupportedOperation
from models.estimators.elbo import estimate_elbo
from models.estimators.importance import estimate_log_px
from models.vae.model import VAE
from tests import oracle
from tests.training.conftest import RECIPE
from tests.training.subject_cases import of_family, of_oracle
from training.data.datasets import load
from training.fit.batches import keep_labels
from training.recipes.objective import ELBOConfig, IWAEConfig, M2Config
from training.recipes.recipe import DatasetConfig
from training.studies.accuracy import label_accuracy
from training.studies.bounds import compare_bounds, score
from training.studies.iwae_gap import iwae_gap
from training.studies.rate_distortion import rate_distortion
from training.studies.statistics import mean_and_error, paired, proportion
from training.studies.subjects import Subject


def test_errors_are_those_of_a_mean_of_differences_and_of_a_share() -> None:
    values = torch.tensor([1.0, 2.0, 6.0])
    assert mean_and_error(values) == pytest.approx((3.0, math.sqrt(7 / 3)))
    others = torch.tensor([0.0, 2.0, 4.0])
    mean, low, high = paired(values, others)
    assert mean == 1.0
    assert (high - low) / 2 == pytest.approx(1.959964 * math.sqrt(1 / 3), rel=1e-6)
    right = torch.tensor([True, True, True, False])
    assert proportion(right) == pytest.approx((0.75, math.sqrt(0.75 * 0.25 / 4)))


def test_scores_are_those_of_evaluation_whatever_the_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("training.studies.bounds._BATCH", 5)
    subject = of_family("standard")
    scores = score(subject, elbo_samples=3, iwae_samples=4, seed=2)
    elbo = estimate_elbo(subject.vae, subject.x, num_samples=3, seed=2)
    bound = estimate_log_px(subject.vae, subject.x, num_samples=4, seed=2)
    assert scores.log_px_nats is not None
    assert torch.allclose(scores.elbo_nats, elbo.elbo_nats)
    assert torch.allclose(scores.log_px_nats, bound.estimate_nats)
    assert scores.estimator == "IWAE, K = 4"
    assert score(subject, elbo_samples=1).log_px_nats is None


def test_bounds_of_two_posteriors_of_one_model_differ_by_the_variational_gap() -> None:
    settings = oracle.INSTANCES["easy"]
    exact = oracle.make(**settings)
    worse = oracle.make(**{**settings, "posterior_scale": 0.6, "posterior_shift": 0.5})
    x = exact.draw(60)
    subjects = [of_oracle(exact, x, name="exact"), of_oracle(worse, x, name="worse")]
    first, second = compare_bounds(subjects, elbo_samples=50, iwae_samples=20)
    assert (first.n, first.estimator, second.estimator) == (60, "log p(x), exact", "IWAE, K = 20")
    assert first.log_px_nats == pytest.approx(exact.log_px(x).mean().item())
    assert first.log_px_error_nats == pytest.approx(exact.log_px(x).std().item() / 60**0.5)
    assert (first.elbo_difference_nats, first.elbo_difference_high_nats) == (0.0, 0.0)
    assert second.elbo_difference_low_nats < -worse.gap() < second.elbo_difference_high_nats
    width = second.elbo_difference_high_nats - second.elbo_difference_low_nats
    assert width < second.elbo_error_nats  # paired: the images' own spread is gone
    assert second.elbo_nats < second.log_px_nats < first.log_px_nats


def test_what_has_no_bounds_or_does_not_compare_is_refused() -> None:
    with pytest.raises(UnsupportedOperation, match="is an autoencoder"):
        compare_bounds([of_family("standard"), of_family("autoencoder")])
    with pytest.raises(ConfigError, match="Plot them apart"):
        compare_bounds([of_family("standard"), of_family("standard", count=5)])


def test_rate_and_distortion_are_the_oracles_and_rise_with_the_rate() -> None:
    settings, subjects = oracle.INSTANCES["easy"], []
    x = oracle.make(**settings).draw(40)
    for beta, scale in ((1.0, 1.0), (4.0, 1.6), (0.5, 0.4)):
        instance = oracle.make(**{**settings, "posterior_scale": scale})
        subjects.append(of_oracle(instance, x, name=f"{beta}", objective=ELBOConfig(beta=beta)))
    rows = rate_distortion(subjects, num_samples=20)
    assert [row.beta for row in rows] == [4.0, 1.0, 0.5]
    for row, scale in zip(rows, (1.6, 1.0, 0.4), strict=True):
        instance = oracle.make(**{**settings, "posterior_scale": scale})
        assert row.rate_nats == pytest.approx(instance.kl(x).mean().item())
        assert row.rate_nats + row.distortion_nats == pytest.approx(-row.elbo_nats)
        assert row.rate_error_nats == pytest.approx(instance.kl(x).std().item() / 40**0.5)


def test_the_gap_grows_where_training_had_a_tighter_bound_and_a_wider_posterior() -> None:
    settings = oracle.INSTANCES["easy"]
    x = oracle.make(**settings).draw(30)
    subjects = []
    for samples, scale in ((1, 0.6), (5, 0.3)):
        instance = oracle.make(**{**settings, "posterior_scale": scale})
        objective = IWAEConfig(num_samples=samples, gradient="dreg") if samples > 1 else None
        change = {"objective": objective or ELBOConfig(num_samples=3)}
        subjects.append(of_oracle(instance, x, name=f"k{samples}", **change))
    rows = iwae_gap(subjects[::-1], elbo_samples=100, iwae_samples=50)
    assert [(row.num_samples, row.gradient) for row in rows] == [(1, "elbo"), (5, "dreg")]
    for row in rows:
        assert row.gap_nats == pytest.approx(row.log_px_nats - row.elbo_nats)
        assert row.active_units == 2
    assert rows[1].gap_nats > rows[0].gap_nats > 0
    recipe = RECIPE.model_copy(update={"objective": M2Config()})
    with pytest.raises(ConfigError, match="standard was trained by m2"):
        iwae_gap([of_family("standard", recipe=recipe)])


@pytest.fixture
def labelled() -> Subject:
    """A classifier of digits with torch's initial weights, that knew three labels of each class."""
    data = load("digits")
    torch.manual_seed(0)
    config = RECIPE.vae.model_dump() | {
        "num_labels": 10,
        "classifier": {"kind": "mlp", "hidden": [4]},
    }
    recipe = RECIPE.model_copy(
        update={
            "objective": M2Config(),
            "dataset": DatasetConfig(name="digits", labels_per_class=3),
        }
    )
    vae = VAE(RECIPE.vae.model_validate(config)).freeze()
    x = torch.from_numpy(data.test.observations(RECIPE.image))
    assert data.test.labels is not None
    labels = torch.from_numpy(data.test.labels)
    return Subject("tiny", vae, RECIPE.image, data, x, labels, recipe)


def test_accuracy_is_the_share_of_right_labels_beside_a_regression_on_the_same(
    labelled: Subject,
) -> None:
    (row,) = label_accuracy([labelled])
    right = labelled.vae.label_logits(labelled.x).argmax(1) == labelled.labels
    assert (row.num_labels, row.seed, row.n) == (30, 5, 300)
    assert row.accuracy == pytest.approx(right.float().mean().item())
    train = labelled.dataset.train
    assert train.labels is not None
    kept = keep_labels(torch.from_numpy(train.labels), 3, seed=5)
    chosen = np.flatnonzero(kept != -1)
    x = train.observations(RECIPE.image)[chosen].reshape(30, -1) / 16
    model = LogisticRegression(max_iter=1_000).fit(x, kept[chosen].numpy())
    assert labelled.labels is not None
    expected = model.score(labelled.x.flatten(1).numpy() / 16, labelled.labels.numpy())
    assert row.regression_accuracy == pytest.approx(expected)
    assert expected > 0.6


def test_accuracy_needs_labels() -> None:
    with pytest.raises(UnsupportedOperation, match="standard has none"):
        label_accuracy([of_family("standard")])
