"""The bytes of a picture file to upright, opaque pixels; hostile files cost nothing."""

import io
import struct
import subprocess
import sys
import textwrap
import threading
import warnings

import numpy as np
import pytest
from PIL import Image, ImageCms

from models.errors import CorruptImage, PayloadTooLarge, UnsupportedMedia
from models.images import decoding
from models.images.decoding import Pixels, decode
from tests.models.images.picture_files import file_of, with_chunk

RANDOM = np.random.default_rng(0)
COLOUR = RANDOM.integers(0, 256, (6, 5, 3), dtype=np.uint8)
GREY = RANDOM.integers(0, 256, (6, 5), dtype=np.uint8)


def read(
    data: bytes, *, background: int = 0, max_pixels: int = 10_000, media_type: str | None = None
) -> Pixels:
    return decode(data, background=background, max_pixels=max_pixels, media_type=media_type)


# Formats


@pytest.mark.parametrize(
    ("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True}), ("BMP", {}), ("TIFF", {})]
)
def test_formats_without_loss_give_the_pixels_exactly(kind, options):
    pixels = read(file_of(COLOUR, kind, **options))
    np.testing.assert_array_equal(pixels.values, COLOUR.transpose(2, 0, 1))
    assert (pixels.maximum, pixels.steps) == (255, ())


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF"])
def test_grey_pictures_have_one_channel(kind):
    pixels = read(file_of(GREY, kind))
    np.testing.assert_array_equal(pixels.values[0], GREY)


def test_a_jpeg_is_what_pillow_decodes():
    data = file_of(GREY, "JPEG")
    np.testing.assert_array_equal(read(data).values[0], np.asarray(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_an_animation_is_its_first_frame(kind):
    first, second = Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "blue")
    data = file_of(first, kind, save_all=True, append_images=[second])
    assert read(data).values[:, 0, 0].tolist() == pytest.approx([255, 0, 0], abs=2)


@pytest.mark.parametrize(
    ("kind", "name"), [("ICO", "ICO"), ("JPEG2000", "JPEG 2000"), ("AVIF", "AVIF")]
)
def test_pictures_of_other_formats_are_to_be_converted(kind, name):
    words = rf"{name} pictures are not read here; PNG, .*Netpbm are\. Convert it to PNG\.$"
    with pytest.raises(UnsupportedMedia, match=words) as caught:
        read(file_of(Image.new("RGB", (16, 16)), kind))
    assert caught.value.details["received"] == name


def test_bytes_of_no_known_beginning_are_named():
    with pytest.raises(UnsupportedMedia, match="starts with the bytes 00 00 02") as caught:
        read(file_of(Image.new("RGB", (16, 16)), "TGA"))
    assert "Convert it" not in str(caught.value)


def test_what_is_no_picture_is_named_with_the_type_it_was_sent_as():
    with pytest.raises(UnsupportedMedia) as caught:
        read(b"hello", media_type="text/plain; charset=utf-8")
    assert str(caught.value) == (
        "The file is text that begins with 'hello', sent as text/plain, and no picture. Pictures "
        "are PNG, JPEG, WebP, GIF, BMP, TIFF, Netpbm."
    )
    assert caught.value.details["parameter"] == "images"
    assert caught.value.details["received"] == "text/plain"


def test_a_wrong_media_type_is_refused_with_both_names():
    with pytest.raises(UnsupportedMedia, match=r"PNG, but sent as image/jpeg.*image/png") as caught:
        read(file_of(GREY), media_type="image/jpeg")
    assert caught.value.details["received"] == "image/jpeg"
    assert caught.value.details["suggestion"] == "image/png"


@pytest.mark.parametrize(
    "media_type", [None, "", "application/octet-stream", "image/png", "IMAGE/PNG; q=1"]
)
def test_the_right_media_type_or_none_is_accepted(media_type):
    assert read(file_of(GREY), media_type=media_type).values.shape == (1, 6, 5)


def test_no_bytes_are_no_picture():
    with pytest.raises(
        CorruptImage, match=r"0 bytes.*data-binary.*curl -F images=@picture\.png\.$"
    ) as caught:
        read(b"")
    assert caught.value.details["suggestion"] == "curl --data-binary @picture.png"


# Modes


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(GREY > 100),
        Image.fromarray(COLOUR).quantize(4),
        Image.fromarray(np.stack([GREY, GREY // 2], axis=-1), "LA"),
    ],
    ids=["1", "P", "LA"],
)
def test_palette_and_one_bit_are_expanded(image):
    pixels = read(file_of(image))
    flat = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image.convert("RGBA"))
    expected = np.asarray(flat.convert("RGB")).transpose(2, 0, 1)
    np.testing.assert_array_equal(np.broadcast_to(pixels.values, (3, 6, 5)), expected)


def test_cmyk_becomes_rgb():
    image = Image.fromarray(COLOUR).convert("CMYK")
    values = read(file_of(image, "TIFF")).values
    np.testing.assert_array_equal(values.transpose(1, 2, 0), np.asarray(image.convert("RGB")))


def test_ycbcr_becomes_rgb():
    data = file_of(Image.new("YCbCr", (4, 4), (100, 128, 128)), "TIFF")
    assert read(data).values[:, 0, 0].tolist() == [100, 100, 100]


def test_lab_becomes_srgb():
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    transform = ImageCms.buildTransform(srgb, lab, "RGB", "LAB")
    image = ImageCms.applyTransform(Image.new("RGB", (4, 4), (200, 100, 50)), transform)
    values = read(file_of(image, "TIFF")).values
    np.testing.assert_allclose(values[:, 0, 0], [200, 100, 50], atol=3)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_all_kept(kind):
    deep = RANDOM.integers(0, 65536, (6, 5)).astype(np.uint16)
    pixels = read(file_of(Image.fromarray(deep), kind))
    np.testing.assert_array_equal(pixels.values[0], deep)
    assert (pixels.maximum, pixels.values.dtype) == (65535, np.uint16)


def test_thirty_two_bit_integers_are_read_when_they_fit_in_sixteen():
    wide = np.array([[0, 65535]], np.int32)
    assert read(file_of(Image.fromarray(wide), "TIFF")).values.ravel().tolist() == [0, 65535]


@pytest.mark.parametrize("value", [-1, 65536])
def test_thirty_two_bit_integers_beyond_sixteen_bits_are_refused(value):
    wide = np.array([[0, value]], np.int32)
    with pytest.raises(UnsupportedMedia, match=str(value)):
        read(file_of(Image.fromarray(wide), "TIFF"))


def test_floats_are_read_as_they_are():
    pixels = read(file_of(Image.fromarray(np.array([[0.0, 0.3]], np.float32)), "TIFF"))
    assert pixels.values.ravel().tolist() == pytest.approx([0, 0.3])
    assert pixels.maximum == 1


def test_a_tall_picture_is_read_strip_by_strip():
    tall = RANDOM.integers(0, 256, (600, 3), dtype=np.uint8)
    np.testing.assert_array_equal(read(file_of(Image.fromarray(tall))).values[0], tall)


# Transparency


@pytest.mark.parametrize("background", [0, 100, 255])
def test_transparency_is_composed_on_the_background_to_the_nearest(background):
    alpha = RANDOM.integers(0, 256, (6, 5, 1), dtype=np.uint8)
    data = file_of(Image.fromarray(np.concatenate([COLOUR, alpha], axis=2)))
    pixels = read(data, background=background)
    a = alpha / 255
    expected = np.floor(COLOUR * a + background * (1 - a) + 0.5)
    np.testing.assert_array_equal(pixels.values, expected.transpose(2, 0, 1))
    assert [step.words for step in pixels.steps] == [f"alpha on {background}"]


@pytest.mark.parametrize("mode", ["L", "P", "1"])
def test_one_transparent_value_of_a_png_becomes_background(mode):
    image = Image.fromarray(np.array([[0, 255]], np.uint8)).convert(mode)
    transparent = image.getpixel((1, 0))
    pixels = read(file_of(image, transparency=transparent), background=77)
    assert pixels.values[0].tolist() == [[0, 77]]


def test_one_transparent_colour_of_a_png_becomes_background():
    image = Image.new("RGB", (2, 1), (1, 2, 3))
    image.putpixel((1, 0), (9, 9, 9))
    pixels = read(file_of(image, transparency=(9, 9, 9)), background=50)
    assert pixels.values[:, 0].T.tolist() == [[1, 2, 3], [50, 50, 50]]


def test_one_transparent_value_of_sixteen_bits_becomes_background():
    image = Image.fromarray(np.array([[500, 501]], np.uint16))
    png = with_chunk(file_of(image), b"tRNS", struct.pack(">H", 501))
    assert read(png, background=255).values.ravel().tolist() == [500, 65535]


# Limits and damage


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_too_many_pixels_are_refused_by_the_header_alone(kind, monkeypatch):
    data = file_of(Image.new("L", (20, 10)).convert("RGB"), kind)
    monkeypatch.setattr(decoding, "opaque", None)
    with pytest.raises(
        PayloadTooLarge, match=r"20x10 = 200 pixels.*199 .*VAE_MAX_PIXELS"
    ) as caught:
        read(data, max_pixels=199)
    assert caught.value.details == {
        "parameter": "images",
        "received": 200,
        "limit": 199,
        "suggestion": "19x9",
    }


@pytest.mark.parametrize("options", [{"lossless": True}, {"lossless": False}, {"xmp": b"x"}])
def test_every_form_of_webp_tells_its_size_before_it_is_opened(options, monkeypatch):
    data = file_of(Image.new("RGB", (21, 10)), "WEBP", **options)
    monkeypatch.setitem(decoding._OPENERS, "WebP", None)
    with pytest.raises(PayloadTooLarge, match="21x10"):
        read(data, max_pixels=1)


def test_a_picture_of_no_pixels_is_corrupt():
    webp = b"RIFF\x20\0\0\0WEBPVP8 \x14\0\0\0" + bytes(20)
    with pytest.raises(CorruptImage, match="0x0 pixels"):
        read(webp)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_truncated_files_are_corrupt_and_keep_their_cause(kind, part):
    noise = Image.fromarray(RANDOM.integers(0, 256, (60, 60, 3), dtype=np.uint8))
    data = file_of(noise, kind)
    with pytest.raises(CorruptImage) as caught:
        read(data[: int(len(data) * part)])
    assert caught.value.__cause__ is not None
    assert str(caught.value).endswith(
        f"{int(len(data) * part):,} bytes cannot be decoded. Save it again as PNG."
    )
    assert caught.value.details == {"parameter": "images"}


def test_bytes_that_only_begin_like_a_picture_are_corrupt():
    with pytest.raises(CorruptImage, match="BMP"):
        read(b"BMW is a make of car")


def test_random_damage_never_raises_anything_but_our_errors():
    image = Image.fromarray(COLOUR)
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"):
        whole = file_of(image, kind)
        for _ in range(100):
            data = bytearray(whole)
            for place in RANDOM.integers(0, len(data), 4):
                data[place] = RANDOM.integers(0, 256)
            try:
                read(bytes(data))
            except (CorruptImage, UnsupportedMedia, PayloadTooLarge):
                continue


@pytest.mark.parametrize("compression", ["zstd", "lzma", "webp"])
def test_tiff_compressions_that_allocate_at_will_are_refused(compression):
    codes = {"lzma": 34925, "zstd": 50000, "webp": 50001}
    data = file_of(COLOUR, "TIFF", compression="tiff_lzw")
    entry = struct.pack("<HHIH", 259, 3, 1, 5)
    assert data.count(entry) == 1
    lying = data.replace(entry, struct.pack("<HHIH", 259, 3, 1, codes[compression]))
    with pytest.raises(UnsupportedMedia, match=compression):
        read(lying)


def test_a_tiff_tile_far_larger_than_its_picture_is_refused():
    data = file_of(GREY, "TIFF")
    for rewritten, tag in (278, 322), (262, 323):
        place = data.index(struct.pack("<H", rewritten), 8)
        data = data[:place] + struct.pack("<HHII", tag, 4, 1, 40000) + data[place + 12 :]
    with pytest.raises(CorruptImage, match="40000x40000"):
        read(data)


def test_too_many_comments_are_refused_before_they_are_joined():
    gif = file_of(GREY, "GIF")
    start = gif.index(b",", 13)
    data = gif[:start] + b"!\xfe\x01x\0" * 2000 + gif[start:]
    with pytest.raises(CorruptImage, match="2,000"):
        read(data)


def test_a_jpeg_of_very_many_scans_is_refused_before_it_is_decoded(monkeypatch):
    data = file_of(GREY, "JPEG", progressive=True)
    first_scan = data.index(b"\xff\xda")
    bomb = data[:-2] + data[first_scan:-2] * 40 + b"\xff\xd9"
    hidden = b"\xff\x01" + bomb[first_scan:-2]  # a marker without a block before the scans
    monkeypatch.setattr(decoding, "_OPENERS", None)
    for scans in (bomb, bomb[:first_scan] + hidden + b"\xff\xd9"):
        with pytest.raises(CorruptImage, match="64 scans"):
            read(scans)


def test_a_jpeg_of_very_many_blocks_is_refused_before_it_is_decoded(monkeypatch):
    data = file_of(GREY, "JPEG")
    monkeypatch.setattr(decoding, "_OPENERS", None)
    for block in (b"\xff\xe1\x00\x03x", b"\xff\xe1\x00\x08Exif\0\0", b"\xff\xe1\x00\x00"):
        with pytest.raises(CorruptImage, match="1,024 blocks"):
            read(data[:2] + block * 2000 + data[2:])


def test_what_follows_a_jpegs_end_does_not_count():
    data = file_of(GREY, "JPEG")
    film = data + b"\xff\xda\xff\xe1" * 5000  # as telephones append one
    np.testing.assert_array_equal(read(film).values, read(data).values)


@pytest.mark.parametrize("size", [(70_000, 1), (1, 70_000)])
def test_a_very_long_side_is_refused_however_few_the_pixels(size):
    with pytest.raises(PayloadTooLarge, match=r"65,535 pixels\. Resize it to (65535x1|1x65535)"):
        read(file_of(Image.new("L", size)), max_pixels=100_000)


def test_pillows_warnings_stay_inside_and_the_filters_come_back():
    bad_apng = with_chunk(file_of(GREY), b"acTL", bytes(8))
    before = list(warnings.filters)
    threads = [threading.Thread(target=lambda: read(bad_apng)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(read(bad_apng).values[0], GREY)
    assert warnings.filters == before


def test_the_largest_pictures_cost_less_than_200_megabytes():
    script = """
    import io, resource
    from PIL import Image
    from models.images.decoding import decode
    files = []
    for kind, mode in ("PNG", "RGB"), ("JPEG", "CMYK"), ("WEBP", "RGB"), ("TIFF", "RGB"):
        buffer = io.BytesIO()
        options = {"compression": "tiff_lzw"} if kind == "TIFF" else {}
        Image.new(mode, (2048, 1536)).save(buffer, kind, **options)
        files.append(buffer.getvalue())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for data in files:
        decode(data, background=0, max_pixels=4096 * 3072, media_type=None)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 50  # a quarter of the pixels that the default limit admits
