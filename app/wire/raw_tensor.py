"""Tensors as raw bytes in C order, little-endian; shape and type stand beside them."""

from math import prod
from typing import Literal

import numpy as np

from app.operations.remote import FloatType
from models.errors import OutOfSupport, ShapeMismatch

TENSOR_TYPE = "tensor/binary"
"""The media type by which diffusers names such a body."""
TensorType = FloatType | Literal["uint8"]
_STORED = {"float16": "<f2", "float32": "<f4", "bfloat16": "<u2", "uint8": "u1"}


def read_tensor(data: bytes, shape: tuple[int, ...], dtype: FloatType) -> np.ndarray:
    """The tensor of a body, as float32.

    Raises:
        ShapeMismatch: The body is not as long as shape and type say.
    """
    stored = np.dtype(_STORED[dtype])
    wanted = max(0, prod(shape) * stored.itemsize)
    if min(shape) < 1 or len(data) != wanted:
        query = "&".join(f"shape={side}" for side in shape[:8])
        raise ShapeMismatch(
            f"The body has {len(data)} bytes; {list(shape)} of {dtype} are {wanted}. Send its own "
            f"shape and dtype, as {query}&dtype={dtype}.",
            parameter="body",
            received=len(data),
            allowed=[wanted],
        )
    values = np.frombuffer(data, stored).reshape(shape)
    if dtype == "bfloat16":  # the upper half of a float32
        return (values.astype("<u4") << 16).view("<f4")
    return values.astype(np.float32)


def write_tensor(values: np.ndarray, dtype: TensorType) -> bytes:
    """The bytes of an array of numbers.

    Raises:
        OutOfSupport: A number is not finite in that type.
    """
    with np.errstate(over="ignore"):
        stored = np.ascontiguousarray(values, "<f4" if dtype == "bfloat16" else _STORED[dtype])
    if not np.isfinite(stored).all():
        raise OutOfSupport(
            f"The answer holds numbers that are not finite as {dtype}. Send dtype=float32, or a "
            "smaller scaling_factor.",
            parameter="dtype",
            received=dtype,
            suggestion="float32",
        )
    if dtype == "bfloat16":  # the upper half, rounded to the nearest, halves to even
        bits = stored.view("<u4")
        stored = ((bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16).astype("<u2")
    return stored.tobytes()
