"""Arrays whose headers lie, or that hold something else than numbers."""

import io
import struct
import zipfile
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from app.wire.npy import MAX_NPY_HEADER_BYTES, parse_npy, parse_npz
from models.errors import CorruptImage, UnsupportedMedia
from tests.app.pictures import binary, npy, npz


def lying_npy(shape: str, *, descr: str = "'|u1'", data: bytes = b"") -> bytes:
    """A .npy file whose header says what it likes."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def pickled_npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00\xff\xff",
        b"\x93NUMPY\x09\x00" + bytes(100),
        lying_npy("(1000000, 1000000, 1000000)"),
        lying_npy("(18446744073709551616,)"),
        lying_npy("(-1, 8)"),
        lying_npy("(-1, -8)", data=bytes(8)),
        lying_npy("(0, 99999999999999999999, 8)"),
        lying_npy("(0, 2147483647, 2147483647, 2147483647)"),
        lying_npy("(2, 8, 8)", data=bytes(64)),
        lying_npy("(1, 8, 8)", data=bytes(65)),
        lying_npy("(1, 1, 1, 1, 1, 1)", data=bytes(1)),
        lying_npy("'x'"),
        lying_npy("(" * 200 + ")" * 200),
        lying_npy("(1,)", descr="'nonsense'"),
        b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + bytes(64),
        b"not numpy at all",
    ],
)
def test_an_npy_whose_header_is_broken_or_lies_is_corrupt(data: bytes) -> None:
    with pytest.raises(CorruptImage, match="npy") as refusal:
        parse_npy(data, parameter="latents")
    assert "numpy.save" in str(refusal.value)
    assert "Error" not in str(refusal.value)
    assert refusal.value.details["parameter"] == "latents"


@pytest.mark.parametrize(
    ("data", "found", "numbers"),
    [
        (pickled_npy(), "Python objects", "array"),
        (npy(np.zeros(2, dtype=np.complex64)), "complex numbers", "array.real"),
        (npy(np.array(["a"])), "text", "array"),
        (npy(np.zeros(2, dtype=[("a", "u1")])), "records", "array['a']"),
        (npy(np.zeros(2, dtype="datetime64[s]")), "datetime64", "array"),
        (npy(np.zeros(2, dtype=np.longdouble)), "float128", "array"),
    ],
)
def test_an_npy_of_no_plain_numbers_is_unsupported(data: bytes, found: str, numbers: str) -> None:
    with pytest.raises(UnsupportedMedia, match=f"The npy array holds {found}") as refusal:
        parse_npy(data)
    fix = f"numpy.save(file, {numbers}.astype('float32'), allow_pickle=False)"
    assert f"Save numbers: {fix}." in str(refusal.value)
    assert refusal.value.details["parameter"] == "body"
    assert refusal.value.details["suggestion"] == fix


@pytest.mark.parametrize(
    ("parse", "data", "media_type"),
    [
        (parse_npy, npz(images=binary()), "application/x-npz"),
        (parse_npy, b'{"images": []}', "application/json"),
        (partial(parse_npz, max_bytes=10**9), npy(binary()), "application/x-npy"),
    ],
)
def test_bytes_of_another_type_get_the_content_type_to_send(
    parse: Callable[[bytes], object], data: bytes, media_type: str
) -> None:
    with pytest.raises(CorruptImage, match=f"Content-Type: {media_type}\\.$") as refusal:
        parse(data)
    assert refusal.value.details == {
        "parameter": "body",
        "suggestion": f"-H 'Content-Type: {media_type}'",
    }


def test_several_arrays_get_the_name_that_the_operation_takes() -> None:
    with pytest.raises(CorruptImage, match="holds a, b; one is to be named latents") as refusal:
        parse_npz(npz(a=binary(), b=binary()), max_bytes=10**9, takes=("latents",))
    details = refusal.value.details
    assert (details["parameter"], details["allowed"]) == ("body", ["latents"])
    assert details["suggestion"] == "numpy.savez(file, latents=array)"


def test_an_npy_is_read_without_a_copy_and_in_native_order() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    data = npy(array)
    assert np.array_equal(parse_npy(data), array)
    assert parse_npy(data).base is not None
    swapped = parse_npy(npy(array.astype(">f4")))
    assert swapped.dtype.isnative
    assert np.array_equal(swapped, array)


def zipped(members: dict[str, bytes], **options: Any) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **options) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def damaged(data: bytes) -> bytes:
    middle = data.index(b"NUMPY") + 100
    return data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04",
        npz(images=binary())[:-30],
        damaged(npz(images=binary())),
        zipped({}),
        zipped({f"{i}.npy": npy(np.zeros(1)) for i in range(2)}),
        zipped({"images.npy": lying_npy("(1000000, 1000000)")}),
        zipped({"images.npy": b"not numpy"}),
        zipped({"images.npy": npy(binary())}, compression=zipfile.ZIP_DEFLATED)[:60],
    ],
    ids=[  # bytes would be named after the time that zip files carry
        *("empty", "head alone", "cut", "damaged", "no member", "two members"),
        *("huge shape", "no array", "cut while compressed"),
    ],
)
def test_an_npz_that_is_broken_or_lies_is_corrupt(data: bytes) -> None:
    with pytest.raises(CorruptImage, match=r"npz|npy") as refusal:
        parse_npz(data, max_bytes=10**9)
    assert "numpy.save" in str(refusal.value)
    assert "Bad" not in str(refusal.value)
    assert refusal.value.details["parameter"] in ("body", "images")


def test_a_zip_of_pictures_gets_the_form_to_send() -> None:
    data = zipped({"a.png": b"\x89PNG", "b c.png": b"\x89PNG"})
    with pytest.raises(CorruptImage, match=r"no npy array, but a\.png, b c\.png") as refusal:
        parse_npz(data, max_bytes=10**9)
    assert refusal.value.details["suggestion"] == "curl -F images=@a.png -F 'images=@b c.png'"


def test_an_npz_with_a_pickle_in_it_is_unsupported() -> None:
    with pytest.raises(UnsupportedMedia):
        parse_npz(zipped({"images.npy": pickled_npy()}), max_bytes=10**9)


def test_a_compressed_npz_is_read() -> None:
    data = zipped({"images.npy": npy(binary())}, compression=zipfile.ZIP_DEFLATED)
    (array,) = parse_npz(data, max_bytes=10**9).values()
    assert np.array_equal(array, binary())


@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "<i4", ">i4", "<u8", ">f2", "<f4", ">f8"])
@pytest.mark.parametrize("shape", [(), (0,), (6,), (2, 3), (1, 1, 2, 3)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_what_numpy_writes_is_read_as_numpy_reads_it(
    dtype: str, shape: tuple[int, ...], order: str
) -> None:
    values = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    data = npy(np.asarray(values.astype(dtype), order=order))  # type: ignore[call-overload]
    found, expected = parse_npy(data), np.load(io.BytesIO(data))
    assert found.dtype == expected.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("shape", ["(2,3,)", "( 2, 3)", "(2, 3, )", "[2, 3]", "(6)"])
def test_a_header_in_another_spelling_is_read_as_numpy_reads_it(shape: str) -> None:
    data = lying_npy(shape, data=bytes(6))
    try:
        expected = np.load(io.BytesIO(data))
    except ValueError:
        with pytest.raises(CorruptImage):
            parse_npy(data)
    else:
        np.testing.assert_array_equal(parse_npy(data), expected)


def test_a_header_whose_length_is_another_is_not_taken_for_a_usual_one() -> None:
    data = bytearray(npy(np.zeros(6, np.uint8)))
    data[8:10] = struct.pack("<H", MAX_NPY_HEADER_BYTES)
    with pytest.raises(CorruptImage):
        parse_npy(bytes(data))
