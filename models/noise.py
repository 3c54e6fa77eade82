"""Noise as a pure function of (seed, item, purpose, position).

Each seed, item and purpose has a stream of its own, from a counter-based generator (Philox 4x64,
Salmon et al. 2011, as in numpy). So an item gets the same noise alone and in any batch, 16 samples
are the first of 64, and the sizes of chunks do not matter.
"""

import hashlib
from collections.abc import Sequence
from typing import Literal

import numpy as np

from models.errors import InputError

Purpose = Literal["posterior", "prior", "likelihood", "binarization", "training", "label"]
NoiseKind = Literal["normal", "uniform"]

MAX_SEED = 2**63 - 1
MAX_ITEM = 2**56 - 1

# Published numbers depend on these codes: add new ones, never renumber.
_CODES: dict[str, int] = {
    "posterior": 0,
    "prior": 1,
    "likelihood": 2,
    "binarization": 3,
    "training": 4,
    "label": 5,
}


class NoiseStream:
    """The noise of one seed, item and purpose; each draw continues where the last one ended."""

    def __init__(self, seed: int, item: int, purpose: Purpose) -> None:
        """Open the stream at its beginning.

        Args:
            seed: 0..2^63-1.
            item: Position of the datum in the request or data set, from 0.
            purpose: What the noise is for; two purposes never share numbers.

        Raises:
            InputError: The seed or the item is out of range.
        """
        if not 0 <= seed <= MAX_SEED:
            raise InputError(
                f"seed={seed} is out of range. Allowed: 0 to 2^63-1.",
                parameter="seed",
                received=seed,
                limit=MAX_SEED,
            )
        if not 0 <= item <= MAX_ITEM:
            raise InputError(
                f"Item {item} is out of range. Allowed: 0 to 2^56-1. Lower first_item.",
                parameter="first_item",
                received=item,
                limit=MAX_ITEM,
            )
        key = np.array([seed, item << 8 | _CODES[purpose]], dtype=np.uint64)
        self._generator = np.random.Generator(np.random.Philox(key=key))

    def normal(self, *shape: int) -> np.ndarray:
        """Standard normals, float64."""
        return self._generator.standard_normal(shape)

    def uniform(self, *shape: int) -> np.ndarray:
        """Uniforms in [0, 1), float64."""
        return self._generator.random(shape)

    def draw(self, kind: NoiseKind, shape: Sequence[int]) -> np.ndarray:
        """Noise of a distribution's `noise_kind`, float64."""
        return self.normal(*shape) if kind == "normal" else self.uniform(*shape)


def pixel_seed(pixels: np.ndarray) -> int:
    """A seed made of the pixels alone: the same picture always gets the same noise.

    Args:
        pixels: Grey values; another dtype or scale gives another seed.

    Returns:
        The first 63 bits of BLAKE2b over dtype, shape and bytes in C order.
    """
    array = np.ascontiguousarray(pixels)
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    digest = hashlib.blake2b(f"{array.dtype.str}{array.shape}".encode(), digest_size=8)
    digest.update(array.tobytes())
    return int.from_bytes(digest.digest(), "big") >> 1
