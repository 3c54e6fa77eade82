"""Pictures and arrays as bytes, for requests."""

import io
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from tests.app.repository import SIDE

PNG = {"Content-Type": "image/png"}
NPY = {"Content-Type": "application/x-npy"}
NPZ = {"Content-Type": "application/x-npz"}
JSON = {"Content-Type": "application/json"}


def binary(n: int = 1, *, side: int = SIDE, seed: int = 0) -> np.ndarray:
    """Binary pictures as bytes 0 and 255, (N, H, W)."""
    drawn = np.random.default_rng(seed).random((n, side, side)) < 0.5
    return drawn.astype(np.uint8) * 255


def encoded(array: np.ndarray, form: str = "PNG", **options: Any) -> bytes:
    """A picture file of (H, W) or (H, W, C) bytes."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, form, **options)
    return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:
    """A .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    """A .npz file."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def read_npy(data: bytes) -> np.ndarray:
    """An array of .npy bytes."""
    array: np.ndarray = np.load(io.BytesIO(data), allow_pickle=False)
    return array


def read_npz(data: bytes) -> dict[str, np.ndarray]:
    """The arrays of .npz bytes."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return dict(arrays)


def read_picture(data: bytes) -> np.ndarray:
    """The pixels of a picture file."""
    return np.asarray(Image.open(io.BytesIO(data)))


def levels(x: Tensor) -> Tensor:
    """Observations as the image spec has them: of 256 levels in 0..1."""
    return ((x.clamp(0, 1) * 255).round() / 255).float()
