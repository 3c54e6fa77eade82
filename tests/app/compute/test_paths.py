"""Paths between two latents."""

import math

import numpy as np
import pytest

from app.compute.paths import spherical_path


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
