"""Importance sampling against the linear-Gaussian oracle; float64."""

import math
from typing import get_args

import numpy as np
import pytest
import torch
from scipy import stats

from models.distributions.batch_noise import BatchNoise
from models.errors import InputError, OutOfSupport
from models.estimators import importance
from models.estimators.bounds import iwae_bound
from models.estimators.importance import (
    ESTIMATORS,
    MAX_PARETO_K,
    MIN_EFFECTIVE_SAMPLE_SIZE,
    EvidenceEstimate,
    estimate_log_px,
    log_px_steps,
)
from models.estimators.steps import run_steps
from models.scores.kinds import Estimator
from tests.oracle import instance, make

TENSORS = (
    "estimate_nats",
    "standard_error_nats",
    "lower_bound_95_nats",
    "bound_interval_nats",
    "log_px_interval_nats",
    "effective_sample_size",
    "pareto_k",
    "elbo_nats",
    "gap_lower_bound_nats",
)

BIG = 50_000  # decoder rows: a tiny model's passes may be large


def assert_equal(first: EvidenceEstimate, second: EvidenceEstimate, rows: slice = slice(None)):
    """The same bit by bit, `rows` of the second one."""
    for name in TENSORS:
        ours, theirs = getattr(first, name), getattr(second, name)
        torch.testing.assert_close(ours, theirs[rows], rtol=0, atol=0, equal_nan=True)
    for name in ("weights_look_regular", "reason"):
        assert getattr(first, name) == getattr(second, name)[rows]
    assert (first.num_samples, first.seed) == (second.num_samples, second.seed)


def log_weights(oracle, x, num_samples, *, seed):
    noise = BatchNoise(seed, len(x), "posterior")
    return oracle.vae.log_weights(
        x, noise.draw(num_samples, oracle.vae.latent_shape, dtype=torch.float64)
    )


def small():
    """Two latents that the prior covers well, so that its draws suffice."""
    return make(
        latents=2, shape=(1, 2, 2), noise_scale=1.0, posterior_scale=1.2, posterior_shift=0.3
    )


def test_with_the_exact_posterior_the_estimate_is_exact_with_no_error():
    oracle = instance("easy")
    x = oracle.draw(10)
    e = estimate_log_px(oracle.vae, x, num_samples=200, seed=0)
    torch.testing.assert_close(e.estimate_nats, oracle.log_px(x), rtol=0, atol=1e-9)
    assert float(e.standard_error_nats.max()) < 1e-7  # sqrt of the rounding of a ratio near 1
    torch.testing.assert_close(e.gap_lower_bound_nats, torch.zeros(10).double(), rtol=0, atol=1e-9)
    torch.testing.assert_close(e.effective_sample_size, torch.full((10,), 200.0).double())
    assert e.weights_look_regular == (True,) * 10
    assert e.reason == (None,) * 10
    low, high = e.log_px_interval_nats.unbind(-1)
    torch.testing.assert_close(high, low, rtol=0, atol=1e-6)
    torch.testing.assert_close(low, oracle.log_px(x), rtol=0, atol=1e-6)
    assert bool((e.pareto_k == -math.inf).all())


def test_intervals_by_regular_weights_cover_the_evidence_as_often_as_they_say():
    oracle = instance("medium")
    x = oracle.draw(400)
    e = estimate_log_px(oracle.vae, x, num_samples=500, seed=0, chunk_rows=BIG)
    exact = oracle.log_px(x)
    low, high = e.log_px_interval_nats.unbind(-1)
    regular = sum(e.weights_look_regular)
    assert regular > 385
    covered = int(((low <= exact) & (exact <= high)).sum())
    # 95% within 4 binomial errors
    assert abs(covered - 0.95 * regular) < 4 * math.sqrt(regular * 0.95 * 0.05)
    scores = (e.estimate_nats - exact) / e.standard_error_nats
    assert float(scores.abs().max()) < 5
    assert abs(float(scores.mean())) < 4 / math.sqrt(400) + 0.05
    assert float(scores.std()) == pytest.approx(1, abs=4 / math.sqrt(800))


