"""Pictures that EXIF or XMP turn: upright, or told that the EXIF is damaged."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from models.images.decoding import Pixels, decode
from tests.models.images.picture_files import file_of, with_chunk

GREY = np.random.default_rng(0).integers(0, 256, (6, 5), dtype=np.uint8)


def read(data: bytes) -> Pixels:
    return decode(data, background=0, max_pixels=10_000, media_type=None)


def words(pixels: Pixels) -> list[str]:
    return [step.words for step in pixels.steps]


def exif_of(tag: int, kind: int, count: int, value: int) -> bytes:
    entry = struct.pack("<HHII", tag, kind, count, value)
    return b"II*\0" + struct.pack("<IH", 8, 1) + entry + b"\0" * 4


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_pictures_are_turned_upright(orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(GREY)
    data = file_of(image, kind, exif=exif)
    with Image.open(io.BytesIO(file_of(image, exif=exif))) as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened))
    pixels = read(data)
    np.testing.assert_array_equal(pixels.values[0], expected)
    assert words(pixels) == ([] if orientation == 1 else [f"exif-orientation {orientation}"])


def test_big_endian_exif_is_read():
    exif = b"MM\0*" + struct.pack(">IHHHIHH", 8, 1, 0x0112, 3, 1, 6, 0) + b"\0" * 4
    assert words(read(file_of(GREY, exif=exif))) == ["exif-orientation 6"]


def test_xmp_says_the_orientation_where_exif_does_not():
    xmp = b'<x tiff:Orientation="6"/>'
    data = file_of(GREY, "JPEG", xmp=xmp, exif=exif_of(0x0100, 3, 1, 5))
    assert read(data).values.shape == (1, 5, 6)


@pytest.mark.parametrize(
    "exif",
    [
        b"rubbish",
        b"II*\0",
        exif_of(0x0112, 3, 1, 9),
        exif_of(0x010E, 2, 1000, 5000),
        exif_of(0x0112, 3, 1, 6)[:-8],
    ],
    ids=["no header", "cut header", "orientation 9", "tag outside", "cut entry"],
)
def test_damaged_exif_is_ignored_and_said(exif):
    pixels = read(with_chunk(file_of(GREY), b"eXIf", exif))
    np.testing.assert_array_equal(pixels.values[0], GREY)
    assert words(pixels) == ["exif damaged, ignored"]


def tiff_with(tag, kind, count, value):
    """A grey TIFF of 2x2 pixels with one more entry in its directory."""
    usual = [(256, 3, 1, 2), (257, 3, 1, 2), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    usual += [(273, 4, 1, 134), (277, 3, 1, 1), (278, 4, 1, 2), (279, 4, 1, 4)]
    entries = sorted([*usual, (tag, kind, count, value)])
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", 10) + packed + bytes(4) + b"\1\2\3\4"


@pytest.mark.parametrize(
    "entry",
    [
        (0x0112, 3, 1, 0),
        (0x0112, 3, 1, 99),
        (0x0112, 2, 1, ord("2")),
        (700, 4, 1, 2),
        (270, 2, 5000, 99_999_999),
        (34675, 7, 1_500_000, 99_999_999),
        (34665, 4, 1, 99_999_999),
    ],
)
def test_a_damaged_entry_of_a_tiff_leaves_its_pixels_as_they_are(entry):
    pixels = decode(tiff_with(*entry), background=0, max_pixels=9, media_type=None)
    assert pixels.values.tolist() == [[[1, 2], [3, 4]]]
    assert pixels.steps == ()
