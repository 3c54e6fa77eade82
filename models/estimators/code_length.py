"""Length of an image under a lossless code of fixed settings: what is left of a score without it.

The code predicts each level from its neighbours above and to the left, and counts how often each
difference occurs in surroundings of the same kind:

    length = sum over contexts c of  log G(n_c + A) - log G(A)
                                     - sum over differences s of  log G(n_cs + A p_s) - log G(A p_s)

with the gamma function G, the number n_cs of differences s in the context c, and a fixed guess p_s
of weight A. This is the length, nats, of an arithmetic code whose probabilities adapt to the counts
(Krichevsky and Trofimov 1981): no compression library's version changes it.

Sources: prediction, Weinberger, Seroussi and Sapiro 2000, IEEE Transactions on Image Processing
    9(8), 1309-1324 (LOCO-I, equation 1); contexts of black-and-white pixels, as in JBIG, by the six
    nearest ones; use in a score, Serra et al. 2020, arXiv:1909.11480.
"""

from functools import cache

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

CODE_VERSION = 1
"""Changes with every change of a length: stored lengths of another version compare with nothing."""
_ACTIVITY = (1, 4, 10, 24, 60, 140)
"""Bounds of the contexts of grey levels: differences among the neighbours, of 256 levels."""
_SPREAD = (0.4, 1.0, 2.5, 6.0, 14.0, 30.0, 50.0)
"""Guessed mean size of the differences in each of them, of 256 levels."""
_GUESS_WEIGHT = 24.0
_UNIFORM_SHARE = 0.05
"""Part of the guess that takes all differences for equally likely."""


def code_lengths(levels: Int[np.ndarray, "batch channel height width"], count: int) -> np.ndarray:
    """Length of each image, nats, float64 (batch,).

    Args:
        levels: Grey levels 0..count-1 of each channel.
        count: Number of levels, 2 or more.
    """
    code = _length_of_bits if count == 2 else _length_of_levels
    return np.array([code(image.astype(np.int64), count) for image in levels])


def _length_of_bits(image: np.ndarray, count: int) -> float:
    contexts, symbols = [], []
    for channel in image:
        w, ww, n, nw, ne, nn = _neighbours(channel)
        contexts.append(w + 2 * ww + 4 * n + 8 * nw + 16 * ne + 32 * nn)
        symbols.append(channel)
    found = np.stack(contexts), np.stack(symbols)
    return _adaptive_length(*found, alphas=np.full((64, count), 0.5))


def _length_of_levels(image: np.ndarray, count: int) -> float:
    shown = (image - np.roll(image, 1, axis=0)) % count if len(image) > 1 else image
    shown[0] = image[0]  # other channels are told by their difference from the one before
    length = 0.0
    for channel in shown:
        w, _, n, nw, ne, _ = _neighbours(channel)
        low, high = np.minimum(w, n), np.maximum(w, n)
        predicted = np.where(nw >= high, low, np.where(nw <= low, high, w + n - nw))
        activity = np.abs(w - nw) + np.abs(nw - n) + np.abs(n - ne)
        contexts = np.searchsorted(_ACTIVITY, activity * 255 / (count - 1), side="right")
        length += _adaptive_length(contexts, (channel - predicted) % count, alphas=_guess(count))
    return length


def _neighbours(channel: np.ndarray) -> tuple[np.ndarray, ...]:
    """Left, left of that, above, above left, above right, above that; 0 outside the picture."""
    height, width = channel.shape
    wide = np.pad(channel, ((2, 0), (2, 1)))
    places = (2, 1), (2, 0), (1, 2), (1, 1), (1, 3), (0, 2)
    return tuple(wide[y : y + height, x : x + width] for y, x in places)


@cache
def _guess(count: int) -> np.ndarray:
    """Weight of each difference, modulo the number of levels, in each context."""
    size = np.minimum(np.arange(count), count - np.arange(count)) * 255 / (count - 1)
    decay = np.exp(-size / np.array(_SPREAD)[:, None])
    shares = decay / decay.sum(1, keepdims=True)
    guess = (1 - _UNIFORM_SHARE) * shares + _UNIFORM_SHARE / count
    return np.asarray(_GUESS_WEIGHT * guess)


def _adaptive_length(contexts: np.ndarray, symbols: np.ndarray, *, alphas: np.ndarray) -> float:
    """Length of symbols, nats, each in its context."""
    count = alphas.shape[1]
    keys, numbers = np.unique(contexts * count + symbols, return_counts=True)
    totals = np.bincount(contexts.ravel(), minlength=len(alphas))
    weights = alphas.sum(1)
    length = _log_gamma(totals + weights) - _log_gamma(weights)
    alpha = alphas.ravel()[keys]
    return float(length.sum() - (_log_gamma(numbers + alpha) - _log_gamma(alpha)).sum())


def _log_gamma(values: np.ndarray) -> np.ndarray:
    found: Tensor = torch.lgamma(torch.from_numpy(np.asarray(values, dtype=np.float64)))
    return np.asarray(found.numpy())
