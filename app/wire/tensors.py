"""A tensor on the wire as the Open Inference Protocol has it: in JSON, or as raw bytes behind it.

Sizes are held against the bytes at hand before anything is allocated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from app.errors import InvalidParameter, MalformedRequest
from app.wire.npy import MAX_ARRAY_AXES
from models.errors import PayloadTooLarge, ShapeMismatch, UnsupportedMedia

DTYPES = {
    "BOOL": np.dtype("?"),
    **{f"UINT{bits}": np.dtype(f"<u{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"INT{bits}": np.dtype(f"<i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": np.dtype(f"<f{bits // 8}") for bits in (16, 32, 64)},
}
"""Datatypes of numbers, besides BF16, which numpy does not have."""
DATATYPES = (*DTYPES, "BF16", "BYTES")
_BINARY_ONLY = ("FP16", "BF16")
_ELSEWHERE = ("shared_memory_region", "classification")
"""Extensions of other servers whose parameters change where a tensor is, or what it means."""

TextOrNumbers = np.ndarray | list[bytes | str]
"""An array, or the elements of BYTES: as bytes, or as text where they came in JSON."""


@dataclass
class RawTensors:
    """The raw tensors behind the JSON, taken one after the other."""

    data: memoryview
    max_items: int
    """Most elements of a tensor of BYTES, each of which is a picture."""
    taken: int = field(default=0, init=False)

    def take(self, name: str, size: int) -> memoryview:
        """The bytes of the next tensor.

        Raises:
            MalformedRequest: So many are not left.
        """
        left = len(self.data) - self.taken
        if size > left:
            raise MalformedRequest(
                f"{name} has binary_data_size {size}, and {left} bytes are left of the body. Send "
                "all bytes of each tensor, in the order of the inputs.",
                parameter=name,
                received=size,
                limit=left,
            )
        self.taken += size
        return self.data[self.taken - size : self.taken]


def find_object(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The object that is a member of another one; empty where there is none.

    Raises:
        MalformedRequest: The member is no object.
        InvalidParameter: It asks for an extension that is not here.
    """
    value = document.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise MalformedRequest(f'{name} is no object. Send {{"{name}": {{}}}}.', parameter=name)
    for other in _ELSEWHERE:
        if other in value:
            raise InvalidParameter(
                f"{other} is of an extension that this server does not have. Leave it out.",
                parameter=other,
            )
    return value


def read_tensor(name: str, entry: Mapping[str, Any], raw: RawTensors) -> TextOrNumbers:
    """The tensor of an entry of `inputs`.

    Raises:
        MalformedRequest: It has no data, or they are cut short.
        ShapeMismatch: It does not have as many elements as its shape says.
        UnsupportedMedia: Its datatype is unknown, or has no form in JSON.
        PayloadTooLarge: It is of BYTES, and has more elements than a request may have items.
    """
    shape, datatype = _shape(name, entry), entry.get("datatype")
    if datatype not in DATATYPES:
        raise UnsupportedMedia(
            f"The datatype of {name} is {str(datatype)[:60]}, not one of {', '.join(DATATYPES)}.",
            parameter=name,
            received=str(datatype)[:60],
            allowed=DATATYPES,
        )
    if datatype == "BYTES" and prod(shape) > raw.max_items:
        raise PayloadTooLarge(
            f"{name} has {prod(shape):,} elements, over this server's limit of {raw.max_items:,} "
            f"(VAE_MAX_ITEMS). Send {raw.max_items} per request, with the same seed and "
            f"first_item=0, {raw.max_items}, ...; the result is identical.",
            parameter=name,
            received=prod(shape),
            limit=raw.max_items,
        )
    size = find_object(entry, "parameters").get("binary_data_size")
    if size is not None:
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise MalformedRequest(
                f"The binary_data_size of {name} is no number of bytes.", parameter=name
            )
        return _from_bytes(name, datatype, shape, raw.take(name, size))
    if "data" not in entry:
        raise MalformedRequest(
            f"{name} has no data. Send data, or raw bytes and their binary_data_size.",
            parameter=name,
        )
    return _from_json(name, datatype, shape, entry["data"])


