"""The test of p-values against scipy's of two samples, and its false alarms."""

import numpy as np
import pytest
from scipy.special import kolmogorov
from scipy.stats import ks_2samp

from models.estimators.typicality import conformal_p
from models.estimators.uniformity import uniformity_p_value


@pytest.mark.parametrize("shift", [0.0, 0.3, 1.0, 10.0])
@pytest.mark.parametrize(("pictures", "references"), [(60, 200), (500, 99), (7, 1000)])
def test_the_p_value_is_that_of_two_samples(pictures: int, references: int, shift: float) -> None:
    generator = np.random.default_rng(pictures)
    known = np.sort(generator.standard_normal(references))
    others = shift + generator.standard_normal(pictures)
    found = uniformity_p_value(conformal_p(known, others), references)
    distance = ks_2samp(known, others).statistic
    size = pictures * references / (pictures + references)
    assert found == pytest.approx(kolmogorov(distance * np.sqrt(size)), abs=1e-9)


def test_ranks_that_are_spread_evenly_are_certainly_uniform() -> None:
    known = np.arange(1_000.0)
    assert uniformity_p_value(conformal_p(known, known + 0.5), 1_000) == 1.0


def test_ties_with_references_are_ranks_too() -> None:
    known = np.repeat([0.0, 1.0], 50)
    found = uniformity_p_value(conformal_p(known, np.ones(100)), 100)
    assert found == pytest.approx(kolmogorov(0.5 * np.sqrt(50)), abs=1e-9)


@pytest.mark.parametrize("references", [100, 1000])
def test_false_alarms_have_the_level_however_few_the_references_are(references: int) -> None:
    """Each trial has references of its own; among the same ones p-values are not independent."""
    generator, trials = np.random.default_rng(0), 2000
    found = [
        uniformity_p_value(
            conformal_p(
                np.sort(generator.random(references)),
                generator.random(500),
            ),
            references,
        )
        for _ in range(trials)
    ]
    for level in (0.001, 0.05):
        most = level * trials + 3 * np.sqrt(level * trials)
        assert (np.array(found) < level).sum() <= most
