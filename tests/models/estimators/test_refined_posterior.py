"""The refined ELBO and posterior against linear-Gaussian oracles, two modes, and every family."""

import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence

from models.errors import InputError, UnsupportedOperation
from models.estimators.elbo import estimate_elbo
from models.estimators.refine import estimate_refined_log_px
from models.estimators.refined_posterior import (
    describe_refined_posterior,
    estimate_refined_elbo,
    refined_elbo_steps,
)
from models.estimators.steps import run_steps
from models.vae.model import VAE
from tests.models.estimators.test_refine import batch, folded, folded_log_px, random_model
from tests.models.family_cases import family
from tests.oracle import instance, labelled, make, two_layers


@pytest.mark.parametrize("name", ["easy", "medium", "hard"])
def test_the_refined_elbo_is_log_px_and_the_gap_is_the_encoders_on_the_oracle(name):
    oracle = instance(name)
    x = oracle.draw(8)
    e = estimate_refined_elbo(oracle.vae, x, num_samples=200, seed=0, chunk_rows=50_000)
    exact, plain = oracle.log_px(x), estimate_elbo(oracle.vae, x, num_samples=200, seed=0)
    torch.testing.assert_close(e.elbo_nats, exact, rtol=0, atol=0.02)
    assert float(e.standard_error_nats.max()) < 0.02
    assert torch.equal(e.amortised_elbo_nats, plain.elbo_nats)
    torch.testing.assert_close(e.amortisation_gap_nats, e.elbo_nats - plain.elbo_nats)
    torch.testing.assert_close(e.expected_log_likelihood_nats - e.kl_nats, e.elbo_nats)
    assert (e.inference, e.kl_method, e.num_modes) == ("refined", "monte_carlo", (1,) * 8)
    assert (plain.inference, plain.amortisation_gap_nats, plain.num_modes) == (
        "amortised",
        None,
        None,
    )


@pytest.mark.parametrize("posterior", ["bottom_up", "ladder"])
def test_the_refined_elbo_of_two_layers_has_no_parts_by_layer(posterior):
    layers = two_layers(posterior, posterior_scale=0.7)
    x = layers.draw(4)
    e = estimate_refined_elbo(layers.vae, x, num_samples=100, seed=0)
    torch.testing.assert_close(e.elbo_nats, layers.log_px(x), rtol=0, atol=0.03)
    assert e.kl_per_group_nats is e.kl_per_dimension_nats is None


@pytest.mark.parametrize("classifier", [False, True])
def test_labels_are_averaged_over_by_what_the_fits_say_of_them(classifier):
    model = labelled(posterior_scale=0.7, classifier=classifier)
    x = model.draw(9)
    exact = model.log_joint(x).logsumexp(-1)
    e = estimate_refined_elbo(model.vae, x, num_samples=200, seed=0)
    torch.testing.assert_close(e.elbo_nats, exact, rtol=0, atol=0.03)
    q = (model.log_joint(x) - exact[:, None]).exp()
    label_kl = (q * (q.log() - model.vae.log_label_prior)).sum(-1)
    torch.testing.assert_close(e.label_kl_nats, label_kl, rtol=0, atol=0.02)
    plain = estimate_elbo(model.vae, x, num_samples=200, seed=0)
    assert torch.equal(e.amortised_elbo_nats, plain.elbo_nats)
    scored = estimate_refined_log_px(model.vae, x, num_samples=300, seed=0, chunk_rows=50_000)
    scores = (scored.estimate_nats - exact) / scored.standard_error_nats
    assert float(scores.abs().max()) < 4.5
    assert float(scored.standard_error_nats.max()) < 0.05
    torch.testing.assert_close(scored.elbo_nats, exact, rtol=0, atol=0.03)
    assert scored.num_modes == e.num_modes == (1,) * 9


