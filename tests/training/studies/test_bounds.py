"""Bounds of several models, against the oracle's exact values."""

import pytest

from models.errors import ConfigError, UnsupportedOperation
from models.estimators.elbo import estimate_elbo
from models.estimators.importance import estimate_log_px
from tests import oracle
from tests.training.trained_cases import of_family, of_oracle
from training.studies.bounds import BoundsRow, compare_bounds, conclude


def test_bounds_are_those_of_the_estimators() -> None:
    model = of_family("standard")
    (row,) = compare_bounds([model], elbo_samples=3, iwae_samples=4, seed=2)
    elbo = estimate_elbo(model.vae, model.x, num_samples=3, seed=2).elbo_nats
    bound = estimate_log_px(model.vae, model.x, num_samples=4, seed=2).estimate_nats
    assert row.elbo_nats == pytest.approx(float(elbo.mean()), rel=1e-12)
    assert row.log_px_nats == pytest.approx(float(bound.mean()), rel=1e-12)
    assert row.estimator == "IWAE, K = 4"


def test_bounds_of_two_posteriors_of_one_model_differ_by_the_variational_gap() -> None:
    settings = oracle.INSTANCES["easy"]
    exact = oracle.make(**settings)
    worse = oracle.make(**{**settings, "posterior_scale": 0.6, "posterior_shift": 0.5})
    x = exact.draw(60)
    models = [of_oracle(exact, x, name="exact"), of_oracle(worse, x, name="worse")]
    first, second = compare_bounds(models, elbo_samples=50, iwae_samples=20)
    assert (first.n, first.estimator, second.estimator) == (60, "log p(x), exact", "IWAE, K = 20")
    assert first.log_px_nats == pytest.approx(exact.log_px(x).mean().item())
    assert first.log_px_error_nats == pytest.approx(exact.log_px(x).std().item() / 60**0.5)
    assert (first.elbo_difference_nats, first.elbo_difference_high_nats) == (0.0, 0.0)
    assert second.elbo_difference_low_nats < -worse.gap() < second.elbo_difference_high_nats
    width = second.elbo_difference_high_nats - second.elbo_difference_low_nats
    assert width < second.elbo_error_nats  # paired: the images' own spread is gone
    assert second.elbo_nats < second.log_px_nats < first.log_px_nats


def test_what_has_no_bounds_or_does_not_compare_is_refused() -> None:
    with pytest.raises(UnsupportedOperation, match="autoencoder is an autoencoder: it has"):
        compare_bounds([of_family("standard"), of_family("autoencoder")])
    with pytest.raises(ConfigError, match=r"different images.*binarised: threshold.*Score them"):
        compare_bounds([of_family("standard"), of_family("standard", count=5)])


def test_a_conclusion_says_the_difference_its_interval_and_whether_it_holds_zero() -> None:
    exact = "log p(x), exact"
    rows = [
        BoundsRow("a", 9, -85.0, 0.7, exact, -83.0, 0.6, *[0.0] * 6),
        BoundsRow("b", 9, -88.0, 0.8, exact, -83.0, 0.6, -3.0, -3.5, -2.5, 0.1, -0.2, 0.4),
        BoundsRow("c", 9, -84.0, 0.8, "IWAE, K = 9", -82.0, 0.6, 1.0, 0.5, 1.5, 1.0, 0.5, 1.5),
    ]
    assert conclude(rows) == [
        "b less a, ELBO: -3.00 nats per image, 95 % from -3.50 to -2.50: lower.",
        "b less a, log p(x), exact: +0.10 nats per image, 95 % from -0.20 to +0.40: not told "
        "apart.",
        "c less a, ELBO: +1.00 nats per image, 95 % from +0.50 to +1.50: higher.",
        "c less a, IWAE, K = 9 against log p(x), exact: +1.00 nats per image, 95 % from +0.50 to "
        "+1.50: higher.",
    ]
