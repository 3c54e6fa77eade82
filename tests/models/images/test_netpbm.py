"""PBM, PGM, PPM and PFM."""

import io

import numpy as np
import pytest
from PIL import Image

from models.errors import CorruptImage, PayloadTooLarge
from models.images.decoding import decode
from models.images.reading import read_picture
from models.images.spec import ImageSpec

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (5, 7), dtype=np.uint8)
RGB = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (5, 7), dtype=np.uint16)
BITS = RNG.integers(0, 2, (5, 11), dtype=np.uint8)
NEWLINES = np.full((5, 7), ord("\n"), np.uint8)


def read(data, media_type=None):
    return decode(data, background=0, max_pixels=10**6, media_type=media_type)


def words(array):
    return " ".join(map(str, array.ravel())).encode()


@pytest.mark.parametrize(
    ("data", "values", "white"),
    [
        (b"P5 7 5 255\n" + GREY.tobytes(), GREY, 255),
        (b"P5\n# by GIMP 2\n7 # wide\n5\n255\n" + GREY.tobytes(), GREY, 255),
        (b"P5\r\n7 5\r255\n" + GREY.tobytes(), GREY, 255),
        (b"P5#wide\n7 5 255\n" + GREY.tobytes(), GREY, 255),
        (b"P5 7 5 255#levels\n" + GREY.tobytes(), GREY, 255),
        (b"P5\r\n7 5\r\n255\r\n" + GREY.tobytes(), GREY, 255),
        (b"P5\r\n7 5\r\n255\r\n" + GREY.tobytes() + b"\r\n", GREY, 255),
        (b"P5 7 5 255\r\n" + GREY.tobytes(), GREY, 255),
        (b"P5\r\n7 5\r\n255\r" + NEWLINES.tobytes(), NEWLINES, 255),
        (b"P5\r7 5\r255\r" + NEWLINES.tobytes() + b"end", NEWLINES, 255),
        (b"P5 7 5 65535\n" + DEEP.astype(">u2").tobytes(), DEEP, 65535),
        (b"P5 7 5 255\n" + GREY.tobytes() + b"P5 7 5 255\n" + bytes(35), GREY, 255),
        (b"P2 7 5 255\n" + words(GREY), GREY, 255),
        (b"P2 7 5 255 # levels\n" + words(GREY) + b" # the end", GREY, 255),
        (b"P2\n7 5\n65535\n" + words(DEEP), DEEP, 65535),
        (b"P2 7 5 255\n" + words(GREY) + b"\n7 8 9", GREY, 255),
        (b"P4 11 5\n" + np.packbits(1 - BITS, axis=1).tobytes(), 255 * BITS, 255),
        (b"P4\r\n11 5\r\n" + np.packbits(1 - BITS, axis=1).tobytes(), 255 * BITS, 255),
        (b"P1 11 5\n" + words(1 - BITS), 255 * BITS, 255),
        (b"P1 11 5\n" + words(1 - BITS).replace(b" ", b""), 255 * BITS, 255),
        (b"P6 7 5 255\n" + RGB.tobytes(), RGB, 255),
        (b"P3 7 5 255\n" + words(RGB), RGB, 255),
        (
            b"P6 7 5 65535\n" + (RGB * np.uint16(257)).astype(">u2").tobytes(),
            RGB * np.uint16(257),
            65535,
        ),
    ],
)
def test_pixels_are_read_as_they_were_written(data, values, white):
    pixels = read(data)
    expected = np.atleast_3d(values).transpose(2, 0, 1)
    np.testing.assert_array_equal(pixels.values, expected)
    assert pixels.maximum == white
    assert pixels.values.dtype == (np.uint8 if white == 255 else np.uint16)


@pytest.mark.parametrize(
    ("largest", "white"), [(1, 255), (7, 255), (15, 255), (100, 255), (1023, 65535), (4095, 65535)]
)
@pytest.mark.parametrize("binary", [False, True])
def test_another_largest_value_is_scaled_to_white(largest, white, binary):
    values = RNG.integers(0, largest + 1, (5, 7))
    values[0, :2] = 0, largest
    packed = values.astype(np.uint8 if largest < 256 else ">u2").tobytes()
    data = b"P%d 7 5 %d\n" % (5 if binary else 2, largest) + (packed if binary else words(values))
    pixels = read(data)
    assert pixels.maximum == white
    np.testing.assert_array_equal(
        pixels.values[0], np.floor(values / largest * white + 0.5).astype(int)
    )


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_pillows_files_are_read_as_pillow_reads_them(mode):
    buffer = io.BytesIO()
    Image.fromarray(RGB).convert(mode).save(buffer, "PPM")
    with Image.open(buffer) as image:
        expected = np.atleast_3d(np.asarray(image.convert(mode if mode != "1" else "L")))
    np.testing.assert_array_equal(read(buffer.getvalue()).values.transpose(1, 2, 0), expected)


