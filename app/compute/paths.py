"""Paths between two latents."""

import math
from collections.abc import Callable
from typing import cast

import numpy as np

Path = Callable[[float], np.ndarray]


def linear_path(start: np.ndarray, end: np.ndarray) -> Path:
    """The straight line."""
    return lambda weight: (1 - weight) * start + weight * end


def spherical_path(start: np.ndarray, end: np.ndarray) -> Path:
    """Direction along the great arc, norm linear.

    Straight where there is no one arc: an end at the origin, or both on one line through it.

    Source: Shoemake 1985, Animating rotation with quaternion curves; White 2016, arXiv:1609.04468.
    """
    norms = np.linalg.norm(start), np.linalg.norm(end)
    if min(norms) == 0:
        return linear_path(start, end)
    first, last = start / norms[0], end / norms[1]
    angle = math.acos(float(np.clip(np.sum(first * last), -1, 1)))
    if math.sin(angle) < 1e-6:
        return linear_path(start, end)

    def path(weight: float) -> np.ndarray:
        direction = math.sin((1 - weight) * angle) * first + math.sin(weight * angle) * last
        norm = (1 - weight) * norms[0] + weight * norms[1]
        return cast(np.ndarray, norm * direction / math.sin(angle))

    return path


PATHS: dict[str, Callable[[np.ndarray, np.ndarray], Path]] = {
    "linear": linear_path,
    "spherical": spherical_path,
}
