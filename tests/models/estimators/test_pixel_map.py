"""What each pixel adds to log p(x|z): independent of all others, and all of it together."""

import pytest
import torch

from models.distributions.one_hot import OneHot
from models.errors import UnsupportedOperation
from models.estimators.elbo import estimate_elbo
from models.estimators.refined_posterior import estimate_refined_elbo
from models.vae.model import VAE
from tests.models.family_cases import family
from tests.oracle import instance

LIKELIHOODS = {
    "bernoulli": {"kind": "bernoulli"},
    "continuous_bernoulli": {"kind": "continuous_bernoulli"},
    "logistics": {"kind": "discretized_logistic", "levels": 5, "num_mixtures": 3},
    "discretized_normal": {"kind": "discretized_normal", "levels": 5},
    "normal": {"kind": "normal", "scale": "per_image"},
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", LIKELIHOODS)
def test_a_pixels_part_changes_with_that_pixel_alone_and_by_what_the_whole_does(kind, channels):
    torch.manual_seed(0)
    config = family("standard", likelihood=LIKELIHOODS[kind], image_shape=(channels, 4, 4))
    vae = VAE(config).double().freeze()
    p = vae.likelihood(torch.randn(6, 2, dtype=torch.float64))
    x = torch.randint(0, 2, (6, channels, 4, 4)).double()
    other = x.clone()
    other[:, :, 1, 2] = 1 - other[:, :, 1, 2]
    before, after = p.pixel_log_prob(x), p.pixel_log_prob(other)
    assert before.shape == (6, 4, 4)
    torch.testing.assert_close(before.sum((1, 2)), p.log_prob(x), rtol=1e-12, atol=1e-12)
    changed = torch.zeros(4, 4, dtype=torch.bool)
    changed[1, 2] = True
    assert torch.equal(before[:, ~changed], after[:, ~changed])
    gain = p.log_prob(other) - p.log_prob(x)
    torch.testing.assert_close((after - before)[:, 1, 2], gain, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["standard", "m2", "labelled", "ladder", "categorical"])
def test_the_map_sums_to_the_reconstruction_term_and_changes_no_other_number(name):
    torch.manual_seed(0)
    vae, x = VAE(family(name)).freeze(), torch.randint(0, 2, (3, 1, 4, 4)).float()
    arguments = dict(num_samples=9, seed=1)
    plain, e = (estimate_elbo(vae, x, pixels=asked, **arguments) for asked in (False, True))
    assert plain.pixel_log_likelihood_nats is None
    assert e.pixel_log_likelihood_nats.shape == (3, 4, 4)
    total = e.pixel_log_likelihood_nats.sum((1, 2))
    torch.testing.assert_close(total, e.expected_log_likelihood_nats, rtol=1e-6, atol=1e-5)
    for field in ("elbo_nats", "expected_log_likelihood_nats", "kl_nats", "standard_error_nats"):
        assert torch.equal(getattr(plain, field), getattr(e, field))
    few = estimate_elbo(vae, x, pixels=True, chunk_rows=2, **arguments)
    assert torch.equal(few.pixel_log_likelihood_nats, e.pixel_log_likelihood_nats)


def test_the_map_of_the_oracle_is_the_exact_expectation():
    oracle = instance("medium")
    x = oracle.draw(2)
    e = estimate_elbo(oracle.vae, x, num_samples=4000, seed=0, pixels=True)
    q = oracle.vae.posterior(x)
    # x_i = (W z + b)_i + noise, so that E_q (x_i - (W z + b)_i)^2 has a closed form.
    residual = x.flatten(1) - q.mean @ oracle.loading.T - oracle.bias
    variance = q.scale.square() @ oracle.loading.square().T
    scale = torch.as_tensor(oracle.noise_scale, dtype=torch.float64)
    exact = -0.5 * (residual.square() + variance) / scale**2 - scale.log()
    exact = exact - 0.5 * torch.log(torch.tensor(2 * torch.pi))
    # The squared deviation of a pixel has at most a few units of variance over 4,000 draws.
    found = e.pixel_log_likelihood_nats.flatten(1)
    torch.testing.assert_close(found, exact, rtol=0.05, atol=0.05)


def test_a_refined_map_is_of_the_refined_draws():
    oracle = instance("medium")
    x = oracle.draw(2)
    e = estimate_refined_elbo(oracle.vae, x, num_samples=5, seed=0, pixels=True)
    total = e.pixel_log_likelihood_nats.sum((1, 2))
    torch.testing.assert_close(total, e.expected_log_likelihood_nats)


def test_what_is_no_distribution_of_images_has_no_pixels():
    q = OneHot(torch.zeros(1, 2))
    with pytest.raises(UnsupportedOperation, match="OneHot is no distribution of images"):
        q.pixel_log_prob(torch.eye(2)[:1])
