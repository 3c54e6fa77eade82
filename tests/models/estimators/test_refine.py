"""Refined proposals against linear-Gaussian oracles, a model with two modes, and every family."""

import math
from pathlib import Path

import pytest
import torch

from models.bundle.loading import load_bundle
from models.config import MLPConfig
from models.distributions.batch_noise import BatchNoise
from models.errors import InputError, UnsupportedOperation
from models.estimators import fitted_modes, normal_fit
from models.estimators.fitted_modes import Modes
from models.estimators.importance import estimate_log_px
from models.estimators.normal_fit import MAX_STEPS, Normals, fit_steps
from models.estimators.passes import slope_steps
from models.estimators.refine import (
    check_refinable,
    estimate_refined_log_px,
    refine_rows,
    refined_log_px_steps,
)
from models.estimators.refined_posterior import describe_refined_posterior
from models.estimators.simulated import simulate
from models.estimators.steps import run_steps
from models.vae.model import VAE
from tests.models.family_cases import family
from tests.oracle import instance, labelled, make, two_layers

PRETRAINED = Path(__file__).parents[3] / "models" / "pretrained"
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
    "amortised_elbo_nats",
    "amortisation_gap_nats",
)


def assert_within_errors(estimate, exact):
    """The estimate is log p(x), within four standard errors."""
    scores = (estimate.estimate_nats - exact) / estimate.standard_error_nats
    assert float(scores.abs().max()) < 4.5
    assert float(scores.mean().abs()) < 4 / math.sqrt(len(exact)) + 0.1


@pytest.mark.parametrize("name", ["medium", "hard"])
def test_the_fit_of_a_linear_gaussian_model_is_the_exact_posterior(name):
    oracle = instance(name)
    x = oracle.draw(3)
    q = oracle.vae.posterior(x)
    start = Normals(q.loc, torch.diag_embed(q.scale), torch.zeros(3).double())
    length = oracle.vae.num_latents
    turns = BatchNoise(0, 3, "refinement").draw(MAX_STEPS, (length, length), dtype=torch.float64)
    found = run_steps(fit_steps(oracle.vae, x, None, start, turns.transpose(0, 1)))
    loc, scale = oracle.exact_posterior(x)
    # Newton's steps of rate 0.7 leave 0.3 of the error each.
    torch.testing.assert_close(found.loc, loc, rtol=0, atol=0.05 * float(scale.min()))
    exact = torch.diag(scale.square()).expand(3, -1, -1)
    covariance = found.factor @ found.factor.mT
    torch.testing.assert_close(covariance, exact, rtol=0, atol=0.05 * float(exact.max()))


@pytest.mark.parametrize("name", ["easy", "medium", "hard"])
def test_the_refined_bound_is_log_px_and_the_gap_is_the_encoders_on_the_oracle(name):
    oracle = instance(name)
    x = oracle.draw(8)
    e = estimate_refined_log_px(oracle.vae, x, num_samples=400, seed=0, chunk_rows=50_000)
    exact = oracle.log_px(x)
    assert_within_errors(e, exact)
    assert float(e.standard_error_nats.max()) < 0.05
    assert e.weights_look_regular == (True,) * 8
    torch.testing.assert_close(e.elbo_nats, exact, rtol=0, atol=0.02)
    assert float(e.amortisation_gap_nats.mean()) == pytest.approx(
        oracle.gap(), abs=0.02 + 4 * float(e.amortisation_gap_nats.std()) / 8**0.5
    )
    torch.testing.assert_close(e.amortisation_gap_nats, e.elbo_nats - e.amortised_elbo_nats)
    torch.testing.assert_close(e.gap_lower_bound_nats, e.estimate_nats - e.elbo_nats)
    assert e.num_modes == (1,) * 8
    assert e.inference == "refined"


def folded(plain):
    """The oracle with |z_3| in the place of z_3, so that p(z|x) has two modes; q knows one."""
    loading, length = plain.loading, plain.vae.num_latents
    config = plain.vae.config.model_copy(
        update={"decoder": MLPConfig(hidden=(2 * length,), activation="relu")}
    )
    vae = VAE(config).double().eval().requires_grad_(False)
    vae.encoder.load_state_dict(plain.vae.encoder.state_dict())
    eye = torch.eye(length, dtype=torch.float64)
    hidden, outer = vae.decoder.body[1], vae.decoder.body[-1]
    hidden.weight.copy_(torch.cat([eye, -eye]))
    hidden.bias.zero_()
    other = -loading.clone()
    other[:, -1] *= -1
    outer.weight.copy_(torch.cat([loading, other], 1))
    outer.bias.copy_(plain.bias)
    return vae


