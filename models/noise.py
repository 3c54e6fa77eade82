"""Noise as a pure function of (seed, item, purpose, position).

Each seed, item and purpose has a stream of its own, from a counter-based generator (Philox 4x64,
Salmon et al. 2011, as in numpy). So an item gets the same noise alone and in any batch, 16 samples
are the first of 64, and the sizes of chunks do not matter.
"""

import hashlib
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from models.errors import InputError

Purpose = Literal[
    "posterior",
    "prior",
    "likelihood",
    "binarization",
    "training",
    "label",
    "refinement",
    "proposal",
    "annealing",
    "pilot",
]
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
    "refinement": 6,
    "proposal": 7,
    "annealing": 8,
    "pilot": 9,
}


class _Shared(threading.local):
    """A generator for each thread: to open another one takes longer than a short draw."""

    def __init__(self) -> None:
        self.bits = np.random.Philox(key=0)
        self.generator = np.random.Generator(self.bits)


_SHARED = _Shared()


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
        self._key = seed, item << 8 | _CODES[purpose]
        self._state: Any = None
        """State of Philox behind the first draw."""
        self._own: np.random.Generator | None = None

    def normal(self, *shape: int) -> np.ndarray:
        """Standard normals, float64."""
        return self._draw(np.random.Generator.standard_normal, shape)

    def uniform(self, *shape: int) -> np.ndarray:
        """Uniforms in [0, 1), float64."""
        return self._draw(np.random.Generator.random, shape)

    def draw(self, kind: NoiseKind, shape: Sequence[int]) -> np.ndarray:
        """Noise of a distribution's `noise_kind`, float64."""
        return self.normal(*shape) if kind == "normal" else self.uniform(*shape)

    def _draw(self, draw: Callable[..., np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
        """The first draw, mostly the only one, is of a shared generator; later ones of an own."""
        if self._state is None:
            shared = _SHARED
            shared.bits.state = _beginning(self._key)
            drawn = draw(shared.generator, shape)
            self._state = shared.bits.state
            return drawn
        if self._own is None:
            bits = np.random.Philox(key=0)
            bits.state = self._state
            self._own = np.random.Generator(bits)
        return draw(self._own, shape)


def first_uniforms(seeds: Sequence[int], purpose: Purpose, shape: Sequence[int]) -> np.ndarray:
    """What `NoiseStream(seed, 0, purpose).uniform(*shape)` gives of each seed, without its cost."""
    drawn = np.empty((len(seeds), *shape))
    shared = _SHARED
    for row, seed in zip(drawn, seeds, strict=True):
        shared.bits.state = _beginning((seed, _CODES[purpose]))
        shared.generator.random(out=row)
    return drawn


def _beginning(key: tuple[int, int]) -> Any:
    """Philox's state at the beginning of a stream."""
    none = (0, 0, 0, 0)
    return {
        "bit_generator": "Philox",
        "state": {"counter": none, "key": key},
        "buffer": none,
        "buffer_pos": 4,
        "has_uint32": 0,
        "uinteger": 0,
    }


def pixel_seed(pixels: np.ndarray) -> int:
    """A seed made of the pixels alone: the same picture always gets the same noise.

    Args:
        pixels: Grey values; another dtype or scale gives another seed.

    Returns:
        The first 63 bits of BLAKE2b over dtype, shape and bytes in C order.
    """
    return pixel_seeds(pixels[None])[0]


def pixel_seeds(pictures: np.ndarray) -> list[int]:
    """The `pixel_seed` of each picture of a batch."""
    array = np.ascontiguousarray(pictures)
    little = array.dtype.newbyteorder("<")
    if array.dtype != little:
        array = array.astype(little)
    begun = _begun_digest(little.str, array.shape[1:])
    seeds = []
    for picture in array:
        digest = begun.copy()
        digest.update(picture)
        seeds.append(int.from_bytes(digest.digest(), "big") >> 1)
    return seeds


@lru_cache(maxsize=64)
def _begun_digest(dtype: str, shape: tuple[int, ...]) -> hashlib.blake2b:
    return hashlib.blake2b(f"{dtype}{shape}".encode(), digest_size=8)
