"""Segments of a JPEG that say nothing of pixels."""

import io
import os
import struct

import numpy as np
import pytest
from PIL import Image

from models.errors import CorruptImage
from models.images.decoding import decode
from models.images.jpeg_segments import without_metadata

LONG = os.urandom(60_000)
RGB = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)


def jpeg_of(**options):
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, "JPEG", quality=95, **options)
    return buffer.getvalue()


JPEG = jpeg_of()


def segment(marker, content):
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def insert(added):
    return JPEG[:2] + added + JPEG[2:]


def read(data):
    return decode(data, background=0, max_pixels=10**6, media_type=None)


@pytest.mark.parametrize(
    "added",
    [
        b"".join(segment(0xFE, LONG) for _ in range(25)),
        b"".join(segment(0xE2, b"ICC_PROFILE\0" + bytes([i, 25]) + LONG) for i in range(1, 26)),
        b"".join(segment(0xEB, b"JP" + LONG) for _ in range(25)),
        segment(0xE2, b"ICC_PROFILE\0"),
        segment(0xE2, b"MPF\0" + LONG[:50]),
        segment(0xED, b"Photoshop 3.0\x008BIM\4"),
        segment(0xE0, b"JFIF\0"),
        segment(0xEE, b"Adobe"),
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + LONG),
        b"\xff\xff\xff" + segment(0xFE, b"words"),
    ],
)
def test_metadata_of_any_size_and_state_leaves_the_picture_readable(added):
    pixels = read(insert(added))
    np.testing.assert_array_equal(pixels.values, read(JPEG).values)
    assert pixels.steps == ()


def test_what_says_how_colours_are_stored_and_which_side_is_up_is_kept():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = jpeg_of(exif=exif, comment=b"words", icc_profile=LONG)
    kept = without_metadata(data)
    assert len(kept) < len(data) - len(LONG)
    assert b"JFIF\0" in kept
    assert [step.words for step in read(data).steps] == ["exif-orientation 6"]
    assert read(data).values.shape == (3, 30, 40)


def test_colours_that_adobe_stores_otherwise_are_read_as_before():
    buffer = io.BytesIO()
    Image.fromarray(RGB).convert("CMYK").save(buffer, "JPEG", quality=95)
    data = buffer.getvalue()
    assert b"Adobe" in without_metadata(data)
    with Image.open(buffer) as image:
        expected = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    np.testing.assert_array_equal(read(data).values, expected)


def test_a_file_without_metadata_is_not_copied():
    assert without_metadata(JPEG) is JPEG


@pytest.mark.parametrize("size", [2, 5, 30, 300])
def test_a_file_cut_short_is_refused(size):
    with pytest.raises(CorruptImage):
        read(b"\xff\xd8\xff" + insert(segment(0xFE, LONG))[3:size])
