"""What a picture looks like, in 63 bytes: near for copies in other encodings and sizes.

The picture in grey, at 32 x 32, goes through a discrete cosine transform. The 8 x 8 lowest
frequencies but the mean, on a common scale, are its look: the numbers that the perceptual hash
pHash cuts to a bit each. The bits of a smooth picture, most of whose frequencies are about 0,
change at random with its encoding; the numbers hardly do. Brightness and contrast move neither. A
picture of nearly one value has no look, 63 zeros.

Source: Zauner 2010, "Implementation and Benchmarking of Perceptual Image Hash Functions", section
3.2.
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Float32, Shaped, UInt8

LENGTH = 63
"""Bytes of a look, a frequency each, signed."""
NORM = 127
"""Euclidean length of a look, but for rounding."""

Looks = UInt8[np.ndarray, "_ 63"]

_SIDE, _KEPT = 32, 8
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue, those of ITU-R BT.601: JPEG keeps their sum best."""
_PLAIN = 1 / 128
"""Standard deviation, on the scale 0..1, below which a picture has no look: noise of JPEG."""
_MOST = 256
"""Rows and columns that are looked at, at equal distances, up to twice as many."""


def look_at(pictures: Shaped[np.ndarray, "batch channel height width"], *, white: int) -> Looks:
    """The look of each picture.

    Args:
        pictures: Grey or RGB of any number type.
        white: The value of white; 1 for floats.
    """
    height, width = pictures.shape[2:]
    some = pictures[:, :, :: max(1, height // _MOST), :: max(1, width // _MOST)]
    weights = _LUMA if some.shape[1] == 3 else np.ones(1, np.float32)
    grey = np.tensordot(weights, some.astype(np.float32), axes=(0, 1))
    high, wide = grey.shape[1:]
    found = _transform(high) @ grey @ _transform(wide).T
    low = found.reshape(len(found), -1)[:, 1:]  # without the mean, which brightness moves
    norms = np.linalg.norm(low, axis=1, keepdims=True)
    least = _PLAIN * white * _SIDE
    scaled = np.rint(low * (NORM / np.maximum(norms, least)))
    looks: Looks = scaled.astype(np.int8).view(np.uint8)
    looks[norms[:, 0] <= least] = 0
    return looks


@lru_cache(maxsize=1_024)
def _transform(size: int) -> Float32[np.ndarray, "frequency size"]:
    """Resize so many pixels to 32 by their areas, and take the lowest 8 cosines of these."""
    edges = np.arange(_SIDE + 1) * (size / _SIDE)
    pixels = np.arange(size)
    inside = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    areas = np.clip(inside, 0, None) * (_SIDE / size)
    angles = np.arange(_KEPT)[:, None] * (2 * np.arange(_SIDE) + 1) * (np.pi / (2 * _SIDE))
    cosines = np.cos(angles) * np.sqrt(2 / _SIDE)
    cosines[0] /= np.sqrt(2)
    found: Float32[np.ndarray, "frequency size"] = (cosines @ areas).astype(np.float32)
    return found
