"""Chunks of a PNG that say nothing of pixels."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from models.images.decoding import decode
from models.images.png_chunks import without_metadata

PIXELS = np.arange(40 * 30 * 3, dtype=np.uint8).reshape(40, 30, 3)
LONG = b"a" * 1_500_000
XMP = b"XML:com.adobe.xmp"


def png_of(pixels=PIXELS):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def chunk(kind, content, checksum=None):
    checksum = zlib.crc32(kind + content) if checksum is None else checksum
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def insert(added, *, at_end=False):
    png = png_of()
    place = len(png) - 12 if at_end else 33
    return png[:place] + added + png[place:]


def read(data):
    return decode(data, background=0, max_pixels=10**6, media_type=None)


@pytest.mark.parametrize("at_end", [False, True])
@pytest.mark.parametrize(
    "added",
    [
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(LONG)),
        chunk(b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(LONG)),
        chunk(b"iTXt", XMP + b"\0\1\0\0\0" + zlib.compress(LONG)),
        chunk(b"iTXt", XMP + b"\0\1\0\0\0not compressed"),
        chunk(b"iTXt", XMP + b"\0\0\0\0\0" + LONG),
        chunk(b"iTXt", b""),
        chunk(b"iCCP", b"profile\0\0" + zlib.compress(LONG)),
        chunk(b"iCCP", b"profile\0\7" + zlib.compress(LONG)),
        chunk(b"tEXt", b"Comment\0" + LONG),
        b"".join(chunk(b"tEXt", b"%d\0" % i + LONG[:1_000_000]) for i in range(65)),
        chunk(b"tEXt", b"Comment\0words", checksum=1),
        *(chunk(kind, b"") for kind in (b"gAMA", b"cHRM", b"sRGB", b"pHYs")),
        chunk(b"prVt", np.random.default_rng(1).bytes(1_500_000)),
        *(chunk(kind, b"abcdefg", checksum=1) for kind in (b"tIME", b"bKGD", b"sBIT", b"caBX")),
        chunk(b"acTL", b"a") + chunk(b"fcTL", b""),
        chunk(b"acTL", b"abcdefgh", checksum=1) + chunk(b"fdAT", b"a"),
    ],
)
def test_metadata_of_any_size_and_state_leaves_the_picture_readable(added, at_end):
    pixels = read(insert(added, at_end=at_end))
    np.testing.assert_array_equal(pixels.values.transpose(1, 2, 0), PIXELS)
    assert pixels.steps == ()


@pytest.mark.parametrize("is_compressed", [False, True])
def test_xmp_still_says_which_side_is_up(is_compressed):
    xmp = b'<rdf tiff:Orientation="6"/>' + LONG
    text = zlib.compress(xmp) if is_compressed else xmp
    data = insert(chunk(b"iTXt", XMP + b"\0" + bytes([is_compressed, 0, 0, 0]) + text))
    pixels = read(data)
    assert [step.words for step in pixels.steps] == ["exif-orientation 6"]
    assert pixels.values.shape == (3, 30, 40)


def test_exif_is_kept_and_wins_over_xmp():
    exif = Image.Exif()
    exif[0x0112] = 3
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "PNG", exif=exif)
    png = buffer.getvalue()
    xmp = chunk(b"iTXt", XMP + b'\0\0\0\0\0<rdf tiff:Orientation="6"/>')
    pixels = read(png[:33] + xmp + png[33:])
    assert [step.words for step in pixels.steps] == ["exif-orientation 3"]


@pytest.mark.parametrize("content", [b"", b"II*\0\x08\0\0\0", np.random.default_rng(2).bytes(100)])
def test_exif_that_disagrees_with_its_checksum_is_ignored_and_says_so(content):
    pixels = read(insert(chunk(b"eXIf", content, checksum=1)))
    np.testing.assert_array_equal(pixels.values.transpose(1, 2, 0), PIXELS)
    assert [step.words for step in pixels.steps] == ["exif damaged, ignored"]


def test_the_first_frame_of_an_animation_is_read():
    buffer = io.BytesIO()
    frames = [Image.fromarray(255 - PIXELS)]
    Image.fromarray(PIXELS).save(buffer, "PNG", save_all=True, append_images=frames)
    np.testing.assert_array_equal(read(buffer.getvalue()).values.transpose(1, 2, 0), PIXELS)


def test_a_file_without_metadata_is_not_copied():
    data = png_of()
    assert without_metadata(data) == (data, b"")
    assert without_metadata(data)[0] is data


def test_a_file_cut_within_metadata_keeps_what_comes_before():
    whole = insert(chunk(b"tEXt", b"Comment\0words"))
    assert without_metadata(whole[:44])[0] == whole[:44]
    assert without_metadata(whole[:50])[0] == whole[:33]
    assert without_metadata(whole[:33] + struct.pack(">I", 99) + b"tEXt1234")[0] == whole[:33]
