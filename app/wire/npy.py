"""Arrays as numpy writes them, .npy and .npz, read without trust.

Sizes are read from headers and held against the bytes at hand before anything is allocated. Arrays
of Python objects are not read.
"""

import io
import re
import shlex
import zipfile
import zlib
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from app.wire.lookalikes import describe_place, find_likeness, refuse_never_read
from app.wire.media_types import NPY, NPZ, MediaType
from models.errors import CorruptImage, InputError, PayloadTooLarge, UnsupportedMedia

NPY_MAGIC = b"\x93NUMPY"
NPZ_MEMBERS = ("images.npy", "latents.npy")
MAX_ARRAY_AXES = 5
MAX_NUMBERS = 2**40
"""Product of an array's axes: beside an axis of 0 any others agree with the bytes at hand."""
MAX_NPY_HEADER_BYTES = 10_000
_COUNT = rb"(?:0|[1-9][0-9]{0,17})"
_USUAL_HEADER = re.compile(
    rb"\x93NUMPY\x01\0(?s:(..))\{'descr': '([<>|][biuf][1248])', 'fortran_order': (False|True), "
    rb"'shape': \((|%b,|%b(?:, %b)+)\), \} *\n" % (_COUNT, _COUNT, _COUNT)
)
"""The header as numpy writes it; any other is left to numpy's reader."""
_HEADER_START = 10
_DTYPES = {
    name.encode(): np.dtype(name)
    for name in (
        *("|b1", "|i1", "|u1"),
        *(f"{order}{kind}{size}" for order in "<>" for kind in "iu" for size in (2, 4, 8)),
        *(f"{order}f{size}" for order in "<>" for size in (2, 4, 8)),
    )
}


def parse_npy(data: bytes, *, parameter: str = "body") -> np.ndarray:
    """Parse a .npy file: a view on its bytes, whose number the header must agree with.

    Args:
        data: The file.
        parameter: Where it stands: body, images, latents.

    Raises:
        CorruptImage: The header is broken, or promises another number of bytes.
        UnsupportedMedia: It holds objects, text or complex numbers.
    """
    shape, fortran_order, dtype, offset = _npy_header(data, parameter)
    if dtype.hasobject or dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise _no_numbers(dtype, parameter)
    expected, held = prod(shape) * dtype.itemsize, len(data) - offset
    impossible = any(n < 0 for n in shape) or prod(max(n, 1) for n in shape) > MAX_NUMBERS
    if len(shape) > MAX_ARRAY_AXES or impossible or expected != held:
        raise CorruptImage(
            f"The npy header says shape {shape[:8]} of {dtype}, {expected} bytes; {held} bytes "
            "follow. The file is cut short or damaged: write it again with numpy.save.",
            parameter=parameter,
        )
    flat = np.frombuffer(data, dtype=dtype, offset=offset, count=prod(shape))
    array = flat.reshape(shape, order="F" if fortran_order else "C")
    return array.astype(dtype.newbyteorder("="), copy=False)


def _no_numbers(dtype: np.dtype[Any], parameter: str) -> UnsupportedMedia:
    numbers = "array"
    if dtype.names:
        numbers = f"array[{dtype.names[0][:60]!r}]"
    elif dtype.kind == "c":
        numbers = "array.real"
    kinds = {"O": "Python objects", "U": "text", "S": "text", "c": "complex numbers"}
    found = "records" if dtype.names else kinds.get(dtype.kind, str(dtype)[:60])
    fix = f"numpy.save(file, {numbers}.astype('float32'), allow_pickle=False)"
    return UnsupportedMedia(
        f"The npy array holds {found}; bool, integers and floats of at most 64 bits are read. "
        f"Save numbers: {fix}.",
        parameter=parameter,
        received=str(dtype)[:60],
        allowed=("bool", "integers and floats of at most 64 bits"),
        suggestion=fix,
    )


def _npy_header(data: bytes, parameter: str) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """(shape, Fortran order, dtype, where the numbers begin)."""
    usual = _USUAL_HEADER.match(data)
    dtype = _DTYPES.get(usual[2]) if usual else None
    if usual and dtype and usual.end() == _HEADER_START + int.from_bytes(usual[1], "little"):
        shape = tuple(map(int, usual[4].rstrip(b",").split(b", "))) if usual[4] else ()
        return shape, usual[3] == b"True", dtype, usual.end()
    return _any_npy_header(data, parameter)


