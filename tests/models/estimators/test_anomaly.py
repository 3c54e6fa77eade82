"""What is measured of images, against direct computations."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from models.estimators.anomaly import join_measured, measure
from models.estimators.code_length import code_lengths
from models.estimators.elbo import estimate_elbo
from models.estimators.refined_posterior import estimate_refined_elbo
from models.vae.model import VAE
from tests.models.family_cases import family


def pictures(count, vae, seed=0):
    generator = np.random.default_rng(seed)
    levels = generator.integers(0, 256, (count, *vae.image_shape))
    return torch.from_numpy((levels * (vae.unit_scale / 255)).astype(np.float32)), levels


def make_vae(shape):
    torch.manual_seed(1)
    config = family("standard", image_shape=shape, likelihood={"kind": "discretized_normal"})
    return VAE(config).freeze()


@pytest.fixture(scope="module")
def vae():
    return make_vae((3, 12, 10))


def test_measurements_are_what_they_say(vae):
    x, levels = pictures(5, vae)
    found = measure(vae, x, levels=256, seed=3, first_item=2, num_samples=4)
    elbo = estimate_elbo(vae, x, num_samples=4, seed=3, first_item=2)
    assert found.elbo_nats.tolist() == elbo.elbo_nats.tolist()
    assert found.code_nats.tolist() == code_lengths(levels, 256).tolist()
    z = vae.posterior(x).mean
    picture = (vae.likelihood(z).mean / vae.unit_scale).double().clamp(0, 1)
    error = ((x / vae.unit_scale).double() - picture).square().mean(1).detach().numpy()
    assert found.error == pytest.approx(error, rel=1e-5)
    assert found.reconstruction_error == pytest.approx(error.mean((1, 2)), rel=1e-5)
    assert found.latents == pytest.approx(z.double().flatten(1).detach().numpy(), rel=1e-6)
    side = max(3, error.shape[1] // 8)
    means = np.lib.stride_tricks.sliding_window_view(error, (side, side), (1, 2)).mean((-1, -2))
    assert found.residual_peak == pytest.approx(means.max((1, 2)), rel=1e-5)


def test_blur_lowers_the_sharpness_and_noise_raises_it(vae):
    y, x = np.mgrid[: vae.image_shape[1], : vae.image_shape[2]]
    clear = 128 + 90 * np.sin(1.3 * x + 0.4 * y)
    noisy = clear + np.random.default_rng(1).normal(0, 30, clear.shape)
    shown = np.stack([ndimage.gaussian_filter(clear, 1), clear, noisy, 0 * clear])
    whole = shown.clip(0, 255).round()[:, None].repeat(vae.image_shape[0], 1)
    found = measure(vae, torch.from_numpy(whole.astype(np.float32)), levels=256, seed=1)
    blurred, sharp, loud, flat = found.sharpness
    assert blurred < sharp < loud
    assert flat == 0
    brighter = torch.from_numpy((0.5 * whole[1:2]).round().astype(np.float32))
    assert measure(vae, brighter, levels=256, seed=1).sharpness[0] == pytest.approx(sharp, abs=0.05)


def test_an_image_depends_on_itself_and_its_place_alone(vae):
    x, _ = pictures(6, vae, seed=4)
    whole = measure(vae, x, levels=256, seed=5)
    parts = [measure(vae, x[i : i + 2], levels=256, seed=5, first_item=i) for i in (0, 2, 4)]
    for one, other in zip(whole, join_measured(parts), strict=True):
        assert (one is None) == (other is None)
        assert one is None or one.tolist() == other.tolist()


def test_a_picture_of_one_pixel_has_no_differences():
    vae = make_vae((1, 1, 1))
    found = measure(vae, torch.zeros(2, 1, 1, 1), levels=256, seed=1)
    assert found.sharpness.tolist() == [0, 0]
    assert found.residual_peak.tolist() == found.reconstruction_error.tolist()


def test_the_regret_is_what_refining_gains(vae):
    x, _ = pictures(2, vae)
    found = measure(vae, x, levels=256, seed=3, num_samples=8, with_regret=True)
    refined = estimate_refined_elbo(vae, x, num_samples=8, seed=3)
    assert found.elbo_nats.tolist() == refined.amortised_elbo_nats.tolist()
    assert found.likelihood_regret.tolist() == refined.amortisation_gap_nats.tolist()
    assert found.layers_ratio is None
    joined = join_measured([found, found])
    assert joined.likelihood_regret.shape == (4,)
    assert joined.layers_ratio is None
