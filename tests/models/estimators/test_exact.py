"""Exact posteriors: linear-Gaussian models against dense normals; float64."""

import pytest
import torch
from torch.distributions import MultivariateNormal

from models.config import FullNormalConfig, MLPConfig, NormalConfig
from models.errors import UnsupportedOperation
from models.estimators.elbo import estimate_elbo
from models.estimators.exact import has_exact_posterior
from models.estimators.importance import (
    estimate_log_px,
    log_px_steps,
)
from models.estimators.steps import run_steps
from models.vae.model import VAE
from models.vae_config import VAEConfig
from tests.models.family_cases import FAMILIES, family
from tests.oracle import instance, make, raw, set_affine


def exact(vae, x, **arguments):
    return estimate_log_px(vae, x, num_samples=5, seed=0, estimator="exact", **arguments)


def test_the_exact_estimator_is_the_dense_normal_with_one_weight():
    oracle = instance("easy")
    x, rows = oracle.draw(20), []
    e = exact(oracle.vae, x)
    torch.testing.assert_close(e.estimate_nats, oracle.log_px(x), rtol=1e-12, atol=1e-11)
    assert torch.equal(e.elbo_nats, e.estimate_nats)
    assert torch.equal(e.gap_lower_bound_nats, torch.zeros(20).double())
    assert torch.equal(e.standard_error_nats, torch.zeros(20).double())
    assert torch.equal(e.lower_bound_95_nats, e.estimate_nats)
    for interval in (e.bound_interval_nats, e.log_px_interval_nats):
        assert torch.equal(interval, e.estimate_nats[:, None].expand(20, 2))
    assert (e.estimator, e.num_samples) == ("exact", 1)
    assert e.weights_look_regular == (True,) * 20
    assert e.reason == (None,) * 20
    oracle.vae.decoder.register_forward_hook(lambda m, args, out: rows.append(len(out)))
    steps = log_px_steps(oracle.vae, x, num_samples=(5, 9), seed=0, estimator="exact")
    assert [one.num_samples for one in run_steps(steps)] == [1, 1]
    assert rows.count(20) == 1  # besides what tells that the posterior is exact


def full_oracle():
    """A loading without orthogonal columns: its exact posterior has correlations."""
    vae = VAE(
        VAEConfig(
            image_shape=(1, 3, 2),
            latent_shape=(3,),
            encoder=MLPConfig(hidden=()),
            decoder=MLPConfig(hidden=()),
            posterior=FullNormalConfig(),
            likelihood=NormalConfig(scale="fixed", fixed_scale=0.4),
        )
    ).double()
    generator = torch.Generator().manual_seed(0)
    loading = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    bias = torch.rand(6, generator=generator, dtype=torch.float64)
    m = loading.T @ loading + 0.16 * torch.eye(3, dtype=torch.float64)
    project = torch.linalg.solve(m, loading.T)
    factor = torch.linalg.cholesky(0.16 * torch.linalg.inv(m))
    rows = torch.zeros(5, 3, dtype=torch.float64)
    rows[1], rows[2:] = raw(factor.diagonal()), factor.tril(-1)
    weight = torch.zeros(15, 6, dtype=torch.float64)
    weight[:3] = project / 2
    rows[0] = project @ (0.5 - bias)
    set_affine(vae.decoder, loading, bias)
    set_affine(vae.encoder, weight, rows.flatten())
    covariance = loading @ loading.T + 0.16 * torch.eye(6, dtype=torch.float64)
    return vae.freeze(), MultivariateNormal(bias, covariance)


def test_a_full_normal_can_be_exact_too():
    vae, density = full_oracle()
    x = torch.rand(20, 1, 3, 2, generator=torch.Generator().manual_seed(1)).double()
    assert has_exact_posterior(vae)
    log_px = density.log_prob(x.flatten(1))
    torch.testing.assert_close(exact(vae, x).estimate_nats, log_px, rtol=1e-11, atol=1e-11)
    e = estimate_log_px(vae, x, num_samples=20, seed=0)
    torch.testing.assert_close(e.estimate_nats, log_px, rtol=1e-11, atol=1e-11)
    bound = estimate_elbo(vae, x, num_samples=4000, seed=0)
    assert bound.kl_method == "analytic"
    assert bool(((bound.elbo_nats - log_px).abs() < 4 * bound.standard_error_nats).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "oracle",
    [
        dict(latents=2, shape=(1, 3, 3), noise_scale=0.5),
        dict(latents=50, shape=(1, 28, 28), noise_scale=0.02),
    ],
    ids=["small", "large"],
)
def test_an_exact_posterior_is_known_even_with_rounded_weights(oracle, dtype):
    assert has_exact_posterior(
        make(**oracle, posterior_scale=1.0, posterior_shift=0.0, dtype=dtype).vae
    )


@pytest.mark.parametrize("noise_scale", [0.5, 0.02])
@pytest.mark.parametrize(("scale", "shift"), [(0.9, 0.0), (1.1, 0.0), (0.99, 0.0), (1.0, 0.01)])
def test_a_posterior_that_is_nearly_exact_is_an_approximation(scale, shift, noise_scale):
    oracle = make(
        latents=8,
        shape=(1, 16, 16),
        noise_scale=noise_scale,
        posterior_scale=scale,
        posterior_shift=shift,
    )
    assert not has_exact_posterior(oracle.vae)
    with pytest.raises(UnsupportedOperation, match=r"estimator='exact'.*approximation.*iwae"):
        exact(oracle.vae, oracle.draw(2))


def test_what_was_found_of_a_posterior_is_forgotten_when_a_weight_changes():
    small = dict(latents=2, shape=(1, 3, 3), noise_scale=0.5)
    vae = make(**small, posterior_scale=1.0, posterior_shift=0.0).vae
    assert has_exact_posterior(vae)
    with torch.no_grad():
        vae.decoder.body[-1].bias.add_(0.1)
    assert not has_exact_posterior(vae)


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "categorical"])
def test_no_other_family_has_an_exact_posterior(name):
    likelihood = {"kind": "point" if name == "autoencoder" else "normal"}
    vae = VAE(family(name, likelihood=likelihood)).eval()
    assert not has_exact_posterior(vae)


def test_a_label_is_refused_by_the_exact_estimator_too():
    oracle = instance("easy")
    with pytest.raises(UnsupportedOperation, match="takes no label"):
        exact(oracle.vae, oracle.draw(2), y=torch.zeros(2, dtype=torch.long))
