"""Running sums of importance weights."""

import math

import torch

from models.estimators.importance_weights import RunningWeights


def test_too_few_samples_have_no_pareto_shape():
    weights = RunningWeights(2, 20)
    weights.add(torch.randn(20, 2, generator=torch.Generator().manual_seed(0)))
    assert bool(weights.pareto_k().isnan().all())


def test_memory_grows_with_the_root_of_the_number_of_samples_only():
    sizes = {}
    for count in (1_000, 20_000):
        weights = RunningWeights(2, count)
        for _ in range(count // 500):
            weights.add(torch.zeros(500, 2))
        assert weights.count == count
        held = [weights.log_sum, weights.log_sum_squares, weights.largest, weights.log_w.mean]
        sizes[count] = sum(t.numel() for t in held)
    assert sizes[20_000] <= 5 * sizes[1_000]
    assert sizes[20_000] == 3 * 2 + (math.ceil(3 * math.sqrt(20_000)) + 1) * 2
