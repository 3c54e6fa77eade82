"""Files of arrays, IDX, amat and npz, to numpy arrays, plain or gzipped.

It knows no data set and no split; it never unpickles.
"""

import gzip
import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from training.errors import DatasetError

_IDX_BYTES = 0x08
_DAMAGE = (
    OSError,
    MemoryError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    zlib.error,
    zipfile.BadZipFile,
    tarfile.TarError,
)


def read_idx(path: Path) -> UInt8[np.ndarray, "..."]:
    """The unsigned bytes of an IDX file, the format of MNIST and its kin.

    Raises:
        DatasetError: Another format, or fewer or more bytes than its header promises.
    """
    content = read_content(path)
    if len(content) < 4 or content[:3] != bytes([0, 0, _IDX_BYTES]):
        raise DatasetError(
            f"An IDX file of bytes starts with 00 00 08; {path} starts with "
            f"{content[:3].hex(' ')}. Fetch it again."
        )
    start = 4 + 4 * content[3]
    shape = tuple(int(side) for side in np.frombuffer(content[4:start], dtype=">u4"))
    if len(content) - start != prod(shape):
        raise DatasetError(
            f"{path} promises an array of shape {shape}; received {len(content) - start} bytes "
            f"for its {prod(shape)}. Fetch it again."
        )
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def read_amat(path: Path, *, columns: int) -> UInt8[np.ndarray, "row column"]:
    """A text matrix of zeros and ones between blanks, one row a line.

    Raises:
        DatasetError: Anything but zeros, ones and blanks, or an incomplete row.
    """
    digits = read_content(path).translate(None, delete=b" \t\r\n")
    cells = np.frombuffer(digits, dtype=np.uint8) - np.uint8(ord("0"))
    if cells.size == 0 or cells.size % columns or cells.max() > 1:
        raise DatasetError(
            f"A binary amat file holds rows of {columns} zeros and ones; received {cells.size} "
            f"characters in {path}, not all of them such rows. Fetch it again."
        )
    return cells.reshape(-1, columns)


def read_npz(path: Path, *keys: str) -> list[np.ndarray]:
    """The named arrays of an npz file, in the order asked for.

    Raises:
        DatasetError: Not an npz file, a missing array, or one that would have to be unpickled.
    """
    with reading(path), np.load(io.BytesIO(read_content(path)), allow_pickle=False) as arrays:
        missing = [key for key in keys if key not in arrays]
        if missing:
            raise DatasetError(
                f"{path} holds the arrays {', '.join(keys)}; received {', '.join(arrays)}. "
                "Fetch or save it again."
            )
        return [arrays[key] for key in keys]


def read_whole_npz(path: Path) -> dict[str, np.ndarray]:
    """Every array of an npz file by its name, but none that would have to be unpickled.

    Raises:
        DatasetError: Not an npz file, or a damaged one.
    """
    found = {}
    with reading(path), np.load(io.BytesIO(read_content(path)), allow_pickle=False) as arrays:
        for key in arrays:
            try:
                found[key] = arrays[key]
            except ValueError as error:
                if "Object arrays" not in str(error):
                    raise
    return found


def read_npy(path: Path) -> np.ndarray:
    """The array of an npy file.

    Raises:
        DatasetError: Not an npy file, a damaged one, or one that would have to be unpickled.
    """
    with reading(path):
        return np.lib.format.read_array(io.BytesIO(read_content(path)), allow_pickle=False)


def read_content(path: Path) -> bytes:
    """A file's bytes, without the gzip wrapping if it has one.

    Raises:
        DatasetError: It cannot be read, or its wrapping is damaged.
    """
    with reading(path):
        content = path.read_bytes()
        return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what a damaged file makes its parsers raise into a DatasetError that names it."""
    try:
        yield
    except _DAMAGE as error:
        raise DatasetError(
            f"{path} must be a readable, whole file of its format without pickled objects; "
            f"received: {error}. Fetch it again."
        ) from error
