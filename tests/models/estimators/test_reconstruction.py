"""Errors of reconstructions against direct sums, and SSIM against scikit-image's."""

import numpy as np
import pytest
import torch
from torch import Tensor

from models.estimators.reconstruction import (
    SIGMA,
    picture_errors,
    reconstruction_steps,
    structural_similarity,
)
from models.estimators.steps import CHUNK_ROWS, run_steps
from models.vae.model import VAE
from tests.models.family_cases import FAMILIES, family
from tests.oracle import instance


def wave(shape, period):
    i = np.arange(np.prod(shape)).reshape(shape)
    return 0.5 + 0.5 * np.sin(period * (i % 97) + 0.1 * i)


def similarity(x, y):
    pair = (torch.from_numpy(picture)[None] for picture in (x, y))
    return float(structural_similarity(*pair))


def test_ssim_is_that_of_scikit_image():
    # scikit-image 0.26.0: structural_similarity(x, y, gaussian_weights=True, sigma=1.5,
    # use_sample_covariance=False, data_range=1.0), in colour with channel_axis=0
    x, y = wave((1, 16, 20), 0.7), wave((1, 16, 20), 1.3)
    assert similarity(x, y) == pytest.approx(0.038055987983548915, rel=1e-12)
    assert similarity(x, 0.7 * x + 0.3 * y) == pytest.approx(0.8905502798824645, rel=1e-12)
    assert similarity(x, np.clip(x + 0.1, 0, 1)) == pytest.approx(0.98365683430112, rel=1e-12)
    x, y = wave((3, 13, 12), 0.7), wave((3, 13, 12), 1.3)
    assert similarity(x, 0.5 * x + 0.5 * y) == pytest.approx(0.6317920207319911, rel=1e-12)


@pytest.mark.parametrize(("shape", "side"), [((1, 8, 9), 7), ((3, 4, 4), 3), ((1, 12, 2), 1)])
def test_a_small_picture_has_the_largest_odd_window_that_fits(shape, side):
    x, y = wave(shape, 0.7), wave(shape, 1.3)
    distance = np.arange(side) - side // 2
    weights = np.exp(-(distance[:, None] ** 2 + distance**2) / (2 * SIGMA**2))
    weights /= weights.sum()
    found = []
    for a, b in zip(x, y, strict=True):
        for i in range(shape[1] - side + 1):
            for j in range(shape[2] - side + 1):
                u, v = (p[i : i + side, j : j + side] for p in (a, b))
                m, n = (weights * u).sum(), (weights * v).sum()
                s, t = (weights * (u - m) ** 2).sum(), (weights * (v - n) ** 2).sum()
                both = (weights * (u - m) * (v - n)).sum()
                found.append(
                    (2 * m * n + 1e-4)
                    * (2 * both + 9e-4)
                    / ((m * m + n * n + 1e-4) * (s + t + 9e-4))
                )
    assert similarity(x, y) == pytest.approx(np.mean(found), rel=1e-10)


def test_equal_pictures_have_no_error_and_an_ssim_of_1():
    x = torch.from_numpy(np.stack([wave((1, 12, 12), p) for p in (0.3, 0.9)]))
    errors = picture_errors(x, x.clone(), unit_scale=1.0)
    assert torch.equal(errors.squared_error, torch.zeros(2).double())
    assert torch.equal(errors.ssim, torch.ones(2).double())


def test_errors_are_of_the_unit_scale_and_of_pictures_clipped_to_it():
    x = torch.tensor([0.0, 4.0, 16.0, 8.0]).reshape(1, 1, 2, 2)
    picture = torch.tensor([-8.0, 8.0, 32.0, 8.0]).reshape(1, 1, 2, 2)
    errors = picture_errors(x, picture, unit_scale=16.0)
    assert errors.squared_error.tolist() == [0.25**2 / 4]
    clipped = picture.clamp(0, 16) / 16
    assert errors.ssim.tolist() == structural_similarity(x.double() / 16, clipped.double()).tolist()


def test_the_errors_of_a_picture_do_not_depend_on_the_others():
    x = torch.from_numpy(np.stack([wave((3, 14, 13), p) for p in (0.3, 0.9, 1.4)]))
    whole = picture_errors(x, x.flip(2), unit_scale=1.0)
    alone = picture_errors(x[1:2], x[1:2].flip(2), unit_scale=1.0)
    assert torch.equal(whole.ssim[1:2].float(), alone.ssim.float())
    assert torch.equal(whole.squared_error[1:2].float(), alone.squared_error.float())


def test_a_reconstruction_is_the_likelihoods_mean_at_the_posterior_mean():
    oracle = instance("medium")
    x = oracle.draw(6)
    z, picture = run_steps(reconstruction_steps(oracle.vae, x, chunk_rows=CHUNK_ROWS))
    loc, scale = oracle.exact_posterior(x)
    torch.testing.assert_close(z, loc + oracle.posterior_shift * scale)
    expected = z @ oracle.loading.T + oracle.bias
    torch.testing.assert_close(picture.flatten(1), expected)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_reconstructs_under_its_most_probable_label(name):
    torch.manual_seed(0)
    vae = VAE(family(name)).freeze()
    x: Tensor = (torch.rand(5, 1, 4, 4) < 0.5).float()
    z, picture = run_steps(reconstruction_steps(vae, x, chunk_rows=CHUNK_ROWS))
    assert z.shape == (5, *vae.latent_shape)
    assert picture.shape == x.shape
    if name == "m2":
        y = vae.label_logits(x).argmax(-1)
        assert torch.equal(z, vae.posterior(x, y).mean)
        assert torch.equal(picture, vae.likelihood(z, y).mean)