def _shape(name: str, entry: Mapping[str, Any]) -> tuple[int, ...]:
    shape = entry.get("shape")
    sides: tuple[Any, ...] = tuple(shape) if isinstance(shape, list) else (None,)
    if len(sides) > MAX_ARRAY_AXES or not all(type(n) is int and 0 <= n < 2**40 for n in sides):
        raise ShapeMismatch(
            f"The shape of {name} is no list of up to {MAX_ARRAY_AXES} lengths. Send such as "
            "[1, 1, 28, 28].",
            parameter=name,
        )
    return sides


def _from_bytes(
    name: str, datatype: str, shape: tuple[int, ...], data: memoryview
) -> TextOrNumbers:
    if datatype == "BYTES":
        return _counted(name, shape, _split_bytes(name, data, prod(shape)))
    dtype = np.dtype("<u2") if datatype == "BF16" else DTYPES[datatype]
    expected = prod(shape) * dtype.itemsize
    if expected != len(data):
        raise ShapeMismatch(
            f"{name} of shape {list(shape)} and datatype {datatype} has {expected} bytes; its "
            f"binary_data_size is {len(data)}.",
            parameter=name,
            received=len(data),
            allowed=[expected],
        )
    flat = np.frombuffer(data, dtype)
    if datatype == "BF16":
        flat = (flat.astype("<u4") << 16).view("<f4")
    return flat.reshape(shape)


def _split_bytes(name: str, data: memoryview, count: int) -> list[bytes | str]:
    """Elements that each begin with their length in four bytes; no more than one too many."""
    found: list[bytes | str] = []
    at = 0
    while at < len(data) and len(found) <= count:
        end = at + 4 + int.from_bytes(data[at : at + 4], "little")
        if end > len(data) or at + 4 > len(data):
            raise MalformedRequest(
                f"{name} is cut short in its element {len(found)}. Begin each element of BYTES "
                "with its length, four bytes in little-endian order.",
                parameter=name,
            )
        found.append(bytes(data[at + 4 : end]))
        at = end
    return found


def _from_json(name: str, datatype: str, shape: tuple[int, ...], data: Any) -> TextOrNumbers:
    if datatype in _BINARY_ONLY:
        raise UnsupportedMedia(
            f"{name} is {datatype}, which has no form in JSON. Send raw bytes, or FP32.",
            parameter=name,
            received=datatype,
            suggestion="FP32",
        )
    if not isinstance(data, list):
        raise MalformedRequest(f"The data of {name} are no list.", parameter=name)
    if datatype == "BYTES":
        texts = [entry for entry in data if isinstance(entry, str)]
        if len(texts) < len(data):
            raise MalformedRequest(
                f"{name} is BYTES, and its data hold something else than texts. Send a list of "
                "texts, pictures in base64.",
                parameter=name,
            )
        return _counted(name, shape, texts)
    try:
        array = np.asarray(data)
    except (ValueError, OverflowError):
        array = np.asarray(None)
    dtype = DTYPES[datatype]
    is_whole = dtype.kind != "f" and array.size > 0
    if array.dtype.kind not in ("biu" if is_whole else "biuf"):
        kinds = "whole numbers" if is_whole else "numbers"
        raise ShapeMismatch(
            f"{name} is {datatype}, and its data are no {kinds} in lists of equal length.",
            parameter=name,
        )
    with np.errstate(over="ignore"):
        numbers = array.astype(dtype)
    if is_whole and not np.array_equal(numbers, array):
        raise ShapeMismatch(
            f"The data of {name} do not fit into {datatype}. Choose a wider datatype.",
            parameter=name,
        )
    if numbers.size != prod(shape):
        raise _wrong_count(name, shape, numbers.size)
    return numbers.reshape(shape)


def _counted(
    name: str, shape: tuple[int, ...], elements: Sequence[bytes | str]
) -> list[bytes | str]:
    if len(elements) != prod(shape):
        raise _wrong_count(name, shape, len(elements))
    return list(elements)


def _wrong_count(name: str, shape: tuple[int, ...], count: int) -> ShapeMismatch:
    return ShapeMismatch(
        f"{name} has {count} elements; its shape {list(shape)} says {prod(shape)}.",
        parameter=name,
        received=count,
        allowed=[prod(shape)],
    )


def to_bytes(datatype: str, array: np.ndarray) -> bytes:
    """A tensor's raw bytes."""
    if datatype != "BYTES":
        return array.astype(DTYPES[datatype], copy=False).tobytes()
    texts = [text.encode() for text in array.reshape(-1).tolist()]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)
