"""Parse files of arrays: IDX, amat, npz and npy, plain or gzipped. Nothing is unpickled."""

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import UInt8

from models.memory import usable_memory
from training.errors import DatasetError

MAPPED_FROM = 2**26
"""Arrays of so many bytes are read from their file as they are used, if they are not compressed."""

_IDX_BYTES = 0x08
_GZIP = b"\x1f\x8b"
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
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

    Arrays of `MAPPED_FROM` bytes and more are mapped where they are not compressed.

    Raises:
        DatasetError: Not an npz file, or a damaged one.
    """
    found, objects = {}, []
    with reading(path), path.open("rb") as raw:
        file = raw if not _is_gzipped(path) else io.BytesIO(read_content(path))
        places = _members(file)
        with np.load(file, allow_pickle=False) as arrays:
            for key in arrays:
                place = places.get(f"{key}.npy")
                mapped = None if place is None or file is not raw else _map_member(path, place)
                try:
                    found[key] = arrays[key] if mapped is None else mapped
                except ValueError as error:
                    if "Object arrays" not in str(error):
                        raise
                    objects.append(key)
    return found, objects


def read_npy(path: Path) -> np.ndarray:
    """The array of an npy file, mapped from `MAPPED_FROM` bytes on.

    Raises:
        DatasetError: Not an npy file, a damaged one, or one that would have to be unpickled.
    """
    with reading(path):
        mapped = None if _is_gzipped(path) else map_array(path, 0, path.stat().st_size)
        if mapped is not None:
            return mapped
        return np.lib.format.read_array(io.BytesIO(read_content(path)), allow_pickle=False)


def memory_doubt(path: Path) -> str:
    """That the compressed arrays of an npz file take half of the memory, in words; empty if not.

    Raises:
        DatasetError: They take more than there is, or it is no npz file.
    """
    with reading(path), path.open("rb") as file:
        members = {} if _is_gzipped(path) else _members(file)
    size = sum(one.file_size for one in members.values() if one.compress_type)
    if 2 * size <= usable_memory():
        return ""
    stem = path.with_suffix("").name
    said = (
        f"{path} is compressed, and its arrays take {size / 1e9:.1f} of "
        f"{usable_memory() / 1e9:.1f} GB of memory. Arrays that are not compressed are read "
        f"from disk as they are used. Store them: (mkdir '{stem}' && cd '{stem}' && unzip "
        f"'{path.resolve()}' && zip -0 '../{stem}-stored.npz' *.npy)"
    )
    if size > usable_memory():
        raise DatasetError(said, received=size, limit=usable_memory())
    return said


def map_array(path: Path, start: int, size: int) -> np.ndarray | None:
    """Map the array in an npy format that begins at a byte of a file.

    Args:
        path: The file.
        start: Where the format begins.
        size: Bytes from there on.

    Returns:
        The array, which cannot be written; None for one of fewer than `MAPPED_FROM` bytes, of
        Python objects, or of another version of the format.

    Raises:
        ValueError: It is cut short.
    """
    with path.open("rb") as file:
        file.seek(start)
        read_header = _HEADERS.get(np.lib.format.read_magic(file))
        if read_header is None:
            return None
        shape, is_fortran, dtype = read_header(file)
        first, num_bytes = file.tell(), prod(shape) * dtype.itemsize
    if dtype.hasobject or num_bytes < MAPPED_FROM:
        return None
    if first + num_bytes > start + size:
        raise ValueError(f"it is cut short: {num_bytes:,} bytes of {shape} are not all there")
    return np.memmap(path, dtype, "r", first, shape, "F" if is_fortran else "C")


def _map_member(path: Path, member: zipfile.ZipInfo) -> np.ndarray | None:
    if member.compress_type != zipfile.ZIP_STORED:
        return None
    with path.open("rb") as file:
        file.seek(member.header_offset)
        names = struct.unpack("<26xHH", file.read(30))
    return map_array(path, member.header_offset + 30 + sum(names), member.file_size)


def _members(file: IO[bytes]) -> dict[str, zipfile.ZipInfo]:
    with zipfile.ZipFile(file) as archive:
        return {one.filename: one for one in archive.infolist()}


def _is_gzipped(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == _GZIP


def read_content(path: Path) -> bytes:
    """A file's bytes, without the gzip wrapping if it has one.

    Raises:
        DatasetError: It cannot be read, or its wrapping is damaged.
    """
    with reading(path):
        content = path.read_bytes()
        return gzip.decompress(content) if content[:2] == _GZIP else content


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