def folded_log_px(plain, x):
    """log p(x): twice the half of the linear model in which z_3 is positive."""
    loc, scale = plain.exact_posterior(x)
    return plain.log_px(x) + math.log(2) + torch.special.log_ndtr(loc[:, -1] / scale[-1])


def test_a_mode_that_the_encoder_missed_is_found():
    plain = make(
        latents=3, shape=(1, 3, 3), noise_scale=0.5, posterior_scale=1.0, posterior_shift=0.0
    )
    vae = folded(plain)
    x = plain.draw(400)
    loc, scale = plain.exact_posterior(x)
    x = x[loc[:, -1] > 5 * scale[-1]][:30]
    exact = folded_log_px(plain, x)
    amortised = estimate_log_px(vae, x, num_samples=400, seed=0, chunk_rows=50_000)
    assert sum(amortised.weights_look_regular) >= len(x) - 1  # though log 2 is missing
    assert float((exact - amortised.estimate_nats).median()) == pytest.approx(math.log(2), abs=0.05)
    e = estimate_refined_log_px(vae, x, num_samples=400, seed=0, chunk_rows=50_000)
    assert e.num_modes == (2,) * len(x)
    assert sum(e.weights_look_regular) >= len(x) - 1
    assert int((e.lower_bound_95_nats > exact).sum()) <= 6
    assert_within_errors(e, exact)
    assert float((e.estimate_nats - exact).abs().max()) < 0.2


@pytest.mark.parametrize("posterior", ["bottom_up", "ladder"])
def test_two_layers_of_latents_are_refined(posterior):
    layers = two_layers(posterior, posterior_scale=0.7)
    x = layers.draw(8)
    e = estimate_refined_log_px(layers.vae, x, num_samples=300, seed=0, chunk_rows=50_000)
    assert_within_errors(e, layers.log_px(x))
    assert float((e.elbo_nats - layers.log_px(x)).abs().max()) < 0.03
    assert float(e.amortisation_gap_nats.mean()) > 0.1


def test_a_given_label_conditions_the_refined_estimate():
    model = labelled(posterior_scale=0.7)
    x, y = model.draw(9), torch.arange(9) % 3
    e = estimate_refined_log_px(model.vae, x, num_samples=300, seed=0, y=y, chunk_rows=50_000)
    assert_within_errors(e, model.log_px_given_y(x).gather(1, y[:, None])[:, 0])


REFINED = ("standard", "full-mixture", "vamp", "two-layers", "conv-ladder", "label-prior")


def batch(config, count=4):
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(2, (count, *config.image_shape), generator=generator).float()
    return x, torch.arange(count) % config.num_labels if config.num_labels else None


def random_model(config):
    torch.manual_seed(0)
    vae = VAE(config)
    with torch.no_grad():
        for weight in vae.decoder.parameters():
            weight.mul_(3)  # a posterior that is far from the prior
    return vae.freeze()


@pytest.mark.parametrize("name", REFINED)
def test_an_image_gets_the_same_bits_alone_in_any_chunks_and_in_inference_mode(name):
    config = family(name)
    vae = random_model(config)
    x, y = batch(config)
    whole = run_steps(refined_log_px_steps(vae, x, num_samples=40, seed=3, y=y), max_rows=48)
    with torch.inference_mode():
        alone = estimate_refined_log_px(
            vae,
            x[3:4].clone(),
            num_samples=40,
            seed=3,
            first_item=3,
            y=None if y is None else y[3:4],
            chunk_rows=48,
        )
    for field in TENSORS:
        ours, theirs = getattr(whole, field)[3:4], getattr(alone, field)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True, msg=field)
    assert whole.num_modes[3:4] == alone.num_modes
    # Two latents or few more, which draws of the prior cover.
    prior = estimate_log_px(
        vae, x, num_samples=4_000, seed=0, y=y, estimator="prior", chunk_rows=50_000
    )
    assert prior.weights_look_regular == (True,) * len(x)
    error = prior.standard_error_nats.square() + whole.standard_error_nats.square()
    apart = (whole.estimate_nats - prior.estimate_nats).abs() / error.sqrt()
    assert float(apart.max()) < 4.5


@pytest.mark.parametrize(
    "network",
    [
        {"kind": "conv", "channels": [6], "blocks": [1]},
        {"kind": "gated_mlp", "hidden": [24]},
        *({"kind": "mlp", "hidden": [24], "activation": a} for a in ("silu", "tanh", "gelu")),
    ],
    ids=lambda network: network.get("activation", network["kind"]),
)
def test_slopes_have_the_same_bits_in_any_batch_on_a_cpu(network):
    config = family("standard", decoder=network, image_shape=(1, 7, 7), latent_shape=(3,))
    vae = random_model(config)
    x, _ = batch(config, 90)
    z = torch.randn(90, 3, generator=torch.Generator().manual_seed(1))
    log_joint, slope = refine_slope(vae, z, x)
    for start, end in ((0, 1), (5, 22), (37, 90)):
        part = refine_slope(vae, z[start:end], x[start:end])
        assert torch.equal(part[0], log_joint[start:end])
        assert torch.equal(part[1], slope[start:end])


