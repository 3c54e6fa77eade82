"""Running sums of importance weights."""

import math

import torch

from models.estimators.bounds import iwae_bound
from models.estimators.importance_weights import RunningWeights


def test_too_few_samples_have_no_pareto_shape():
    weights = RunningWeights(2, 40)
    weights.add(torch.randn(40, 2, generator=torch.Generator().manual_seed(0)))
    assert bool(weights.pareto_k().isnan().all())


def test_the_halves_and_the_blocks_part_the_draws():
    log_w = torch.randn(57, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights = RunningWeights(3, 57)
    for part in log_w.split(4):
        weights.add(part)
    for sums, kept in (
        (weights.sums(), log_w),
        (weights.diagnosed(), log_w[::2]),
        (weights.estimated(), log_w[1::2]),
    ):
        assert sums.count == len(kept)
        torch.testing.assert_close(sums.log_mean(), iwae_bound(kept), rtol=1e-13, atol=1e-13)
    blocks = torch.stack([iwae_bound(log_w[b::10]) for b in (1, 3, 5, 7, 9)])
    torch.testing.assert_close(weights.bound_estimates(), blocks, rtol=1e-13, atol=1e-13)
    mean = weights.mean_log_weight()
    torch.testing.assert_close(mean, log_w.mean(0), rtol=1e-13, atol=1e-13)


def test_memory_grows_with_the_root_of_the_number_of_samples_only():
    sizes = {}
    for count in (1_000, 20_000):
        weights = RunningWeights(2, count)
        for _ in range(count // 500):
            weights.add(torch.zeros(500, 2))
        assert weights.count == count
        assert weights.waiting == []
        held = [weights.log_sums, weights.log_w_sums, weights.bets.counts, weights.bets.offsets]
        sizes[count] = sum(t.nbytes for t in held), weights.largest.numel()
    assert sizes[20_000][0] == sizes[1_000][0]
    assert sizes[20_000][1] == (math.ceil(3 * math.sqrt(10_000)) + 1) * 2
