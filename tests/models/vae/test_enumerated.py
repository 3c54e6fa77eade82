"""A categorical latent with its exact posterior: the evidence is a sum over components; float64."""

import numpy as np
import torch
from scipy import stats
from torch.distributions import Categorical, kl_divergence

from models.estimators.elbo import estimate_elbo
from models.estimators.exact import has_exact_posterior
from models.estimators.importance import estimate_log_px
from models.vae import VAE
from tests.models.family_cases import family
from tests.oracle import raw, set_affine

COUNT = 5


def mixture(*, dtype=torch.float64):
    """A mixture of diagonal normals over six pixels: weights, locations, scales, and the VAE."""
    generator = torch.Generator().manual_seed(1)
    weights = torch.rand(COUNT, generator=generator, dtype=torch.float64) + 0.1
    weights = weights / weights.sum()
    loc = torch.rand(COUNT, 6, generator=generator, dtype=torch.float64)
    scale = 0.1 + 0.3 * torch.rand(COUNT, 6, generator=generator, dtype=torch.float64)
    vae = VAE(
        family(
            "categorical",
            image_shape=(1, 3, 2),
            latent_shape=(COUNT,),
            likelihood={"kind": "normal", "scale": "per_pixel", "fixed_scale": 1.0},
            decoder={"kind": "mlp", "hidden": []},
        )
    ).double()
    start = raw(torch.ones((), dtype=torch.float64))
    rows = torch.cat([loc, raw(scale) - start], 1)
    set_affine(vae.decoder, rows.T, torch.zeros(12, dtype=torch.float64))
    vae.prior_module.logits.data.copy_(weights.log() + 3)  # unnormalised
    return weights, loc, scale, vae.to(dtype).freeze()


def pictures(count):
    return torch.rand(count, 1, 3, 2, generator=torch.Generator().manual_seed(2)).double()


def dense_joint(x):
    """log p(x, component), (batch, component), by scipy."""
    weights, loc, scale, _ = mixture()
    flat = x.flatten(1).double().numpy()
    terms = [
        stats.multivariate_normal(m.numpy(), torch.diag(s**2).numpy()).logpdf(flat)
        for m, s in zip(loc, scale, strict=True)
    ]
    return torch.from_numpy(np.stack(terms, axis=1)) + weights.log()


def test_the_evidence_is_the_dense_sum_over_components():
    *_, vae = mixture()
    x = pictures(20)
    exact = dense_joint(x).logsumexp(-1)
    e = estimate_log_px(vae, x, num_samples=7, seed=0, estimator="exact")
    assert (e.estimator, e.num_samples) == ("exact", 1)
    assert has_exact_posterior(vae)
    torch.testing.assert_close(e.estimate_nats, exact, rtol=1e-12, atol=1e-11)
    torch.testing.assert_close(e.elbo_nats, exact, rtol=1e-12, atol=1e-11)
    assert e.weights_look_regular == (True,) * 20
    assert torch.equal(e.log_px_interval_nats, e.estimate_nats[:, None].expand(20, 2))
    assert torch.equal(e.standard_error_nats, torch.zeros(20).double())


def test_the_posterior_is_bayes_rule_over_the_components():
    *_, vae = mixture()
    x = pictures(20)
    joint = dense_joint(x)
    q = vae.posterior(x)
    torch.testing.assert_close(q.log_probs, joint.log_softmax(-1), rtol=1e-10, atol=1e-10)


def test_every_weight_is_the_evidence_whatever_the_draw():
    *_, vae = mixture()
    x = pictures(4)
    uniform = torch.linspace(0, 1 - 1e-9, 50, dtype=torch.float64)[:, None, None].expand(50, 4, 1)
    drawn = vae.posterior(x).from_noise(uniform).sum(0)
    assert bool((drawn > 0).sum() > 8)  # several components each
    log_w = vae.log_weights(x, uniform)
    exact = dense_joint(x).logsumexp(-1).expand(50, 4)
    torch.testing.assert_close(log_w, exact, rtol=1e-10, atol=1e-10)


def test_its_elbo_is_the_evidence_with_either_kl():
    *_, vae = mixture()
    x = pictures(4)
    exact = dense_joint(x).logsumexp(-1)
    sampled = estimate_elbo(vae, x, num_samples=9, seed=0)
    assert sampled.kl_method == "monte_carlo"  # by default: it has no error here
    torch.testing.assert_close(sampled.elbo_nats, exact, rtol=1e-10, atol=1e-10)
    assert float(sampled.standard_error_nats.max()) < 1e-9
    e = estimate_elbo(vae, x, num_samples=4000, seed=0, kl_method="analytic")
    assert (e.kl_method, e.num_samples) == ("analytic", 4000)
    assert bool(((e.elbo_nats - exact).abs() < 4 * e.standard_error_nats + 1e-9).all())
    theirs = kl_divergence(Categorical(logits=dense_joint(x)), Categorical(probs=mixture()[0]))
    torch.testing.assert_close(e.kl_nats, theirs, rtol=1e-9, atol=1e-10)


def test_the_prior_estimator_is_unbiased_for_the_sum():
    *_, vae = mixture()
    x = pictures(5)
    e = estimate_log_px(vae, x, num_samples=8000, seed=0, estimator="prior")
    assert e.num_samples == 8000
    exact = dense_joint(x).logsumexp(-1)
    ratio = (e.estimate_nats - exact).exp() - 1
    assert bool((ratio.abs() < 4 * e.standard_error_nats).all())


def test_the_exact_value_is_right_in_float32_where_one_component_explains_nothing():
    *_, vae = mixture(dtype=torch.float32)
    x = pictures(20) * 20 - 10  # far outside: the components' log-densities differ by hundreds
    e = estimate_log_px(vae, x.float(), num_samples=1, seed=0, estimator="exact")
    exact = dense_joint(x.float()).logsumexp(-1)
    torch.testing.assert_close(e.estimate_nats, exact, rtol=1e-5, atol=0)


def test_a_components_picture_is_its_mean():
    _, loc, scale, vae = mixture()
    p = vae.likelihood(torch.eye(COUNT, dtype=torch.float64))
    torch.testing.assert_close(p.mean.flatten(1), loc, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(p.scale.flatten(1), scale, rtol=1e-12, atol=1e-13)
