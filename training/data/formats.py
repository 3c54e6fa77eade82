"""Parse files of arrays: IDX, amat, npz and npy, plain or gzipped. Nothing is unpickled."""

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
    """The unsigned bytes of an IDX file, the format of MNIST.

    Raises:
        DatasetError: Another format, or fewer or more bytes than its header promises.
    """
    content = read_content(path)
    if len(content) < 4 or content[:3] != bytes([0, 0, _IDX_BYTES]):
        raise DatasetError(
            f"{path} is not an IDX file of bytes: it starts with {content[:3].hex(' ')!r}, not "
            "with '00 00 08'. Delete it and fetch it again."
        )
    start = 4 + 4 * content[3]
    shape = tuple(int(side) for side in np.frombuffer(content[4:start], dtype=">u4"))
    if len(content) - start != prod(shape):
        raise DatasetError(
            f"{path} is incomplete: its header says {shape}, {prod(shape):,} bytes, and "
            f"{len(content) - start:,} follow. Delete it and fetch it again."
        )
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def read_amat(path: Path, *, columns: int) -> UInt8[np.ndarray, "row column"]:
    """A text matrix of zeros and ones between blanks, one row a line.

    Raises:
        DatasetError: Other characters, or an incomplete row.
    """
    digits = read_content(path).translate(None, delete=b" \t\r\n")
    cells = np.frombuffer(digits, dtype=np.uint8) - np.uint8(ord("0"))
    if cells.size == 0 or cells.size % columns or cells.max() > 1:
        wrong = np.flatnonzero(cells > 1)
        row, column = divmod(int(wrong[0]) if wrong.size else cells.size, columns)
        fault = f"has {column} of {columns} columns"
        if wrong.size:
            fault = f"has a character other than 0 and 1 in column {column}"
        raise DatasetError(
            f"{path} is not a binary amat file: row {row} {fault} (counted from 0). Delete it and "
            "fetch it again."
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
                f"{path} lacks {', '.join(missing)}; it holds {', '.join(arrays)}. Fetch it again, "
                f"or save it with {', '.join(keys)}.",
                received=list(arrays),
                allowed=keys,
            )
        return [arrays[key] for key in keys]


def read_whole_npz(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """Every array of an npz file by its name, and the names of those of Python objects.

    Raises:
        DatasetError: Not an npz file, or a damaged one.
    """
    found, objects = {}, []
    with reading(path), np.load(io.BytesIO(read_content(path)), allow_pickle=False) as arrays:
        for key in arrays:
            try:
                found[key] = arrays[key]
            except ValueError as error:
                if "Object arrays" not in str(error):
                    raise
                objects.append(key)
    return found, objects


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
    """Raise a DatasetError that names the file for whatever a parser raises of a damaged one."""
    try:
        yield
    except _DAMAGE as error:
        raise DatasetError(
            f"{path} cannot be read: {error}. Save or fetch it again, whole and without pickled "
            "objects."
        ) from error