def test_the_stated_error_is_the_spread_over_seeds():
    oracle = instance("medium")
    x = oracle.draw(3).repeat(200, 1, 1, 1)  # each item has noise of its own
    e = estimate_log_px(oracle.vae, x, num_samples=200, seed=1, chunk_rows=BIG)
    spread = e.estimate_nats.reshape(200, 3).std(0)
    stated = e.standard_error_nats.reshape(200, 3).mean(0)
    torch.testing.assert_close(stated, spread, rtol=0.2, atol=0)


def test_the_gap_is_the_kl_from_the_posterior_to_the_exact_one():
    oracle = instance("medium")
    e = estimate_log_px(oracle.vae, oracle.draw(300), num_samples=200, seed=2, chunk_rows=BIG)
    gap = e.gap_lower_bound_nats
    assert float(gap.mean()) == pytest.approx(oracle.gap(), abs=4 * float(gap.std()) / 300**0.5)
    torch.testing.assert_close(gap, e.estimate_nats - e.elbo_nats)


def test_the_hard_instance_does_not_look_regular_and_is_a_lower_bound():
    oracle = instance("hard")
    x = oracle.draw(300)
    e = estimate_log_px(oracle.vae, x, num_samples=200, seed=0, chunk_rows=BIG)
    assert sum(e.weights_look_regular) < 5
    given = e.log_px_interval_nats.isfinite().all(-1).tolist()
    for regular, interval, reason in zip(e.weights_look_regular, given, e.reason, strict=True):
        assert regular == interval == (reason is None)
    exact = oracle.log_px(x)
    short = exact - e.estimate_nats
    assert float(short.mean()) > 4 * float(short.std()) / 300**0.5
    assert int((e.lower_bound_95_nats > exact).sum()) <= 15 + 4 * (300 * 0.05 * 0.95) ** 0.5
    assert bool((e.lower_bound_95_nats < e.estimate_nats).all())


def test_weights_are_unbiased_for_the_evidence():
    # Their variance is finite for a q that is wider than the exact posterior.
    oracle = small()
    x = oracle.draw(4)
    ratio = (log_weights(oracle, x, 20_000, seed=0) - oracle.log_px(x)).exp()
    error = ratio.std(0) / 20_000**0.5
    assert bool(((ratio.mean(0) - 1).abs() < 4 * error).all())
    assert float(error.max()) < 0.01


def test_estimate_size_and_error_are_their_formulae():
    oracle = instance("medium")
    x = oracle.draw(5)
    e = estimate_log_px(oracle.vae, x, num_samples=300, seed=4, chunk_rows=64)
    log_w = log_weights(oracle, x, 300, seed=4)
    w = (log_w - log_w.max(0).values).exp()
    torch.testing.assert_close(e.estimate_nats, iwae_bound(log_w), rtol=1e-13, atol=1e-12)
    torch.testing.assert_close(e.elbo_nats, log_w.mean(0), rtol=1e-13, atol=1e-12)
    torch.testing.assert_close(
        e.effective_sample_size, w.sum(0) ** 2 / (w**2).sum(0), rtol=1e-10, atol=0
    )
    error = w.std(0) / w.mean(0) / 300**0.5
    torch.testing.assert_close(e.standard_error_nats, error, rtol=1e-9, atol=0)
    blocks = torch.stack([iwae_bound(log_w[b::10]) for b in (1, 3, 5, 7, 9)]).numpy()
    law = stats.t(4, loc=blocks.mean(0), scale=stats.sem(blocks))
    wanted = law.ppf(0.0425), law.ppf(0.9925)
    torch.testing.assert_close(
        e.bound_interval_nats.T, torch.tensor(np.stack(wanted)), rtol=1e-9, atol=0
    )


def test_the_prior_estimator_agrees_with_the_evidence_within_its_error():
    oracle = small()
    x = oracle.draw(200)
    e = estimate_log_px(oracle.vae, x, num_samples=1000, seed=0, estimator="prior", chunk_rows=BIG)
    assert e.elbo_nats is None
    assert e.gap_lower_bound_nats is None
    assert e.estimator == "prior"
    exact = oracle.log_px(x)
    low, high = e.log_px_interval_nats.unbind(-1)
    good = torch.tensor(e.weights_look_regular)
    assert int(good.sum()) > 150
    covered = int(((low <= exact) & (exact <= high))[good].sum())
    count = int(good.sum())
    assert abs(covered - 0.95 * count) < 4 * math.sqrt(count * 0.95 * 0.05)


