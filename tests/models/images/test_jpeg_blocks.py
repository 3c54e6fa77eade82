"""Blocks of a JPEG that say nothing of pixels."""

import contextlib
import struct
import time

import numpy as np
import pytest
from PIL import Image

from models.errors import InputError
from models.images.decoding import decode
from models.images.jpeg_blocks import without_metadata
from tests.models.images.picture_files import file_of

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
JPEG = file_of(PIXELS, "JPEG")
NOISE = np.random.default_rng(1).bytes(60_000)


def block(marker, content):
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content


def insert(added):
    return JPEG[:2] + added + JPEG[2:]


def read(data):
    return decode(data, background=0, max_pixels=10**6, media_type=None)


@pytest.mark.parametrize(
    "added",
    [
        block(0xFE, NOISE) * 25,
        block(0xFE, b"words") * 2000,
        b"".join(block(0xE2, b"ICC_PROFILE\0" + bytes([i, 25]) + NOISE) for i in range(1, 26)),
        block(0xE2, b"ICC_PROFILE\0"),
        block(0xE2, b"MPF\0" + NOISE[:90]),
        block(0xED, b"Photoshop 3.0\0" + NOISE),
        block(0xED, b"Photoshop 3.0\0" + b"8BIM\x04"),
        block(0xEC, b"Ducky") + block(0xEF, NOISE),
        block(0xE0, b"JFIF\0") + block(0xEE, b"Adobe"),
        block(0xE0, b"JFXX\0" + NOISE) + block(0xEE, NOISE),
    ],
)
def test_metadata_of_any_size_and_state_leaves_the_picture_readable(added):
    pixels = read(insert(added))
    np.testing.assert_array_equal(pixels.values, read(JPEG).values)
    assert pixels.steps == ()


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_what_says_how_pixels_are_to_be_read_is_kept(mode):
    image = Image.fromarray(PIXELS).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 6
    data = file_of(image, "JPEG", exif=exif, icc_profile=NOISE, comment=b"words")
    plain = file_of(image, "JPEG", exif=exif)
    assert len(data) > len(plain) + 60_000
    assert [step.words for step in read(data).steps] == ["exif-orientation 6"]
    np.testing.assert_array_equal(read(data).values, read(plain).values)


def test_a_file_without_metadata_is_not_copied():
    assert without_metadata(JPEG) is JPEG


def test_a_scan_is_kept_whatever_it_holds():
    scan = JPEG.rindex(b"\xff\xda")
    data = JPEG[:scan] + JPEG[scan:-2] + b"\xff\xfe\x00\x04ab" + b"\xff\xd9"
    assert without_metadata(data) == data


def test_a_file_cut_within_metadata_keeps_what_comes_before():
    assert without_metadata(JPEG[:2] + b"\xff\xfe\xff\xffwords") == JPEG[:2]


def test_blocks_without_a_length_cost_time_by_their_number_alone():
    def seconds(blocks: int) -> float:
        data = insert(b"\xff\xfe\x00\x00" * blocks)
        started = time.process_time()
        with contextlib.suppress(InputError):
            read(data)
        return time.process_time() - started

    few, many = (min(seconds(count) for _ in range(3)) for count in (5_000, 40_000))
    assert many < 24 * few  # 8 times as many; by the square of their number it would be 64
