"""The Pareto shape of importance weights against scipy."""

import math

import pytest
import torch
from scipy import stats

from models.estimators.pareto import pareto_shape, tail_length


def tail_of(shape, count, *, seed):
    """Log-weights whose exceedances are generalised Pareto; descending, the threshold last."""
    drawn = stats.genpareto(shape).rvs(count, random_state=seed)
    weights = 1 + torch.from_numpy(drawn).sort(descending=True).values
    return torch.cat([weights, torch.ones(1, dtype=torch.float64)]).log()[:, None]


@pytest.mark.parametrize("shape", [-0.3, 0.1, 0.5, 0.8, 1.2])
def test_the_pareto_shape_is_that_of_the_sample(shape):
    count = 4000
    estimates = torch.cat([pareto_shape(tail_of(shape, count, seed=s)) for s in range(10)])
    # The maximum likelihood estimate has the asymptotic deviation (1 + k) / sqrt(n).
    error = (1 + shape) / math.sqrt(count * 10)
    shrunk = (count * shape + 10 * 0.5) / (count + 10)
    assert float(estimates.mean()) == pytest.approx(shrunk, abs=4 * error)
    assert float(estimates.std()) == pytest.approx((1 + shape) / math.sqrt(count), rel=0.9)


def test_the_pareto_shape_agrees_with_scipys_maximum_likelihood():
    largest = tail_of(0.6, 1000, seed=5)
    weights = (largest.exp()[:-1, 0] - 1).numpy()
    fitted, _, _ = stats.genpareto.fit(weights, floc=0)
    shrunk = (1000 * fitted + 10 * 0.5) / 1010
    assert pareto_shape(largest).item() == pytest.approx(shrunk, abs=0.01)


def test_the_pareto_shape_does_not_change_with_the_scale_of_the_weights():
    largest = tail_of(0.4, 200, seed=1)
    shifted = pareto_shape(torch.cat([largest, largest - 900, largest + 600], dim=1))
    torch.testing.assert_close(shifted, pareto_shape(largest).expand(3), rtol=1e-9, atol=0)


def test_constant_weights_have_no_tail():
    assert pareto_shape(torch.zeros(20, 1, dtype=torch.float64)).item() == -math.inf
    nearly = torch.linspace(0, -1e-6, 20, dtype=torch.float64)[:, None]
    assert pareto_shape(nearly).item() == -math.inf


def test_the_tails_length_is_the_sources():
    lengths = [tail_length(k) for k in (1, 5, 100, 225, 1000, 5000)]
    assert lengths == [1, 1, 20, 45, 95, 213]
