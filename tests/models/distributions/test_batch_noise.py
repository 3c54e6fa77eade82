"""Noise of a batch: the streams of its items, side by side."""

import numpy as np
import pytest
import torch

from models.distributions.batch_noise import BatchNoise
from models.distributions.normals import DiagonalNormal, MixtureOfNormals
from models.distributions.one_hot import OneHot
from models.noise import NoiseStream


def test_a_batch_lays_out_its_items_streams_side_by_side():
    batch = BatchNoise(11, 3, "posterior", first_item=5)
    noise = torch.cat([batch.draw(n, (2, 2), dtype=torch.float64) for n in (1, 4)])
    assert noise.shape == (5, 3, 2, 2)
    for i in range(3):
        alone = NoiseStream(11, 5 + i, "posterior").normal(5, 2, 2)
        np.testing.assert_array_equal(noise[:, i].numpy(), alone)


def test_an_empty_batch_draws_an_empty_tensor():
    assert BatchNoise(0, 0, "prior").draw(4, (2,)).shape == (4, 0, 2)


def test_float32_noise_is_the_rounded_float64_noise():
    exact = BatchNoise(3, 2, "prior").draw(50, (4,), dtype=torch.float64)
    rounded = BatchNoise(3, 2, "prior").draw(50, (4,))
    assert rounded.dtype == torch.float32
    assert torch.equal(rounded, exact.float())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_uniform_next_to_1_stays_below_1_in_every_dtype(monkeypatch, dtype):
    top = np.nextafter(1.0, 0.0)
    monkeypatch.setattr(NoiseStream, "uniform", lambda self, *shape: np.full(shape, top))
    noise = BatchNoise(0, 1, "likelihood").draw(2, (1,), kind="uniform", dtype=dtype)
    assert noise.dtype == dtype
    assert bool((noise < 1).all())
    assert bool((noise > 0.9999999).all())


@pytest.mark.parametrize(
    ("distribution", "shape", "kind"),
    [
        (DiagonalNormal(torch.zeros(2, 3), torch.ones(2, 3), event_dim=1), (5, 2, 3), "normal"),
        (DiagonalNormal(torch.zeros(3), torch.ones(3), event_dim=1), (5, 2, 3), "normal"),
        (OneHot(torch.zeros(2, 3)), (5, 2, 1), "uniform"),
        (OneHot(torch.zeros(3)), (5, 2, 1), "uniform"),
        (
            MixtureOfNormals(
                torch.zeros(4), DiagonalNormal(torch.zeros(4, 3), torch.ones(4, 3), event_dim=1)
            ),
            (5, 2, 4),
            "normal",
        ),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, tuple | str) else "",
)
def test_a_distribution_says_what_is_drawn_for_it_with_a_batch_or_without(
    distribution, shape, kind
):
    drawn = BatchNoise(3, 2, "prior").draw_for(distribution, 5)
    assert drawn.shape == shape
    assert torch.equal(drawn, BatchNoise(3, 2, "prior").draw(5, shape[2:], kind=kind))
    assert len(distribution.from_noise(drawn)) == 5
