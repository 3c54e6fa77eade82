"""The bounds against the linear-Gaussian oracle, whose exact values are known; float64."""

import math

import pytest
import torch
from torch.distributions import Normal

from models.distributions.batch_noise import BatchNoise
from models.distributions.kl import kl_divergence, log_ratios
from models.errors import InputError, OutOfSupport, ShapeMismatch, UnsupportedOperation
from models.estimators.bounds import active_units, bits_per_dim, distortion, iwae_bound, rate
from models.estimators.elbo import ElboEstimate, elbo_steps, estimate_elbo
from models.estimators.moments import RunningMoments
from models.estimators.steps import CHUNK_ROWS, chunks, run_steps
from models.vae.model import VAE
from tests.models.family_cases import family
from tests.oracle import instance

NAMES = ["easy", "medium", "hard"]
METHODS = ["analytic", "monte_carlo"]


def close(first: ElboEstimate, second: ElboEstimate, rows: slice = slice(None)) -> bool:
    """Whether two estimates are the same bit by bit, `rows` of the second one."""
    fields = ("elbo_nats", "expected_log_likelihood_nats", "kl_nats", "standard_error_nats")
    return all(torch.equal(getattr(first, f), getattr(second, f)[rows]) for f in fields)


def log_weights(oracle, x, num_samples, *, seed=0):
    noise = BatchNoise(seed, len(x), "posterior")
    draw = noise.draw(num_samples, oracle.vae.latent_shape, dtype=torch.float64)
    return oracle.vae.log_weights(x, draw)


# The oracle itself