def test_the_prior_estimator_draws_from_the_prior_and_never_encodes():
    oracle = small()
    x = oracle.draw(3)
    oracle.vae.encoder.register_forward_hook(lambda *_: pytest.fail("the encoder ran"))
    e = estimate_log_px(oracle.vae, x, num_samples=50, seed=7, estimator="prior")
    z = BatchNoise(7, 3, "prior").draw(50, (2,), dtype=torch.float64)
    by_hand = iwae_bound(oracle.vae.likelihood(z).log_prob(x))
    torch.testing.assert_close(e.estimate_nats, by_hand, rtol=1e-13, atol=1e-12)


@pytest.mark.parametrize("estimator", ["iwae", "prior"])
def test_smaller_numbers_of_samples_are_prefixes_bit_by_bit(estimator):
    oracle = instance("medium", dtype=torch.float32)
    x = oracle.draw(3).float()
    counts = (1, 100, 1000)
    together = run_steps(
        log_px_steps(oracle.vae, x, num_samples=counts, seed=5, estimator=estimator)
    )
    for count, one in zip(counts, together, strict=True):
        alone = estimate_log_px(oracle.vae, x, num_samples=count, seed=5, estimator=estimator)
        if estimator == "prior":
            assert torch.equal(one.estimate_nats, alone.estimate_nats)
            torch.testing.assert_close(one.pareto_k, alone.pareto_k, rtol=0, atol=0, equal_nan=True)
        else:
            assert_equal(one, alone)


@pytest.mark.parametrize("chunk_rows", [1, 7, 64, 10**6])
def test_the_size_of_chunks_does_not_change_the_estimate(chunk_rows):
    oracle = instance("medium", dtype=torch.float32)
    x = oracle.draw(4).float()
    one = estimate_log_px(oracle.vae, x, num_samples=150, seed=3, chunk_rows=chunk_rows)
    assert_equal(one, estimate_log_px(oracle.vae, x, num_samples=150, seed=3))


def test_an_item_alone_has_the_estimate_that_it_has_in_the_batch():
    oracle = instance("medium", dtype=torch.float32)
    x = oracle.draw(20).float()
    together = estimate_log_px(oracle.vae, x, num_samples=120, seed=3)
    for i in (0, 7, 19):
        alone = estimate_log_px(oracle.vae, x[i : i + 1], num_samples=120, seed=3, first_item=i)
        assert_equal(alone, together, slice(i, i + 1))


def test_the_encoder_runs_once_and_exactly_the_asked_samples_are_decoded():
    oracle = instance("easy")
    encoded, rows = [], []
    oracle.vae.encoder.register_forward_hook(lambda *_: encoded.append(1))
    oracle.vae.decoder.register_forward_hook(
        lambda module, args, out: rows.append(args[0].shape[:-1].numel())
    )
    steps = log_px_steps(oracle.vae, oracle.draw(3), num_samples=(10, 101), seed=0, chunk_rows=30)
    run_steps(steps)
    assert len(encoded) == 1
    assert sum(rows) == 3 * 101
    assert max(rows) <= 30


def test_a_single_sample_has_no_error_and_no_interval_but_a_lower_bound():
    oracle = instance("easy")
    e = estimate_log_px(oracle.vae, oracle.draw(2), num_samples=1, seed=0)
    assert bool(e.standard_error_nats.isnan().all())
    assert bool(e.bound_interval_nats.isnan().all())
    assert bool(e.log_px_interval_nats.isnan().all())
    assert bool(e.pareto_k.isnan().all())
    assert e.weights_look_regular == (False, False)
    assert all("1 sample is too few" in reason for reason in e.reason)
    assert torch.equal(e.estimate_nats, e.elbo_nats)
    assert bool((e.lower_bound_95_nats < e.estimate_nats - 5).all())