def refine_slope(vae, z, x):
    log_joint, slope = run_steps(slope_steps(vae, z[None].double(), x, None))
    return log_joint[0], slope[0]


def test_the_draws_of_the_score_are_fresh_and_a_function_of_the_seed():
    config = family("standard")
    vae, (x, _) = random_model(config), batch(config)
    first, again, other = (
        estimate_refined_log_px(vae, x, num_samples=30, seed=seed) for seed in (0, 0, 1)
    )
    assert torch.equal(first.estimate_nats, again.estimate_nats)
    assert not torch.equal(first.estimate_nats, other.estimate_nats)
    assert first.seed == 0


@pytest.mark.parametrize(
    ("name", "fields", "words"),
    [
        ("categorical", {}, "discrete"),
        ("autoencoder", {}, "autoencoder"),
    ],
)
def test_a_model_that_cannot_be_refined_is_refused(name, fields, words):
    vae = VAE(family(name, **fields)).eval()
    with pytest.raises(UnsupportedOperation, match=words) as refused:
        check_refinable(vae)
    assert refused.value.details["parameter"] == "inference"


def test_no_samples_are_refused():
    config = family("standard")
    with pytest.raises(InputError, match="num_samples=0"):
        estimate_refined_log_px(VAE(config).eval(), batch(config)[0], num_samples=0, seed=0)


def test_a_step_that_makes_the_bound_much_worse_is_taken_back(monkeypatch):
    oracle = instance("easy")
    x = oracle.draw(2)
    loc, scale = oracle.exact_posterior(x)
    start = Normals(loc + 3 * scale, torch.diag_embed(scale.expand(2, -1)), loc[:, 0])
    turns = BatchNoise(0, 2, "refinement").draw(MAX_STEPS, (2, 2), dtype=torch.float64)
    monkeypatch.setattr(normal_fit, "_RATE", 5.0)  # overshoots, until it is halved to less than 2
    found = run_steps(fit_steps(oracle.vae, x, None, start, turns.transpose(0, 1)))
    assert float((found.elbo_nats - oracle.log_px(x)).abs().max()) < 0.1


def test_a_fit_that_has_settled_grows_to_cover_the_posterior(monkeypatch):
    vae = load_bundle(PRETRAINED / "digits" / "1").vae
    x = simulate(vae, 6, seed=0).x
    q, length = vae.posterior(x), vae.num_latents
    scale = torch.diag_embed(q.scale.double())
    start = Normals(q.loc.double(), scale, torch.zeros(6).double())
    turns = BatchNoise(0, 6, "refinement").draw(MAX_STEPS, (length, length), dtype=torch.float64)

    def volume():
        return run_steps(fit_steps(vae, x, None, start, turns.transpose(0, 1))).entropy()

    covering = volume()
    monkeypatch.setattr(normal_fit, "_ORDER", 0.0)
    assert bool((covering > volume()).all())


def test_a_point_that_outweighs_all_others_leaves_them_a_share():
    log_joint = torch.tensor([-900.0, -100.0, -140.0, -180.0, -130.0, -160.0, -150.0, -170.0])
    weights = normal_fit._weigh(log_joint.double(), 0.75)
    assert float(weights.sum()) == pytest.approx(1)
    assert 2 <= float(1 / weights.square().sum()) < 4


def test_a_row_whose_density_is_not_finite_stays_where_it_is():
    oracle = instance("easy")
    x = oracle.draw(2)
    loc = torch.tensor([[0.0, 0.0], [1e200, 0.0]], dtype=torch.float64)
    start = Normals(loc, torch.eye(2).double().expand(2, -1, -1), loc[:, 0])
    turns = BatchNoise(0, 2, "refinement").draw(MAX_STEPS, (2, 2), dtype=torch.float64)
    found = run_steps(fit_steps(oracle.vae, x, None, start, turns.transpose(0, 1)))
    assert torch.equal(found.loc[1], loc[1])
    assert float(found.elbo_nats[1]) == -math.inf
    assert float(found.elbo_nats[0]) == pytest.approx(float(oracle.log_px(x)[0]), abs=0.1)