@pytest.mark.parametrize("name", ["medium", "hard"])
def test_the_refined_posterior_of_the_oracle_is_the_exact_one(name):
    oracle = instance(name)
    x = oracle.draw(5)
    found = describe_refined_posterior(oracle.vae, x, num_samples=2_000, seed=0)
    loc, scale = oracle.exact_posterior(x)
    torch.testing.assert_close(found.mean, loc, rtol=0, atol=0.05 * float(scale.min()))
    torch.testing.assert_close(found.scale, scale.expand(5, -1), rtol=0.04, atol=0)
    prior = MultivariateNormal(torch.zeros_like(scale), torch.eye(len(scale)).double())
    q = MultivariateNormal(loc, torch.diag(scale.square()).expand(5, -1, -1))
    torch.testing.assert_close(found.kl_nats, kl_divergence(q, prior), rtol=0.01, atol=0.02)
    assert found.num_modes == (1,) * 5
    errors = (found.samples.mean(1) - found.mean) / found.scale * 2_000**0.5
    assert float(errors.abs().max()) < 4.5
    torch.testing.assert_close(found.samples.std(1), found.scale, rtol=0.1, atol=0)


def test_two_modes_are_described_together_and_have_no_closed_kl():
    plain = make(
        latents=3, shape=(1, 3, 3), noise_scale=0.5, posterior_scale=1.0, posterior_shift=0.0
    )
    vae, x = folded(plain), plain.draw(60)
    loc, scale = plain.exact_posterior(x)
    apart = loc[:, -1] > 5 * scale[-1]
    x, loc = x[apart][:3], loc[apart][:3]
    found = describe_refined_posterior(vae, x, num_samples=400, seed=0)
    assert found.num_modes == (2,) * len(x)
    assert bool(found.kl_nats.isnan().all())
    assert float(found.mean[:, -1].abs().max()) < 0.1 * float(loc[:, -1].min())
    torch.testing.assert_close(
        found.scale[:, -1], (loc[:, -1].square() + scale[-1] ** 2).sqrt(), rtol=0.02, atol=0
    )
    upper = (found.samples[..., -1] > 0).double().mean(1)
    assert float((upper - 0.5).abs().max()) < 0.1
    e = estimate_refined_elbo(vae, x, num_samples=200, seed=0)
    torch.testing.assert_close(e.elbo_nats, folded_log_px(plain, x), rtol=0, atol=0.05)


def test_a_prior_without_a_closed_form_leaves_the_kl_out():
    config = family("mixture")
    found = describe_refined_posterior(
        random_model(config), batch(config)[0], num_samples=0, seed=0
    )
    assert found.kl_nats is None
    assert found.samples.shape == (4, 0, 2)


FAMILIES = ("standard", "full-mixture", "vamp", "conv-ladder", "m2", "labelled", "labelled-ladder")


@pytest.mark.parametrize("name", FAMILIES)
def test_an_image_gets_the_same_bits_alone_in_any_chunks_and_in_inference_mode(name):
    config = family(name)
    vae, x = random_model(config), batch(config)[0]
    whole = run_steps(refined_elbo_steps(vae, x, num_samples=30, seed=3), max_rows=48)
    scored = estimate_refined_log_px(vae, x, num_samples=30, seed=3)
    given = {"seed": 3, "first_item": 3}
    with torch.inference_mode():
        one = x[3:4].clone()
        alone = estimate_refined_elbo(vae, one, num_samples=30, chunk_rows=48, **given)
        score = estimate_refined_log_px(vae, one, num_samples=30, chunk_rows=48, **given)
    for field in ("elbo_nats", "kl_nats", "standard_error_nats", "amortisation_gap_nats"):
        assert torch.equal(getattr(whole, field)[3:4], getattr(alone, field)), field
    for field in ("estimate_nats", "elbo_nats", "amortised_elbo_nats", "pareto_k"):
        ours, theirs = getattr(scored, field)[3:4], getattr(score, field)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True, msg=field)
    assert whole.num_modes[3:] == alone.num_modes == score.num_modes
    if config.num_labels:
        return
    described = describe_refined_posterior(vae, x, num_samples=2, seed=3)
    with torch.inference_mode():
        again = describe_refined_posterior(vae, one, num_samples=2, **given)
    for field in ("mean", "scale", "samples"):
        assert torch.equal(getattr(described, field)[3:4], getattr(again, field)), field


def test_what_cannot_be_refined_or_counted_is_refused():
    config = family("categorical")
    with pytest.raises(UnsupportedOperation, match="discrete"):
        estimate_refined_elbo(VAE(config).eval(), batch(config)[0], num_samples=2, seed=0)
    config = family("standard")
    with pytest.raises(InputError, match="num_samples=0"):
        estimate_refined_elbo(VAE(config).eval(), batch(config)[0], num_samples=0, seed=0)
