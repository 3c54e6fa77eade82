"""Detectors of odd pictures that need no density: what a user would try first, by scikit-learn.

    PCA       squared error of a reconstruction by as many components as the model has latents
    5-NN      mean distance to the five nearest training pictures
    forest    isolation forest of 100 trees (Liu, Ting and Zhou 2008)

The last two are fitted to pixels, and to the encoder's means. The higher a score, the odder.
"""

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float32, Float64
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import NearestNeighbors

NEIGHBOURS = 5
_SEED = 0

Rows = Float32[np.ndarray, "batch feature"]
Values = Float64[np.ndarray, " batch"]
Detector = Callable[[Rows, Rows], Values]
"""Scores of pictures by their pixels and their latents."""


def fit_detectors(pixels: Rows, latents: Rows) -> Mapping[str, Detector]:
    """Fit every detector to training pictures.

    Args:
        pixels: On the scale 0..1.
        latents: The encoder's means of the same pictures.
    """
    pca = PCA(min(latents.shape[1], *pixels.shape), random_state=_SEED).fit(pixels)

    def residual(pixels: Rows, latents: Rows) -> Values:
        found = pca.inverse_transform(pca.transform(pixels))
        return np.asarray(np.square(pixels - found).mean(1), dtype=np.float64)

    near, near_code = _neighbours(pixels), _neighbours(latents)
    forest, forest_code = _forest(pixels), _forest(latents)
    return {
        "PCA": residual,
        "5-NN, pixels": lambda pixels, latents: near(pixels),
        "5-NN, means": lambda pixels, latents: near_code(latents),
        "forest, pixels": lambda pixels, latents: forest(pixels),
        "forest, means": lambda pixels, latents: forest_code(latents),
    }


def _neighbours(known: Rows) -> Callable[[Rows], Values]:
    search = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(known)), algorithm="brute").fit(known)
    return lambda rows: np.asarray(search.kneighbors(rows)[0].mean(1), dtype=np.float64)


def _forest(known: Rows) -> Callable[[Rows], Values]:
    forest = IsolationForest(random_state=_SEED).fit(known)
    return lambda rows: np.asarray(-forest.score_samples(rows), dtype=np.float64)