@pytest.mark.parametrize(("count", "given"), [(99, False), (100, True)])
def test_the_interval_of_the_bound_needs_ten_draws_a_block(count, given):
    oracle = instance("medium")
    e = estimate_log_px(oracle.vae, oracle.draw(1), num_samples=count, seed=0)
    assert bool(e.bound_interval_nats.isfinite().all()) == given


def test_few_samples_do_not_look_regular_and_say_so():
    oracle = instance("easy")
    e = estimate_log_px(oracle.vae, oracle.draw(1), num_samples=99, seed=0)
    assert e.weights_look_regular == (False,)
    assert "99 samples are too few" in e.reason[0]
    assert "num_samples=100" in e.reason[0]
    e = estimate_log_px(oracle.vae, oracle.draw(1), num_samples=100, seed=0)
    assert e.weights_look_regular == (True,)


def test_few_effective_samples_do_not_look_regular_and_say_so():
    oracle = instance("hard")
    e = estimate_log_px(oracle.vae, oracle.draw(1), num_samples=200, seed=0)
    assert "effective sample size of the 100 draws" in e.reason[0]
    assert f"below {MIN_EFFECTIVE_SAMPLE_SIZE:g}" in e.reason[0]


def test_a_heavy_tail_does_not_look_regular_and_says_so():
    # A q of a third of the exact posterior's width: weights of infinite variance (k > 1/2), in
    # which the effective sample size alone may see no fault.
    oracle = make(
        latents=1, shape=(1, 2, 2), noise_scale=1.0, posterior_scale=0.35, posterior_shift=0.0
    )
    e = estimate_log_px(oracle.vae, oracle.draw(20), num_samples=4000, seed=0, chunk_rows=BIG)
    faults = [r for r in e.reason if r is not None and "Pareto shape" in r]
    assert len(faults) > 5
    assert all(f"above {MAX_PARETO_K:g}" in fault for fault in faults)
    for shape, regular in zip(e.pareto_k, e.weights_look_regular, strict=True):
        assert not (regular and shape > MAX_PARETO_K)


@pytest.mark.parametrize("value", [-math.inf, math.nan])
def test_weights_that_are_no_numbers_never_look_regular(monkeypatch, value):
    oracle = instance("easy")
    x = oracle.draw(2)
    exact = importance.log_weights_steps

    def broken(*args, **kwargs):
        log_w = yield from exact(*args, **kwargs)
        log_w[:, 1] = value
        return log_w

    monkeypatch.setattr(importance, "log_weights_steps", broken)
    e = estimate_log_px(oracle.vae, x, num_samples=200, seed=0)
    assert e.weights_look_regular == (True, False)
    assert e.log_px_interval_nats.isfinite().all(-1).tolist() == [True, False]
    assert not bool(e.lower_bound_95_nats[1].isfinite())


def test_no_samples_are_refused():
    oracle = instance("easy")
    for counts in ((), (0,), (-5, 10)):
        with pytest.raises(InputError, match="needs at least 1"):
            run_steps(log_px_steps(oracle.vae, oracle.draw(1), num_samples=counts, seed=0))


@pytest.mark.parametrize("counts", [(10, 5), (10, 10)])
def test_numbers_of_samples_that_do_not_ascend_are_refused(counts):
    oracle = instance("easy")
    with pytest.raises(InputError, match="does not ascend") as refused:
        run_steps(log_px_steps(oracle.vae, oracle.draw(1), num_samples=counts, seed=0))
    assert f"num_samples={[*counts]}" in str(refused.value)
    assert refused.value.details["suggestion"] == sorted(set(counts))


def test_an_observation_that_is_not_a_number_is_refused():
    oracle = instance("easy")
    x = oracle.draw(2)
    x[0, 0, 0, 0] = math.inf
    with pytest.raises(OutOfSupport, match="received the value inf"):
        estimate_log_px(oracle.vae, x, num_samples=2, seed=0)


def test_several_numbers_of_samples_give_the_estimate_of_the_largest():
    oracle = instance("medium")
    x = oracle.draw(2)
    largest = estimate_log_px(oracle.vae, x, num_samples=30, seed=0)
    assert_equal(estimate_log_px(oracle.vae, x, num_samples=(10, 30), seed=0), largest)


def test_every_estimator_has_its_function():
    assert ESTIMATORS.keys() == set(get_args(Estimator))
