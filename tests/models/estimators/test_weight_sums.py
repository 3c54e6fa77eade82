"""Sums of weights and their intervals, against scipy and stored weights."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from models.estimators.weight_sums import WeightSums, t_interval


def sums_of(weights: np.ndarray) -> WeightSums:
    log_w = torch.from_numpy(weights).log()
    return WeightSums(len(weights), *(((p * log_w).logsumexp(0)) for p in (1, 2, 3)))


@pytest.mark.parametrize("sd", [0.01, 0.5, 1.0])
def test_the_skewness_and_the_error_are_scipys(sd):
    weights = np.random.default_rng(0).lognormal(-3, sd, (400, 5))
    sums = sums_of(weights)
    np.testing.assert_allclose(sums.skewness(), stats.skew(weights), rtol=1e-5)
    error = stats.sem(weights) / weights.mean(0)
    np.testing.assert_allclose(sums.standard_error(), error, rtol=1e-9)
    np.testing.assert_allclose(sums.log_mean(), np.log(weights.mean(0)), rtol=1e-12)


def test_the_interval_solves_halls_transformation_at_its_two_quantiles():
    weights = np.random.default_rng(1).lognormal(0, 1, (300, 4))
    low, high = np.exp(sums_of(weights).log_px_interval().numpy()).T
    c = stats.skew(weights) / math.sqrt(300)
    for end, tail in ((low, 1 - 0.0495), (high, 0.0005)):
        t = (weights.mean(0) - end) / stats.sem(weights)
        transformed = t + c * t**2 / 3 + c**2 * t**3 / 27 + c / 6
        np.testing.assert_allclose(transformed, stats.norm.ppf(tail), rtol=1e-5)


def test_symmetric_weights_have_the_plain_interval():
    weights = np.tile([0.9, 1.1], 50)[:, None]
    (low, high), error = sums_of(weights).log_px_interval()[0].exp(), stats.sem(weights)[0]
    assert float(low) == pytest.approx(1 - stats.norm.ppf(0.9505) * error, rel=1e-6)
    assert float(high) == pytest.approx(1 + stats.norm.ppf(0.9995) * error, rel=1e-6)


def test_the_t_interval_is_scipys():
    values = np.random.default_rng(2).normal(size=(5, 3))
    low, high = t_interval(torch.from_numpy(values)).T.numpy()
    law = stats.t(4, loc=values.mean(0), scale=stats.sem(values))
    np.testing.assert_allclose((low, high), (law.ppf(0.0425), law.ppf(0.9925)), rtol=1e-9)
