"""Arrays in one file, in the format of safetensors: written piece by piece, and memory-mapped.

    8 bytes             length of the header, little-endian
    JSON                dtype, shape and place of each array; `__metadata__` has words about them
    the arrays          one after the other, from a multiple of 64 bytes on

Mapped arrays cost no memory of their own: the operating system reads the pages that are used, keeps
them as long as there is room, and shares them between processes. Writing to one changes no file.
"""

import json
import mmap
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

_ALIGNMENT = 64
_MAX_HEADER = 2**28
_DTYPES = {"U8": np.uint8, "U16": np.uint16, "U32": np.uint32, "I64": np.int64}
_WORDS = {np.dtype(dtype): word for word, dtype in _DTYPES.items()}


@dataclass(frozen=True)
class Form:
    """Type and shape of an array that is still to be written."""

    dtype: np.dtype
    """uint8, uint16, uint32 or int64."""
    shape: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        """Size of the array in bytes."""
        return prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class ArrayFile:
    """The arrays of a file, memory-mapped, and what it says about them."""

    arrays: Mapping[str, np.ndarray]
    about: Mapping[str, str]


def make_header(forms: Mapping[str, Form], about: Mapping[str, str]) -> bytes:
    """What the file begins with; the bytes of the arrays follow in the same order."""
    members: dict[str, object] = {"__metadata__": dict(about)}
    start = 0
    for name, form in forms.items():
        end = start + form.num_bytes
        members[name] = {
            "dtype": _WORDS[form.dtype],
            "shape": form.shape,
            "data_offsets": (start, end),
        }
        start = end
    text = json.dumps(members).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    return struct.pack("<Q", len(text)) + text


def open_arrays(path: Path) -> ArrayFile:
    """Map the arrays of a whole file.

    Raises:
        OSError: It cannot be opened.
        ValueError: It is cut short, or is not what `make_header` begins.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            (length,) = struct.unpack("<Q", file.read(8))
            members = json.loads(file.read(min(length, _MAX_HEADER)))
            about = members.pop("__metadata__")
            start = 8 + length
            arrays, end = {}, 0
            for name, member in members.items():
                form = Form(np.dtype(_DTYPES[member["dtype"]]), tuple(member["shape"]))
                first, end = end, end + form.num_bytes
                if member["data_offsets"] != [first, end] or start + end > size:
                    raise ValueError(f"{name} lies outside the file")
                arrays[name] = np.memmap(file, form.dtype, "c", start + first, form.shape)
        except (struct.error, LookupError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is no file of arrays") from error
        if start + end != size:
            raise ValueError(f"{path} has {size:,} bytes instead of {start + end:,}")
    return ArrayFile(arrays, about)


def expect_random_reads(array: np.ndarray) -> None:
    """Tell the system that an array will be read at random places, if it is mapped from a file.

    Otherwise it reads the pages around each one too, 128 KB or megabytes of them, and where the
    memory is smaller than the array gives them up unused.
    """
    mapped: Any = getattr(array, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_RANDOM"):  # Linux, macOS
        mapped.madvise(mmap.MADV_RANDOM)
