"""Whether p-values are still those of pictures like the good ones.

    D = sup over a of |share of the p-values that are at most a - share of the references' ranks|
    p = Q(D sqrt(n m / (n + m))),  Q(t) = 2 sum over k >= 1 of (-1)^(k-1) exp(-2 k^2 t^2)

With n references, conformal p-values of m pictures are ranks among them: the test against uniform
p-values is that of two samples, m and n large. Against exact uniforms it would call the references'
own scatter a drift.

Source: Smirnov 1948, Annals of Mathematical Statistics 19(2), 279-281.
"""

import math

import numpy as np
from jaxtyping import Float64

_TERMS = 100
_CERTAIN = 0.2
"""Q is 1 in float64 at and below it, and its series is slow."""


def uniformity_p_value(p_values: Float64[np.ndarray, " picture"], references: int) -> float:
    """p-value of the hypothesis that conformal p-values are of pictures like the references.

    Args:
        p_values: k / (references + 1) for whole k from 1, one of each picture.
        references: How many scores they were ranked among.

    Source: Kolmogorov and Smirnov's test of two samples, by its limit.
    """
    count = len(p_values)
    ranks = np.round(np.sort(p_values) * (references + 1))
    places = np.arange(references + 1)
    share = np.searchsorted(ranks, places + 1, side="right") / count
    distance = float(np.abs(share - places / references).max())
    below = np.searchsorted(ranks, places + 1, side="left") / count
    distance = max(distance, float(np.abs(below - places / references).max()))
    return _kolmogorov(distance * math.sqrt(count * references / (count + references)))


def _kolmogorov(t: float) -> float:
    if t <= _CERTAIN:
        return 1.0
    terms = ((-1.0) ** (k - 1) * math.exp(-2 * (k * t) ** 2) for k in range(1, _TERMS))
    return min(1.0, max(0.0, 2 * math.fsum(terms)))
