"""Arrays as numpy writes them, .npy and .npz, read without trust; it knows no request.

Sizes are read from headers and held against the bytes at hand before anything is allocated, and
nothing is unpickled.
"""

import io
import zipfile
import zlib
from math import prod
from typing import Any

import numpy as np

from models.errors import CorruptImage, InputError, PayloadTooLarge, UnsupportedMedia

NPY_MAGIC = b"\x93NUMPY"
NPZ_MEMBERS = ("images.npy", "latents.npy")
MAX_ARRAY_AXES = 5
MAX_NUMBERS = 2**40
"""Product of an array's axes: beside an axis of 0 any others agree with the bytes at hand."""
MAX_NPY_HEADER_BYTES = 10_000


def parse_npy(data: bytes) -> np.ndarray:
    """A .npy file as a view on its bytes, after its header was held against their number.

    Raises:
        CorruptImage: The header is broken, or promises another number of bytes.
        UnsupportedMedia: It holds objects, text or complex numbers.
    """
    shape, fortran_order, dtype, offset = _npy_header(data)
    if dtype.hasobject or dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise UnsupportedMedia(
            f"An npy array holds booleans, integers or floats of at most 64 bits; received dtype "
            f"{str(dtype)[:60]!r}. Convert it; nothing is unpickled here."
        )
    expected, held = prod(shape) * dtype.itemsize, len(data) - offset
    impossible = any(n < 0 for n in shape) or prod(max(n, 1) for n in shape) > MAX_NUMBERS
    if len(shape) > MAX_ARRAY_AXES or impossible or expected != held:
        raise CorruptImage(
            f"An npy header says what follows it; this one says shape {shape[:8]} of {dtype}, "
            f"{expected} bytes, and {held} bytes follow. Save the array again."
        )
    flat = np.frombuffer(data, dtype=dtype, offset=offset, count=prod(shape))
    array = flat.reshape(shape, order="F" if fortran_order else "C")
    return array.astype(dtype.newbyteorder("="), copy=False)


def _npy_header(data: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """(shape, Fortran order, dtype, where the numbers begin)."""
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        readers = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        reader = readers[version]
        shape, fortran_order, dtype = reader(stream, max_header_size=MAX_NPY_HEADER_BYTES)
    except (ValueError, KeyError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise CorruptImage(
            "An npy body begins with numpy's header of format 1.0 or 2.0; this one cannot be "
            f"read ({type(error).__name__}). Save the array again with numpy.save."
        ) from error
    return tuple(int(n) for n in shape), bool(fortran_order), dtype, stream.tell()


def parse_npz(data: bytes, *, max_bytes: int) -> dict[str, np.ndarray]:
    """A .npz file: its arrays `images` and `latents`, or a single one of any name.

    Others beside them are not read, so that an answer can be sent back.

    Args:
        data: The file.
        max_bytes: What it may unpack to.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = _members(archive, max_bytes)
            return {info.filename.removesuffix(".npy"): _member(archive, info) for info in members}
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise CorruptImage(
            f"An npz body is a zip file of npy files; this one cannot be read "
            f"({type(error).__name__}). Save it again with numpy.savez."
        ) from error


def _members(archive: zipfile.ZipFile, max_bytes: int) -> list[zipfile.ZipInfo]:
    """The members to read, their sizes checked."""
    infos = archive.infolist()
    chosen = [info for info in infos if info.filename in NPZ_MEMBERS] or infos
    if len(chosen) != 1 and (not chosen or chosen[0].filename not in NPZ_MEMBERS):
        raise CorruptImage(
            f"An npz body has an array `images` or `latents`, or a single one; received "
            f"{len(infos)} of other names. Name it."
        )
    unpacked = sum(info.file_size for info in chosen)
    if unpacked > max_bytes:
        raise PayloadTooLarge(
            f"An npz body unpacks to at most {max_bytes} bytes (VAE_MAX_BODY_BYTES); this one says "
            f"{unpacked}. Send fewer items."
        )
    return chosen


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    """One array; never more than the size that its header says is unpacked."""
    with archive.open(info) as stream:
        head = stream.read(min(info.file_size, MAX_NPY_HEADER_BYTES + 64))
        shape, _, dtype, offset = _npy_header(head)
        if not dtype.hasobject and offset + prod(shape) * dtype.itemsize != info.file_size:
            raise CorruptImage(
                f"An npz member is as long as its npy header says; {info.filename[:60]!r} is not. "
                "Save it again with numpy.savez."
            )
        return parse_npy(head + stream.read(info.file_size - len(head)))