@pytest.mark.parametrize("name", NAMES)
def test_the_oracles_evidence_is_the_integral_over_its_latent(name):
    # Bayes' rule at any z: log p(x) = log p(x, z) - log p(z|x)
    oracle = instance(name)
    x = oracle.draw(5)
    loc, scale = oracle.exact_posterior(x)
    z = loc + 0.7 * scale
    by_bayes = oracle.vae.log_joint(x, z) - Normal(loc, scale).log_prob(z).sum(-1)
    torch.testing.assert_close(by_bayes, oracle.log_px(x), rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_the_oracles_encoder_is_the_chosen_posterior(name):
    oracle = instance(name)
    x = oracle.draw(5)
    loc, scale = oracle.exact_posterior(x)
    q = oracle.vae.posterior(x)
    torch.testing.assert_close(q.loc, loc + oracle.posterior_shift * scale, rtol=1e-10, atol=1e-11)
    torch.testing.assert_close(q.scale[0], oracle.posterior_scale * scale, rtol=1e-10, atol=0)


# KL


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


# ELBO


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


def test_a_stepwise_estimate_yields_once_a_chunk():
    oracle = instance("easy")
    steps = elbo_steps(oracle.vae, oracle.draw(4), num_samples=25, seed=0, chunk_rows=40)
    assert len(list(steps)) == 3


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


@pytest.mark.parametrize("num_samples", [0, -3])
def test_fewer_than_one_sample_is_refused(num_samples):
    oracle = instance("easy")
    with pytest.raises(InputError, match=f"at least 1 sample; received {num_samples}"):
        estimate_elbo(oracle.vae, oracle.draw(2), num_samples=num_samples, seed=0)


def test_an_observation_that_is_not_a_number_is_refused_before_the_encoder_runs():
    oracle = instance("easy")
    oracle.vae.encoder.register_forward_hook(lambda *_: pytest.fail("the encoder ran"))
    x = oracle.draw(3)
    x[1, 0, 0, 0] = math.nan
    with pytest.raises(OutOfSupport, match="item 1"):
        estimate_elbo(oracle.vae, x, num_samples=1, seed=0)


# IWAE


@pytest.mark.parametrize("name", ["medium", "hard"])
def test_the_iwae_bound_rises_with_the_number_of_samples_towards_the_evidence(name):
    oracle = instance(name)
    x = oracle.draw(300)
    log_w = log_weights(oracle, x, 100)
    short = {
        k: oracle.log_px(x) - torch.stack([iwae_bound(part) for part in log_w.split(k)]).mean(0)
        for k in (1, 10, 100)
    }
    error = {k: gap.std() / 300**0.5 for k, gap in short.items()}
    for few, many in [(1, 10), (10, 100)]:
        rise = short[few] - short[many]
        assert rise.mean() > 4 * rise.std() / 300**0.5
    assert abs(short[1].mean() - oracle.gap()) < 4 * error[1]
    if name == "hard":
        assert short[100].mean() > 4 * error[100]
    else:  # E[L_100] is below log p(x) by Var(w) / (2 K p(x)^2), less than this sees
        assert abs(short[100].mean()) < 4 * error[100]


def test_with_the_exact_posterior_every_bound_is_the_evidence():
    oracle = instance("easy")
    x = oracle.draw(20)
    log_w = log_weights(oracle, x, 50)
    exact = oracle.log_px(x)
    for bound in (log_w.mean(0), iwae_bound(log_w), iwae_bound(log_w[:1])):
        torch.testing.assert_close(bound, exact, rtol=1e-10, atol=1e-9)


def test_bounds_are_the_mean_and_the_log_of_the_mean_weight():
    log_w = torch.tensor([[0.0, -1000.0], [1.0, -1001.0], [-2.0, -1002.0]], dtype=torch.float64)
    shifted = log_w - torch.tensor([0.0, -1000.0])
    exact = shifted.exp().mean(0).log() + torch.tensor([0.0, -1000.0])
    torch.testing.assert_close(iwae_bound(log_w), exact, rtol=1e-15, atol=1e-15)
    assert torch.equal(iwae_bound(log_w[:1]), log_w[0])


def test_a_bound_of_no_samples_is_refused():
    with pytest.raises(ShapeMismatch, match=r"received \(0, 4\)"):
        iwae_bound(torch.zeros(0, 4))


# Numbers about a data set


@pytest.mark.parametrize("name", NAMES)
def test_rate_plus_distortion_is_minus_the_mean_elbo(name):
    oracle = instance(name)
    e = estimate_elbo(oracle.vae, oracle.draw(50), num_samples=5, seed=0)
    both = rate(e.kl_nats) + distortion(e.expected_log_likelihood_nats)
    assert both == pytest.approx(-float(e.elbo_nats.mean()), rel=1e-13)
    assert rate(e.kl_nats) == pytest.approx(float(e.kl_nats.mean()), rel=1e-15)


def test_bits_per_dim_of_uniform_bytes_is_eight():
    nats = torch.tensor([-784 * math.log(256)], dtype=torch.float64)
    assert bits_per_dim(nats, 784).item() == pytest.approx(8, rel=1e-15)


def test_active_units_are_the_means_that_vary_over_the_data():
    spread = torch.tensor([0.0, 0.05, 0.2, 1.0], dtype=torch.float64)
    signs = torch.tensor([1.0, -1.0] * 50, dtype=torch.float64)
    means = 7 + signs[:, None] * spread
    assert active_units(means) == 2
    assert active_units(means, threshold=0.001) == 3
    assert active_units(means.reshape(100, 2, 2)) == 2


# Running sums and chunks


def test_running_moments_are_those_of_all_samples_at_once():
    values = torch.randn(1000, 3, generator=torch.Generator().manual_seed(0)).double() + 1e6
    moments = RunningMoments()
    for part in values.split([1, 499, 500]):
        moments.add(part)
    torch.testing.assert_close(moments.mean, values.mean(0), rtol=1e-14, atol=0)
    exact = values.std(0) / 1000**0.5
    torch.testing.assert_close(moments.standard_error(), exact, rtol=1e-9, atol=0)


@pytest.mark.parametrize("num_samples", [1, 7, 512, 5000])
@pytest.mark.parametrize("num_items", [0, 1, 3, 100, 5000])
@pytest.mark.parametrize("chunk_rows", [1, 64, CHUNK_ROWS])
def test_chunks_add_up_and_keep_to_their_rows(num_samples, num_items, chunk_rows):
    sizes = chunks(num_samples, num_items, chunk_rows)
    assert sum(sizes) == num_samples
    assert min(sizes) >= 1
    assert max(sizes) * num_items <= max(chunk_rows, num_items)