def test_modes_of_negligible_mass_have_no_share():
    loc = torch.zeros(2, 1).double()
    factor = torch.ones(2, 1, 1).double()
    first = Normals(loc, factor, torch.tensor([-10.0, -30.0]).double())
    rows = torch.tensor([0, 1, 1])
    further = Normals(
        torch.tensor([[3.0], [4.0], [5.0]]).double(),
        torch.ones(3, 1, 1).double(),
        torch.tensor([-18.0, -20.0, -20.0]).double(),
    )
    modes = Modes(first, further, rows)
    assert modes.counts() == (1, 2)
    vae = VAE(family("standard", latent_shape=(1,))).double()
    r = modes.proposal(vae, torch.zeros(1, 1, 4, 4).double(), None)
    torch.testing.assert_close(r.mean, torch.tensor([[0.0], [4.5]]).double())


def test_the_stated_rows_are_about_those_that_are_run(monkeypatch):
    oracle = instance("medium")
    x, rows = oracle.draw(1), []
    steps = refined_log_px_steps(oracle.vae, x, num_samples=1, seed=0)
    asked = next(steps)
    try:
        while True:
            weight = {"_slope": 2, "_log_likelihood": 1}.get(asked.function.__name__, 0)
            rows.append(weight * asked.num_rows)
            asked = steps.send(asked.run())
    except StopIteration:
        pass
    assert 0.7 * refine_rows(oracle.vae) < sum(rows) < 1.1 * refine_rows(oracle.vae)


def test_many_latents_are_refined_by_a_diagonal_normal(monkeypatch):
    oracle = instance("hard")
    x = oracle.draw(6)
    monkeypatch.setattr(fitted_modes, "MAX_FULL", 1)
    e = estimate_refined_log_px(oracle.vae, x, num_samples=400, seed=0, chunk_rows=50_000)
    assert_within_errors(e, oracle.log_px(x))
    torch.testing.assert_close(e.elbo_nats, oracle.log_px(x), rtol=0, atol=0.05)
    found = describe_refined_posterior(oracle.vae, x, num_samples=1, seed=0)
    loc, scale = oracle.exact_posterior(x)
    torch.testing.assert_close(found.mean, loc, rtol=0, atol=0.1 * float(scale.min()))
    torch.testing.assert_close(found.scale, scale.expand(6, -1), rtol=0.1, atol=0)
    assert bool(found.kl_nats.isfinite().all())
    assert refine_rows(oracle.vae) == 2 * (15 * 2 * 64 + 240) + 100


def test_a_diagonal_fit_of_correlated_latents_is_the_nearest_diagonal_normal(monkeypatch):
    plain = make(
        latents=6, shape=(1, 4, 4), noise_scale=0.6, posterior_scale=1.0, posterior_shift=0.0
    )
    x = plain.draw(4)
    turn = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(0)).double()).Q
    vae = rotated(plain, turn)
    monkeypatch.setattr(fitted_modes, "MAX_FULL", 1)
    found = describe_refined_posterior(vae, x, num_samples=1, seed=0)
    _, scale = plain.exact_posterior(x)
    precision = turn.T @ torch.diag(scale**-2.0) @ turn
    nearest = precision.diagonal().rsqrt().expand(4, -1)
    torch.testing.assert_close(found.scale, nearest, rtol=0.15, atol=0)
    e = estimate_refined_log_px(vae, x, num_samples=2_000, seed=0, chunk_rows=50_000)
    assert_within_errors(e, plain.log_px(x))
    approximation = 0.5 * (precision.diagonal().log().sum() - precision.logdet())
    # The encoder, which is not turned, is tens of nats away.
    left = plain.log_px(x) - approximation - e.elbo_nats
    assert -0.05 < float(left.min()) <= float(left.max()) < 0.3
    assert float(e.amortisation_gap_nats.mean()) > 10


def rotated(plain, turn):
    """The oracle with z = turn' z_plain, so that p(z|x) has no diagonal covariance."""
    vae = VAE(plain.vae.config).double().eval().requires_grad_(False)
    vae.load_state_dict(plain.vae.state_dict())
    outer = [m for m in vae.decoder.modules() if isinstance(m, torch.nn.Linear)][-1]
    outer.weight.copy_(outer.weight @ turn)
    return vae


@pytest.mark.parametrize("name", ["standard", "two-layers"])
def test_a_diagonal_refinement_has_the_same_bits_alone(name, monkeypatch):
    monkeypatch.setattr(fitted_modes, "MAX_FULL", 1)
    config = family(name)
    vae, (x, _) = random_model(config), batch(config)
    whole = estimate_refined_log_px(vae, x, num_samples=40, seed=3)
    alone = estimate_refined_log_px(vae, x[3:], num_samples=40, seed=3, first_item=3, chunk_rows=48)
    for field in TENSORS:
        ours, theirs = getattr(whole, field)[3:4], getattr(alone, field)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True, msg=field)
