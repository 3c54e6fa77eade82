"""Latents: paths between two, and what may be sent."""

import math

import numpy as np
import pytest

from app.compute.latents import check_latents, latent_groups
from app.compute.paths import spherical_path
from app.serving.capabilities import example_latents
from models.errors import OutOfSupport
from tests.app.repository import random_vae
from tests.models.family_cases import family


def test_a_spherical_path_keeps_to_the_arc_and_changes_the_norm_linearly() -> None:
    start, end = np.array([2.0, 0.0]), np.array([0.0, 4.0])
    path = spherical_path(start, end)
    np.testing.assert_allclose(path(0.0), start, atol=1e-12)
    np.testing.assert_allclose(path(1.0), end, atol=1e-12)
    np.testing.assert_allclose(path(0.5), 3 * np.array([1, 1]) / math.sqrt(2))


@pytest.mark.parametrize(
    ("start", "end"),
    [([0.0, 0.0], [1.0, 0.0]), ([1.0, 1.0], [2.0, 2.0]), ([1.0, 0.0], [-1.0, 0.0])],
)
def test_a_spherical_path_is_straight_where_there_is_no_one_arc(
    start: list[float], end: list[float]
) -> None:
    middle = spherical_path(np.array(start), np.array(end))(0.5)
    np.testing.assert_allclose(middle, (np.array(start) + np.array(end)) / 2)


def test_a_mixtures_latents_are_unit_vectors() -> None:
    vae = random_vae(family("categorical", latent_shape=(3,)))
    check_latents(np.eye(3), vae)
    check_latents(example_latents(vae), vae)
    for wrong in ([0.5, 0.5, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 2.0, 0.0]):
        with pytest.raises(OutOfSupport) as refused:
            check_latents(np.array([[0.0, 1.0, 0.0], wrong]), vae)
        assert refused.value.items == ((1, "no unit vector"),)


def test_groups_are_slices_of_the_latent_in_order() -> None:
    assert latent_groups(random_vae(family("standard"))) == []
    assert latent_groups(random_vae(family("conv-ladder"))) == [
        {"name": "z1", "start": 0, "stop": 8, "shape": [2, 2, 2]},
        {"name": "z2", "start": 8, "stop": 10, "shape": [2]},
    ]
