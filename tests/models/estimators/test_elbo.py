"""The ELBO against the linear-Gaussian oracle, whose exact values are known; float64."""

import math
from contextlib import suppress

import pytest
import torch

from models.distributions.batch_noise import BatchNoise
from models.distributions.kl import kl_divergence, log_ratios
from models.errors import OutOfSupport, UnsupportedOperation
from models.estimators.elbo import ElboEstimate, elbo_steps, estimate_elbo
from models.estimators.steps import run_steps
from models.vae.model import VAE
from tests.models.family_cases import family
from tests.oracle import instance

NAMES = ["easy", "medium", "hard"]
METHODS = ["analytic", "monte_carlo"]


def close(first: ElboEstimate, second: ElboEstimate, rows: slice = slice(None)) -> bool:
    """Whether two estimates are the same bit by bit, `rows` of the second one."""
    fields = ("elbo_nats", "expected_log_likelihood_nats", "kl_nats", "standard_error_nats")
    return all(torch.equal(getattr(first, f), getattr(second, f)[rows]) for f in fields)


@pytest.mark.parametrize("name", ["mixture", "vamp", "full-mixture", "two-layers", "ladder"])
def test_an_analytic_kl_that_is_not_there_is_refused_before_anything_is_decoded(name):
    vae = VAE(family(name)).eval()
    vae.decoder.register_forward_hook(lambda *_: pytest.fail("the decoder ran"))
    with pytest.raises(UnsupportedOperation, match="has no closed form"):
        estimate_elbo(vae, torch.zeros(2, 1, 4, 4), num_samples=2, seed=0, kl_method="analytic")


