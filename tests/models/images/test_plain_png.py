"""Plain PNG files: the same pixels as by Pillow's reader, to which all others are left."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from models.images.plain_png import open_plain, read_plain

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (9, 7), dtype=np.uint8)
ROWS = b"".join(bytes([index % 5]) + row.tobytes() for index, row in enumerate(GREY))  # all filters
HEAD = (7, 9, 8, 0, 0, 0, 0)


def chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def png(head: tuple[int, ...] = HEAD, pixels: tuple[bytes, ...] = (zlib.compress(ROWS),)) -> bytes:
    blocks = b"".join(chunk(b"IDAT", block) for block in pixels)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", *head))
    return start + blocks + chunk(b"IEND", b"")


def opened(data: bytes, *, max_pixels: int = 100, max_side: int = 50) -> Image.Image | None:
    return open_plain(data, max_pixels=max_pixels, max_side=max_side)


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "LA", "RGBA"])
def test_a_plain_file_has_the_pixels_of_pillows_reader(mode):
    noise = RANDOM.integers(0, 256, (9, 7, 4), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(buffer, "PNG")
    found = opened(buffer.getvalue())
    expected = Image.open(buffer)
    assert (found.mode, found.size) == (expected.mode, expected.size)
    assert found.tobytes() == expected.tobytes()


def test_every_filter_is_undone():
    assert opened(png()).tobytes() == Image.open(io.BytesIO(png())).tobytes()


def filtered(kinds: bytes, *, channels: int = 1) -> bytes:
    """A plain PNG of random rows, each with its filter's byte before it."""
    noise = RANDOM.integers(0, 256, (len(kinds), 7 * channels), dtype=np.uint8)
    rows = b"".join(bytes([kind]) + row.tobytes() for kind, row in zip(kinds, noise, strict=True))
    head = (7, len(kinds), 8, 0 if channels == 1 else 2, 0, 0, 0)
    return png(head, (zlib.compress(rows),))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kinds", [bytes(9), b"\2\1\2\0\0\1\2\2\0"], ids=["none", "sub and up"])
def test_pixels_of_few_filters_are_read_without_pillow(kinds, channels):
    data = filtered(kinds, channels=channels)
    expected = np.asarray(Image.open(io.BytesIO(data))).reshape(9, 7, channels)
    found = read_plain(data, max_pixels=100, max_side=50)
    np.testing.assert_array_equal(found, expected.transpose(2, 0, 1))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(filtered(b"\0\0\3"), id="a filter that takes a row's own pixels"),
        pytest.param(filtered(b"\1" * 9), id="many filtered rows"),
        pytest.param(png((7, 9, 8, 4, 0, 0, 0)), id="transparency"),
        pytest.param(png(pixels=(zlib.compress(ROWS)[:-9],)), id="cut short"),
        pytest.param(png(pixels=(zlib.compress(ROWS + b"x"),)), id="too many pixels"),
        pytest.param(png(pixels=(b"x" * 40,)), id="no deflate"),
        pytest.param(b"\0" * 100, id="no PNG"),
        pytest.param(filtered(bytes(20)), id="over the limit"),
    ],
)
def test_other_pixels_are_left_to_pillow(data):
    assert read_plain(data, max_pixels=100, max_side=50) is None


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(png()[:40], id="a part of the head"),
        pytest.param(png()[:-1], id="cut short"),
        pytest.param(png() + b"x", id="more behind the end"),
        pytest.param(png(pixels=(b"", zlib.compress(ROWS))), id="two blocks"),
        pytest.param(png(pixels=(b"",)), id="no pixels"),
        pytest.param(png(pixels=(zlib.compress(ROWS)[:-9],)), id="pixels cut short"),
        pytest.param(png(pixels=(zlib.compress(b"\7" * len(ROWS)),)), id="an unknown filter"),
        pytest.param(png((7, 9, 8, 3, 0, 0, 0)), id="a palette"),
        pytest.param(png((7, 9, 16, 0, 0, 0, 0)), id="16 bits"),
        pytest.param(png((7, 9, 8, 0, 1, 0, 0)), id="an unknown compression"),
        pytest.param(png((7, 9, 8, 0, 0, 0, 1)), id="interlaced"),
        pytest.param(png((0, 9, 8, 0, 0, 0, 0)), id="no width"),
        pytest.param(png((7, 0, 8, 0, 0, 0, 0)), id="no height"),
        pytest.param(png()[:29] + b"\0\0\0\0" + png()[33:], id="a wrong checksum"),
        pytest.param(png()[:33] + chunk(b"tEXt", b"a\0b") + png()[33:], id="another chunk"),
        pytest.param(b"\0" * 100, id="no PNG"),
    ],
)
def test_what_is_not_plain_and_whole_is_left_to_pillows_reader(data):
    assert opened(data) is None


def test_what_is_over_a_limit_is_left_to_the_reader_that_refuses_it():
    assert opened(png(), max_pixels=62) is None
    assert opened(png(), max_side=8) is None
    assert opened(png(), max_side=6) is None
