"""Embeddings: how well simple classifiers of the latents find the labels of held-out images.

    linear probe       multinomial logistic regression of standardised features
    5 neighbours       the most frequent label among the 5 nearest training images

The features are the posterior means that `encode` serves. Principal components, as many as there
are latents, and the pixels stand beside them: latents that find fewer labels than these carry less.

Source: linear probes: Alain and Bengio 2016, arXiv:1610.01644.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float32, Float64, Int64

from models.bundle.schema import Embedding, EmbeddingKind

MAX_TRAIN = 2_000
MAX_TEST = 5_000
"""Images of either split at most: they keep the probes of pixels to seconds."""
NUM_NEIGHBOURS = 5
_MAX_STEPS = 1_000
_TOLERANCE = 1e-3
"""Largest element of the mean loss's gradient at the end: smaller ones change no accuracy."""

Known = Float32[np.ndarray, "known feature"]
Unseen = Float32[np.ndarray, "unseen feature"]
KnownLabels = Int64[np.ndarray, " known"]
UnseenLabels = Int64[np.ndarray, " unseen"]


def can_probe(train: KnownLabels) -> bool:
    """Whether the labels of training images suffice: as many as neighbours, of two kinds."""
    return len(train) >= NUM_NEIGHBOURS and len(np.unique(train)) > 1


def probe(
    features: Mapping[EmbeddingKind, tuple[np.ndarray, np.ndarray]],
    *,
    train: KnownLabels,
    test: UnseenLabels,
) -> tuple[Embedding, ...]:
    """Accuracy of both classifiers on held-out images, for each kind of features.

    Args:
        features: Of the training images and of the held-out ones by kind, a row each, float32.
        train: Labels of the training images.
        test: Labels of the held-out images.
    """
    return tuple(
        Embedding(
            kind=kind,
            num_features=known.shape[1],
            num_train=len(train),
            n=len(test),
            linear_accuracy=_linear_accuracy(known, train, unseen, test),
            neighbours_accuracy=_neighbours_accuracy(known, train, unseen, test),
        )
        for kind, (known, unseen) in features.items()
    )


def _linear_accuracy(known: Known, train: KnownLabels, unseen: Unseen, test: UnseenLabels) -> float:
    from sklearn.linear_model import LogisticRegression  # a second, which few commands need

    fitted = LogisticRegression(max_iter=_MAX_STEPS, tol=_TOLERANCE)
    known_std, unseen_std = _rotate(*_standardise(known, unseen))
    return float(fitted.fit(known_std, train).score(unseen_std, test))


def _neighbours_accuracy(
    known: Known, train: KnownLabels, unseen: Unseen, test: UnseenLabels
) -> float:
    from sklearn.neighbors import KNeighborsClassifier

    fitted = KNeighborsClassifier(NUM_NEIGHBOURS, algorithm="brute").fit(known, train)
    return float(fitted.score(unseen, test))


def _standardise(known: Known, unseen: Unseen) -> tuple[Known, Unseen]:
    """Features of mean 0 and variance 1 over the training images; constant ones become 0."""
    mean, scale = known.mean(0), known.std(0)
    # the deviation of a constant feature is its rounding
    varies = scale > 1e-6 * (1 + np.abs(mean))
    scale = np.where(varies, scale, 1).astype(np.float32)
    return (known - mean) / scale * varies, (unseen - mean) / scale * varies


def _rotate(
    known: Known, unseen: Unseen
) -> tuple[Float64[np.ndarray, "known axis"], Float64[np.ndarray, "unseen axis"]]:
    """Coordinates in the span of the training images, where these are fewer than the features.

    Penalised weights lie in that span, so that the regression is the same and costs less.
    """
    if known.shape[1] <= len(known):
        return known.astype(np.float64), unseen.astype(np.float64)
    products = (known @ known.T).astype(np.float64)
    squares, axes = np.linalg.eigh(products)
    kept = squares > 1e-6 * squares[-1]
    lengths, axes = np.sqrt(squares[kept]), axes[:, kept]
    return axes * lengths, (unseen @ known.T).astype(np.float64) @ axes / lengths