@pytest.mark.parametrize("name", ["mixture", "vamp", "full-mixture", "two-layers", "ladder"])
def test_a_kl_without_closed_form_is_the_mean_log_ratio(name):
    vae = VAE(family(name)).double().freeze()
    x = torch.ones(3, 1, 4, 4, dtype=torch.float64)
    e = estimate_elbo(vae, x, num_samples=30, seed=4)
    q, p = vae.posterior(x), vae.prior()
    z = q.from_noise(BatchNoise(4, 3, "posterior").draw_for(q, 30, dtype=torch.float64))
    ratios = log_ratios(q, p, z)
    assert (e.kl_method, e.num_samples) == ("monte_carlo", 30)
    assert ratios.shape == (30, 3, len(vae.config.latent_groups) or 1)
    by_hand = (q.log_prob(z) - p.log_prob(z)).mean(0)
    torch.testing.assert_close(ratios.sum(-1).mean(0), by_hand, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(e.kl_nats, by_hand, rtol=1e-12, atol=1e-13)
    assert (e.kl_per_group_nats is not None) == bool(vae.config.latent_groups)


@pytest.mark.parametrize("name", ["full", "label-prior"])
def test_a_closed_form_is_taken_where_there_is_one(name):
    vae = VAE(family(name)).double().freeze()
    x = torch.ones(3, 1, 4, 4, dtype=torch.float64)
    y = torch.tensor([0, 1, 2]) if vae.num_labels else None
    e = estimate_elbo(vae, x, num_samples=3000, seed=4, y=y)
    sampled = estimate_elbo(vae, x, num_samples=3000, seed=4, y=y, kl_method="monte_carlo")
    assert e.kl_method == "analytic"
    exact = kl_divergence(vae.posterior(x, y), vae.prior(y))
    torch.testing.assert_close(e.kl_nats, exact, rtol=1e-13, atol=0)
    error = (e.standard_error_nats**2 + sampled.standard_error_nats**2).sqrt()
    assert bool(((e.elbo_nats - sampled.elbo_nats).abs() < 4 * error).all())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", NAMES)
def test_the_elbo_agrees_with_the_exact_one_within_its_stated_error(name, method):
    oracle = instance(name)
    x = oracle.draw(100)
    e = estimate_elbo(oracle.vae, x, num_samples=300, seed=0, kl_method=method)
    exact, kl = oracle.elbo(x), oracle.kl(x)
    floor = 1e-9  # where the posterior is exact, log_w is constant and the error is 0
    assert bool(((e.elbo_nats - exact).abs() < 4 * e.standard_error_nats + floor).all())
    torch.testing.assert_close(e.elbo_nats, e.expected_log_likelihood_nats - e.kl_nats)
    if method == "analytic":
        torch.testing.assert_close(e.kl_nats, kl, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(e.kl_per_dimension_nats.sum(-1), kl, rtol=1e-10, atol=1e-10)
    else:
        assert e.kl_per_dimension_nats is None


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", NAMES)
def test_the_elbo_is_unbiased_over_many_seeds(name, method):
    oracle = instance(name)
    x = oracle.draw(3)
    estimates = torch.stack(
        [
            estimate_elbo(oracle.vae, x, num_samples=2, seed=s, kl_method=method).elbo_nats
            for s in range(150)
        ]
    )
    error = estimates.std(0) / 150**0.5
    assert bool(((estimates.mean(0) - oracle.elbo(x)).abs() < 4 * error + 1e-9).all())


@pytest.mark.parametrize("method", METHODS)
def test_the_stated_error_is_the_spread_of_the_estimate(method):
    oracle = instance("medium")
    x = oracle.draw(4).repeat(200, 1, 1, 1)  # each item has noise of its own
    e = estimate_elbo(oracle.vae, x, num_samples=50, seed=0, kl_method=method)
    spread = e.elbo_nats.reshape(200, 4).std(0)
    stated = e.standard_error_nats.reshape(200, 4).mean(0)
    # A standard deviation of 200 draws is known to 1 / sqrt(400) = 5%.
    torch.testing.assert_close(stated, spread, rtol=0.2, atol=0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("chunk_rows", [1, 7, 64, 10**6])
def test_the_size_of_chunks_does_not_change_the_elbo(method, chunk_rows):
    oracle = instance("medium", dtype=torch.float32)
    x = oracle.draw(6).float()
    arguments = dict(num_samples=33, seed=3, kl_method=method)
    one = estimate_elbo(oracle.vae, x, chunk_rows=chunk_rows, **arguments)
    assert close(one, estimate_elbo(oracle.vae, x, **arguments))


@pytest.mark.parametrize("method", METHODS)
def test_an_item_alone_has_the_elbo_that_it_has_in_the_batch(method):
    oracle = instance("medium", dtype=torch.float32)
    x = oracle.draw(20).float()
    arguments = dict(num_samples=20, seed=3, kl_method=method)
    together = estimate_elbo(oracle.vae, x, **arguments)
    for i in (0, 7, 19):
        alone = estimate_elbo(oracle.vae, x[i : i + 1], first_item=i, **arguments)
        assert close(alone, together, slice(i, i + 1))


@pytest.mark.parametrize("num_samples", [1, 5, 100])
def test_exactly_the_samples_that_were_asked_for_are_decoded(num_samples):
    oracle = instance("easy")
    rows = []
    oracle.vae.decoder.register_forward_hook(
        lambda module, args, out: rows.append(args[0].shape[:-1].numel())
    )
    steps = elbo_steps(oracle.vae, oracle.draw(4), num_samples=num_samples, seed=0, chunk_rows=40)
    estimate = run_steps(steps)
    assert sum(rows) == 4 * num_samples
    assert max(rows) <= 40
    assert estimate.num_samples == num_samples


def test_the_encoder_runs_once_whatever_the_number_of_samples():
    oracle = instance("easy")
    runs = []
    oracle.vae.encoder.register_forward_hook(lambda *_: runs.append(1))
    estimate_elbo(oracle.vae, oracle.draw(4), num_samples=50, seed=0, chunk_rows=8)
    assert len(runs) == 1


def test_a_stepwise_estimate_asks_for_the_encoder_once_and_for_the_decoder_once_a_chunk():
    oracle = instance("easy")
    steps = elbo_steps(oracle.vae, oracle.draw(4), num_samples=25, seed=0, chunk_rows=40)
    rows, asked = [], next(steps)
    with suppress(StopIteration):
        while True:
            rows.append(asked.num_rows)
            asked = steps.send(asked.run())
    assert rows == [4, 40, 40, 20]


def test_the_estimate_says_how_it_was_made():
    oracle = instance("easy")
    e = estimate_elbo(oracle.vae, oracle.draw(2), num_samples=3, seed=9, kl_method="monte_carlo")
    assert (e.num_samples, e.seed, e.kl_method) == (3, 9, "monte_carlo")


@pytest.mark.parametrize("method", METHODS)
def test_a_single_sample_has_no_error(method):
    oracle = instance("medium")
    e = estimate_elbo(oracle.vae, oracle.draw(2), num_samples=1, seed=0, kl_method=method)
    assert bool(e.standard_error_nats.isnan().all())
    assert bool(e.elbo_nats.isfinite().all())


def test_an_observation_that_is_not_a_number_is_refused_before_the_encoder_runs():
    oracle = instance("easy")
    oracle.vae.encoder.register_forward_hook(lambda *_: pytest.fail("the encoder ran"))
    x = oracle.draw(3)
    x[1, 0, 0, 0] = math.nan
    with pytest.raises(OutOfSupport, match="item 1"):
        estimate_elbo(oracle.vae, x, num_samples=1, seed=0)


def test_a_bound_that_overflows_says_why_it_is_missing():
    oracle = instance("easy", dtype=torch.float32)
    x = torch.full((1, *oracle.vae.image_shape), 1e30)
    estimate = estimate_elbo(oracle.vae, x, num_samples=5, seed=0)
    assert not math.isfinite(float(estimate.elbo_nats))
    assert estimate.reason[0] is not None
    assert estimate.reason[0].startswith("The estimate is not finite")
