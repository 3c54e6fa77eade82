"""Wilson's interval of a share, against SciPy's and at its ends."""

import pytest
from scipy.stats import binomtest

from models.bundle.schema import Classification
from training.evaluation.proportion import format_interval, wilson_interval


@pytest.mark.parametrize(("right", "count"), [(0, 1), (1, 1), (197, 197), (0, 30), (9_878, 10_000)])
def test_the_interval_is_wilsons(right: int, count: int) -> None:
    expected = binomtest(right, count).proportion_ci(method="wilson")
    assert wilson_interval(right / count, count) == pytest.approx((expected.low, expected.high))


def test_an_interval_stays_within_0_and_100_per_cent() -> None:
    for accuracy, text in ((1.0, "98.1 to 100.0"), (0.0, "0.0 to 1.9")):
        found = Classification(
            method="bayes", num_samples=2, n=197, accuracy=accuracy, standard_error=0.0
        )
        assert format_interval(found, ".1f") == text
