"""The lower confidence bound by betting, against bisection over all stored weights."""

import math

import pytest
import torch
from torch import Tensor

from models.estimators.betting import BinnedWeights


def bisected(log_w: Tensor) -> float:
    """sup{log m: mean_j prod_k (1 - l_j + l_j w_k / m) >= 20}, of every weight itself."""
    bets = 2.0 ** -torch.arange(1.0, 12.0, dtype=torch.float64)[:, None]
    low, high = float(log_w.max()) - 3000, float(log_w.max()) + 1
    for _ in range(50):
        middle = (low + high) / 2
        terms = torch.logaddexp(torch.log1p(-bets), bets.log() + log_w - middle)
        reached = terms.sum(1).logsumexp(0) - math.log(11) >= math.log(20)
        low, high = (middle, high) if reached else (low, middle)
    return low


def draws(count: int, sd: float, *, level: float = 0.0, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return level + sd * torch.randn(count, 1, generator=generator, dtype=torch.float64)


def bound_of(*parts: Tensor) -> Tensor:
    weights = BinnedWeights(parts[0].shape[1])
    for part in parts:
        weights.add(part)
    return weights.lower_bound()


@pytest.mark.parametrize("sd", [0.0, 0.5, 4.0, 400.0])
@pytest.mark.parametrize("count", [1, 10, 1000, 10_000])
def test_the_bound_is_that_of_bisection_over_all_weights(sd, count):
    log_w = draws(count, sd, level=-1e4)
    exact = bisected(log_w[:, 0])
    found = float(bound_of(log_w))
    assert exact - 5e-4 < found < exact + 1e-8


def test_equal_weights_have_the_bound_of_one_equation():
    # (1/11) sum_j (1 - l_j + l_j e^t)^K = 20 at t = log w - log m.
    found = float(bound_of(torch.full((50, 1), -7.0, dtype=torch.float64)))
    gain = math.exp(-7 - found)
    terms = [(1 + 2.0**-j * (gain - 1)) ** 50 for j in range(1, 12)]
    assert sum(terms) / 11 == pytest.approx(20, rel=1e-6)


def test_neither_chunks_nor_order_nor_neighbours_change_a_bit():
    log_w = torch.cat([draws(500, 20, seed=seed) for seed in range(5)], 1)
    whole = bound_of(log_w)
    assert torch.equal(bound_of(*log_w.split(7)), whole)
    assert torch.equal(bound_of(log_w.sort(0).values), whole)  # the largest one rises all the way
    assert torch.equal(bound_of(log_w.sort(0, descending=True).values), whole)
    assert torch.equal(bound_of(log_w[:, 3:4]), whole[3:4])


def test_memory_does_not_grow_with_the_number_of_weights():
    weights = BinnedWeights(2)
    size = weights.counts.numel()
    for seed in range(20):
        weights.add(draws(1000, 50, seed=seed).expand(-1, 2))
    assert weights.counts.numel() == weights.offsets.numel() == size


def test_weights_of_zero_lower_the_bound_and_no_numbers_have_none():
    log_w = draws(100, 1.0)
    holes = log_w.clone()
    holes[::2] = -math.inf
    assert float(bound_of(holes)) == pytest.approx(bisected(holes[:, 0]), abs=5e-4)
    assert float(bound_of(holes)) < float(bound_of(log_w))
    assert float(bound_of(torch.full((5, 1), -math.inf, dtype=torch.float64))) == -math.inf
    for value in (math.nan, math.inf):
        assert bool(bound_of(log_w, torch.full((1, 1), value, dtype=torch.float64)).isnan())


def test_one_weight_far_above_the_others_has_a_finite_bound():
    log_w = torch.full((20_000, 1), -300.0, dtype=torch.float64)
    log_w[777] = 0.0
    found = float(bound_of(log_w))
    assert found == pytest.approx(bisected(log_w[:, 0]), abs=5e-4)
    assert found < 0
