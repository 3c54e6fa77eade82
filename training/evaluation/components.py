"""Principal components of training images: the baseline of reconstructions and of embeddings.

encode  t = U'(x - m),    decode  x = m + U t
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

Rows = Float32[np.ndarray, "row pixel"]
Features = Float32[np.ndarray, "row component"]

_MAX_EXACT = 1_024
"""Most numbers of an image for which the whole covariance is decomposed: a second on one core."""


@dataclass(frozen=True)
class Components:
    """The mean of the training images, and their principal axes as rows."""

    mean: Float32[np.ndarray, " pixel"]
    axes: Float32[np.ndarray, "component pixel"]
    num_train: int

    def encode(self, x: Rows) -> Features:
        """Coordinates along the axes."""
        return np.asarray((x - self.mean) @ self.axes.T)

    def decode(self, features: Features) -> Rows:
        """The images at these coordinates, on the scale of the training images, not clipped."""
        return np.asarray(features @ self.axes + self.mean)


def fit_components(x: Rows, count: int) -> Components:
    """Fit scikit-learn's PCA: exactly to small images, to others by its randomised solver.

    Args:
        x: Training images, two at least, on any one scale.
        count: Number of components; fewer where there are no more images, or numbers in one.
    """
    from sklearn.decomposition import PCA  # a second, which few commands need

    count = min(count, len(x) - 1, x.shape[1])
    with np.errstate(divide="ignore", invalid="ignore"):  # shares of the variance, where it is 0
        if x.shape[1] <= _MAX_EXACT:
            fitted = PCA(count, svd_solver="covariance_eigh").fit(x.astype(np.float64))
        else:
            fitted = PCA(count, svd_solver="randomized", iterated_power=4, random_state=0).fit(x)
    mean, axes = (np.asarray(part, np.float32) for part in (fitted.mean_, fitted.components_))
    return Components(mean, axes, len(x))