def _any_npy_header(
    data: bytes, parameter: str
) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
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
        raise _no_array(data, NPY, parameter, "numpy.save(file, array)") from error
    return tuple(int(n) for n in shape), bool(fortran_order), dtype, stream.tell()


def _no_array(data: bytes, sent_as: MediaType, parameter: str, fix: str) -> CorruptImage:
    """What is wrong with bytes that do not begin, or go on, as npy or npz."""
    refuse_never_read(data, parameter=parameter)
    likeness = find_likeness(data)
    if likeness is not None and likeness[1] != sent_as.media_type:
        words, media_type = likeness
        return CorruptImage(
            f"{describe_place(parameter)} is {words}, not {sent_as.name}. Send it as the body with "
            f"Content-Type: {media_type}.",
            parameter=parameter,
            suggestion=f"-H 'Content-Type: {media_type}'",
        )
    fault = "is cut short or damaged" if likeness else f"does not begin as {sent_as.name} does"
    return CorruptImage(
        f"{describe_place(parameter)}, sent as {sent_as.name}, {fault}. Write it with {fix}.",
        parameter=parameter,
        suggestion=fix,
    )


def parse_npz(
    data: bytes, *, max_bytes: int, takes: Sequence[str] = ("images", "latents")
) -> dict[str, np.ndarray]:
    """Parse a .npz file: its arrays `images` and `latents`, or its only one, whatever its name.

    Arrays beside `images` or `latents` are ignored, so that an answer can be sent back.

    Args:
        data: The file.
        max_bytes: Largest size that it may unpack to.
        takes: The kinds of items that the operation takes.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = _members(archive, max_bytes, takes)
            return {info.filename.removesuffix(".npy"): _member(archive, info) for info in members}
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        fix = f"numpy.savez(file, {takes[0]}=array)"
        raise _no_array(data, NPZ, "body", fix) from error


def _members(
    archive: zipfile.ZipFile, max_bytes: int, takes: Sequence[str]
) -> list[zipfile.ZipInfo]:
    """The members to read, their sizes checked."""
    infos = archive.infolist()
    chosen = [info for info in infos if info.filename in NPZ_MEMBERS] or infos
    if len(chosen) != 1 and (not chosen or chosen[0].filename not in NPZ_MEMBERS):
        names = [info.filename.removesuffix(".npy")[:60] for info in infos[:8]]
        fix = f"numpy.savez(file, {takes[0]}=array)"
        if takes[0] == "images" and infos and not any(i.filename.endswith(".npy") for i in infos):
            raise _zipped_pictures(names)
        raise CorruptImage(
            f"The npz body holds {', '.join(names) or 'no array'}; one is to be named "
            f"{' or '.join(takes)}. Write it with {fix}.",
            parameter="body",
            received=names,
            allowed=takes,
            suggestion=fix,
        )
    unpacked = sum(info.file_size for info in chosen)
    if unpacked > max_bytes:
        raise PayloadTooLarge(
            f"The npz body unpacks to {unpacked} bytes, over this server's limit of {max_bytes} "
            "(VAE_MAX_BODY_BYTES). Send fewer images per request.",
            parameter="body",
            received=unpacked,
            limit=max_bytes,
        )
    return chosen


def _zipped_pictures(names: list[str]) -> CorruptImage:
    fix = " ".join(["curl", *(f"-F {shlex.quote(f'images=@{name}')}" for name in names[:2])])
    return CorruptImage(
        f"The zip file in the body holds no npy array, but {', '.join(names)}. Send pictures as "
        f"files of a form: {fix}.",
        parameter="body",
        received=names,
        suggestion=fix,
    )


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    """One array; never more than the size that its header says is unpacked."""
    name = info.filename.removesuffix(".npy")[:60]
    with archive.open(info) as stream:
        head = stream.read(min(info.file_size, MAX_NPY_HEADER_BYTES + 64))
        shape, _, dtype, offset = _npy_header(head, name)
        if not dtype.hasobject and offset + prod(shape) * dtype.itemsize != info.file_size:
            raise CorruptImage(
                f"The npz member {info.filename[:60]!r} is not as long as its npy header says. "
                "Write the file again with numpy.savez.",
                parameter=name,
            )
        return parse_npy(head + stream.read(info.file_size - len(head)), parameter=name)