@pytest.mark.parametrize(
    ("scale", "order"),
    [("-1.0", "<f4"), ("1", ">f4"), ("+1.0", ">f4"), ("-1e0", "<f4"), ("-1.000000e+00\r", "<f4")],
)
@pytest.mark.parametrize(("kind", "channels"), [("Pf", 1), ("PF", 3)])
def test_floats_are_read_from_the_bottom_up(kind, channels, scale, order):
    values = RNG.random((5, 7, channels), dtype=np.float32)
    data = f"{kind}\n7 5\n{scale}\n".encode() + values[::-1].astype(order).tobytes()
    pixels = read(data)
    assert pixels.maximum == 1
    np.testing.assert_array_equal(pixels.values, values.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"P5 7 5 255\n" + GREY.tobytes()[:-1], "promises 35 bytes, and 34 follow"),
        (b"P5 7 5 65535\n" + bytes(69), "promises 70 bytes, and 69 follow"),
        (b"P4 11 5\n" + bytes(9), "promises 10 bytes, and 9 follow"),
        (b"P2 7 5 255\n1 2 3", "promises 35 values, and 3 follow"),
        (b"P1 11 5\n0101", "promises 55 values, and 4 follow"),
        (b"P2 1 1 255\n", "promises 1 values, and 0 follow"),
        (b"P2 1 1 255\n \n", "promises 1 values, and 0 follow"),
        (b"P2 2 1 255\n1 x", "a pixel is not a number"),
        (b"P5 2 1 255x\0\0", "no blank follows its header"),
        (b"P5 2 1 255", "no blank follows its header"),
        (b"P2 2 1 255\n1 -1", "a pixel is not a number"),
        (b"P1 2 1\n1 2", "a pixel is neither 0 nor 1"),
        (b"P5 2 1 7\n\x01\x08", "a pixel is 8, and the header says at most 7"),
        (b"P2 2 1 7\n1 99999999999999999999999", "the header says at most 7"),
        (b"P5 2 1 0\n\0\0", "its largest value is 0, not one of 1..65535"),
        (b"P5 2 1 65536\n\0\0", "its largest value is 65536, not"),
        (b"P5 2 1 2.5\n\0\0", "its largest value is 2.5, not"),
        (b"P5 2.5 1 255\n\0\0", "its size is 2.5x1"),
        (b"P5 2\n", "its header has no width, height and largest value"),
        (b"P2 2 1 255\n" + b"#\n" * 20_000, "it has 20,000 comments, over the limit of 16,384"),
        (b"P5 " + b"# " * 1_000_000, "its header has no width"),
        (b"P5 " + b"#\n" * 1_000_000, "its header has no width"),
        (b"P5 #" + b"\n" * 1_000_000, "its header has no width"),
        (b"P5 " + b"1" * 1_000_000, "its header has no width"),
        (b"P5 22222222222222222222222 1 255\n", "its header has no width"),
    ],
)
def test_a_damaged_file_is_refused_with_what_is_wrong(data, fault):
    with pytest.raises(
        CorruptImage, match=r"^The Netpbm picture is damaged or cut short"
    ) as caught:
        read(data)
    assert fault in str(caught.value)


@pytest.mark.parametrize("size", [b"0 5", b"3 -5"])
def test_a_size_of_no_pixels_is_refused(size):
    with pytest.raises(CorruptImage, match="at least one is needed"):
        read(b"P5 " + size + b" 255\n")


def test_a_size_over_the_limit_is_refused_before_pixels_are_looked_for():
    with pytest.raises(PayloadTooLarge, match="9000000000"):
        read(b"P5 9000000000 9000000000 255\n")


@pytest.mark.parametrize("name", ["graymap", "greymap", "anymap", "pixmap", "bitmap", "floatmap"])
def test_its_media_types_are_known(name):
    data = b"P5 7 5 255\n" + GREY.tobytes()
    assert read(data, f"image/x-portable-{name}").values.shape == (1, 5, 7)


def test_floats_outside_0_to_1_are_refused():
    spec = ImageSpec(channels=1, height=2, width=2)
    with pytest.raises(ValueError, match=r"outside 0\.\.1"):
        read_picture(b"Pf\n2 2\n-1\n" + np.full(4, 2, "<f4").tobytes(), spec)


def test_text_that_begins_with_a_letter_and_a_digit_is_no_picture():
    with pytest.raises(ValueError, match="text that begins with 'P2 is a player'"):
        read(b"P2 is a player")
