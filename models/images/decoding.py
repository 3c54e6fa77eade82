"""The bytes of a picture file to its pixels: upright, opaque, grey or RGB.

PNG, JPEG, WebP, GIF (first frame), BMP, TIFF and Netpbm (PBM, PGM, PPM, PFM) are read, nothing else
(`unread.py` names the others). Sizes are read from the
header before pixels are allocated; `reading.py` resizes and binarises. What a file's form becomes:

    palette, 1 bit, CMYK, YCbCr, Lab        8-bit grey or sRGB; colour profiles are not applied
    16-bit grey (TIFF of 9..16 bits too)    all 16 bits; white is 65535, whatever the bits in use
    16-bit colour or grey with alpha        its high bytes, as Pillow decodes it
    Netpbm                                  8 or 16 bits as its largest value says (`netpbm.py`)
    32-bit integers                         as 16-bit grey if they fit, else refused
    32-bit floats                           as they are; white is 1
    transparency                            composed on a grey background
"""

import io
import math
import re
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    ImageCms,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
from PIL import Image as PillowImage
from PIL.ImageFile import ImageFile

from models.errors import CorruptImage, InputError, PayloadTooLarge, UnsupportedMedia
from models.images import jpeg_blocks, libtiff, netpbm, png_chunks
from models.images.orientation import ORIENTATION_TAG, find_orientation, orientation_steps, upright
from models.images.preprocessing import Step
from models.images.unread import describe_file, other_picture

# Pillow warns from 89,478,485 pixels on; a limit above would let that warning out.
MAX_PIXELS = 89_478_485

_BAD_EXIF = Step("ignore-exif", "exif damaged, ignored")
_STRIP = 256
_MAX_BLOCKS = 1024
MAX_SIDE = 65535
MAX_DEEP = 65535
"""White of 16 bits."""
_GREY_MODES = ("1", "L", "LA", "La")
_CLEAR_MODES = ("RGBA", "RGBa", "LA", "La", "PA")
_BITS_PER_SAMPLE = 0x0102
_TILE_SIZE = 0x0142, 0x0143
_SMALL_TILE = 1 << 20
# The others (LZMA, Zstandard, WebP in TIFF) allocate what the file asks for.
_TIFF_COMPRESSIONS = {
    *("raw", "tiff_ccitt", "group3", "group4", "tiff_lzw", "tiff_jpeg", "jpeg"),
    *("tiff_adobe_deflate", "tiff_raw_16", "packbits", "tiff_thunderscan", "tiff_deflate"),
}


@dataclass(frozen=True)
class Pixels:
    """What a picture file holds.

    Attributes:
        values: (channels, height, width), 1 or 3 channels, of uint8, uint16 or float32.
        maximum: The value of white: 255, 65535, or 1 for floats.
        steps: What was done to get here.
        maximum_in_use: White by the bits that the file says are in use, where these are fewer.
    """

    values: Shaped[np.ndarray, "channel height width"]
    maximum: int
    steps: tuple[Step, ...]
    maximum_in_use: int | None = None


def decode(data: bytes, *, background: int, max_pixels: int, media_type: str | None) -> Pixels:
    """Decode one picture file.

    Args:
        data: The whole file.
        background: Grey under transparent pixels, 0 black to 255 white.
        max_pixels: Largest width x height.
        media_type: The sender's name for the format; with None or application/octet-stream, the
            first bytes decide.

    Raises:
        UnsupportedMedia: Another format, or not the one that `media_type` names.
        PayloadTooLarge: The header says more pixels than `max_pixels`.
        CorruptImage: Truncated or damaged.
    """
    kind = _kind(data, media_type)
    if kind == "Netpbm":
        return _decode_netpbm(data, max_pixels)
    with _pillow_kept_quiet():
        try:
            return _decode(data, kind, background, max_pixels)
        except InputError:
            raise
        except Exception as error:  # hostile bytes raise anything at all inside a decoder
            raise CorruptImage(
                f"The {kind} picture is damaged or cut short: its {len(data):,} bytes cannot be "
                "decoded. Save it again as PNG.",
                parameter="images",
            ) from error


def _decode_netpbm(data: bytes, max_pixels: int) -> Pixels:
    header = netpbm.read_header(data)
    check_size((header.width, header.height), max_pixels)
    values, white = netpbm.read_pixels(data, header)
    return Pixels(values, white, ())


def _decode(data: bytes, kind: str, background: int, max_pixels: int) -> Pixels:
    data, xmp = _prepare(data, kind, max_pixels)
    image = _OPENERS[kind](io.BytesIO(data))
    check_size(image.size, max_pixels)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        _check_tiff(image)
        if not isinstance(image.info.get("xmp"), bytes):
            image.info.pop("xmp", None)
        orientation = image.getexif().get(ORIENTATION_TAG)
        image.load()  # and turns it upright
        steps = orientation_steps(orientation)
        turn = 1
    else:
        image.load()
        orientation, damaged = find_orientation({"xmp": xmp, **image.info})
        steps = (_BAD_EXIF,) if damaged else orientation_steps(orientation)
        turn = orientation
    values, maximum, alpha_steps = _opaque(image, background)
    in_use = _maximum_in_use(image) if maximum == MAX_DEEP else None
    return Pixels(upright(values, turn), maximum, (*steps, *alpha_steps), in_use)


def _maximum_in_use(image: ImageFile) -> int | None:
    """White of a deep TIFF of 9 to 15 bits, which Pillow reads into 16."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return None
    bits: tuple[int, ...] = image.tag_v2.get(_BITS_PER_SAMPLE, ())
    return 2 ** bits[0] - 1 if bits and 8 < bits[0] < 16 else None


def _prepare(data: bytes, kind: str, max_pixels: int) -> tuple[bytes, bytes]:
    """The bytes without metadata that is never used, guarded against what costs much; and XMP."""
    if kind == "PNG":
        return png_chunks.without_metadata(data)
    if kind == "JPEG":
        data = jpeg_blocks.without_metadata(data)
        jpeg_blocks.check_blocks(data)
    elif kind == "GIF":
        _check_gif_blocks(data)
    elif kind == "WebP":  # its constructor allocates the canvas
        check_size(_webp_size(data), max_pixels)
    elif kind == "TIFF":
        libtiff.silence()
    return data, b""


# Which format


def picture_kind(data: bytes) -> str | None:
    """Name of the format of a picture that is read here, from its first bytes."""
    return next((name for name, magic in _MAGIC.items() if re.match(magic, data, re.DOTALL)), None)


def _kind(data: bytes, media_type: str | None) -> str:
    """The format's name, from its first bytes; `media_type` must agree."""
    if not data:
        raise CorruptImage(
            "The picture is empty: it has 0 bytes. Send the file's content: curl --data-binary "
            "@picture.png, or in a form curl -F images=@picture.png.",
            parameter="images",
            suggestion="curl --data-binary @picture.png",
        )
    kind = picture_kind(data)
    claimed = (media_type or "").split(";")[0].strip().lower()
    if kind is None:
        raise _not_read(data, claimed)
    if claimed not in ("", "application/octet-stream", *PICTURE_MEDIA_TYPES[kind]):
        fitting = PICTURE_MEDIA_TYPES[kind][0]
        raise UnsupportedMedia(
            f"The file is {kind}, but sent as {claimed}. Send it as {fitting} or as "
            "application/octet-stream.",
            parameter="Content-Type",
            received=claimed,
            allowed=(*PICTURE_MEDIA_TYPES[kind], "application/octet-stream"),
            suggestion=fitting,
        )
    return kind


def _not_read(data: bytes, claimed: str) -> UnsupportedMedia:
    """The fault of bytes that are no picture, or one of a format that is not read."""
    return UnsupportedMedia(
        why_not_read(data, claimed),
        parameter="images",
        received=claimed or other_picture(data) or None,
        allowed=_MAGIC,
    )


def why_not_read(data: bytes, claimed: str = "") -> str:
    """What a file is that `picture_kind` does not know, and what to do.

    Args:
        data: Its first kilobyte, or all of it.
        claimed: The media type that it was sent as.
    """
    formats, sent = ", ".join(_MAGIC), f", sent as {claimed}" if claimed else ""
    if other := other_picture(data):
        return f"{other} pictures are not read here; {formats} are. Convert it to PNG."
    if words := describe_file(data):
        return f"The file is {words}{sent}, and no picture. Pictures are {formats}."
    return (
        f"The file is in no format that is read here: it starts with the bytes "
        f"{data[:8].hex(' ')}{sent}. Pictures are {formats}."
    )


# Guards


def check_size(size: tuple[int, int], max_pixels: int) -> None:
    """Refuse a picture by its (width, height), before its pixels are allocated.

    Resampling a side needs memory by the side's own length, however few pixels there are.

    Raises:
        CorruptImage: No pixels.
        PayloadTooLarge: Too many, or too long a side.
    """
    width, height = size
    if width < 1 or height < 1:
        raise CorruptImage(
            f"The picture's header says {width}x{height} pixels; at least one is needed. Save it "
            "again.",
            parameter="images",
        )
    if width * height <= max_pixels and max(size) <= MAX_SIDE:
        return
    scale = min(math.sqrt(max_pixels / (width * height)), MAX_SIDE / max(size))
    fitting = f"{max(1, int(width * scale))}x{max(1, int(height * scale))}"
    if width * height > max_pixels:
        fault = f"The picture has {width}x{height} = {width * height:,} pixels; the limit is "
        setting = " (VAE_MAX_PIXELS)" if max_pixels < MAX_PIXELS else ""
        fault += f"{max_pixels:,}{setting}."
        received, limit = width * height, max_pixels
    else:
        fault = f"The picture is {width}x{height}; the limit of a side is {MAX_SIDE:,} pixels."
        received, limit = max(size), MAX_SIDE
    raise PayloadTooLarge(
        f"{fault} Resize it to {fitting}.",
        parameter="images",
        received=received,
        limit=limit,
        suggestion=fitting,
    )


def _check_gif_blocks(data: bytes) -> None:
    """Pillow joins comments one by one, in time that grows with the square of their number."""
    if (comments := data.count(b"!\xfe")) > _MAX_BLOCKS:
        raise CorruptImage(
            f"The GIF has about {comments:,} comments; the limit is {_MAX_BLOCKS:,}. Save it again "
            "without comments.",
            parameter="images",
            received=comments,
            limit=_MAX_BLOCKS,
        )


def _webp_size(data: bytes) -> tuple[int, int]:
    """Width and height from the first chunk (RFC 9649)."""
    form = data[12:16]
    if form == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if form == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    little = int.from_bytes
    return little(data[24:27], "little") + 1, little(data[27:30], "little") + 1


def _check_tiff(image: TiffImagePlugin.TiffImageFile) -> None:
    """Refuse what would make the decoder allocate more than the picture needs."""
    compression = image.info.get("compression")
    if compression not in _TIFF_COMPRESSIONS:
        raise UnsupportedMedia(
            f"The TIFF is compressed with {compression}, which is not read here. Save it with "
            "deflate or LZW, or as PNG.",
            parameter="images",
            received=compression,
            allowed=("raw", "deflate", "LZW", "JPEG", "PackBits", "CCITT"),
        )
    width, height = image.size
    tile_width, tile_height = (image.tag_v2.get(tag, 1) for tag in _TILE_SIZE)
    if tile_width * tile_height > max((width + 15) * (height + 15), _SMALL_TILE):
        raise CorruptImage(
            f"The TIFF has tiles of {tile_width}x{tile_height} for a picture of {width}x{height}. "
            "Save it again without tiles, or as PNG.",
            parameter="images",
        )


class _Quiet:
    """How many decoders are at work, and the warning filters to restore after the last one."""

    lock = threading.Lock()
    decoders = 0
    filters = ExitStack()


@contextmanager
def _pillow_kept_quiet() -> Iterator[None]:
    """Ignore Pillow's warnings in whatever thread; the filters are swapped by first and last."""
    with _Quiet.lock:
        if _Quiet.decoders == 0:
            _Quiet.filters.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", module=r"PIL\.")
        _Quiet.decoders += 1
    try:
        yield
    finally:
        with _Quiet.lock:
            _Quiet.decoders -= 1
            if _Quiet.decoders == 0:
                _Quiet.filters.close()


# Modes


def _opaque(
    image: ImageFile, background: int
) -> tuple[Shaped[np.ndarray, "channel height width"], int, tuple[Step, ...]]:
    """Pixels as (channel, height, width), the value of white, and the step of composing alpha.

    Strip by strip: the memory never holds a large picture in several forms at once.
    """
    deep = image.mode.startswith("I") or image.mode == "F"
    clear = image.mode in _CLEAR_MODES or "transparency" in image.info
    flatten = _deep_strip if deep else _clear_strip if clear else _opaque_strip
    width, height = image.size
    strips = (
        flatten(image.crop((0, top, width, min(top + _STRIP, height))), background)
        for top in range(0, height, _STRIP)
    )
    first = next(strips)
    values = np.empty((first.shape[0], height, width), first.dtype)
    values[:, :_STRIP] = first
    for index, strip in enumerate(strips, start=1):
        values[:, index * _STRIP : (index + 1) * _STRIP] = strip
    maximum = {"u1": 255, "u2": 65535, "f4": 1}[values.dtype.str[1:]]
    composed = Step("alpha", f"alpha on {background}", how=f"on {background}")
    return values, maximum, (composed,) if clear else ()


def _opaque_strip(
    strip: PillowImage.Image, background: int
) -> Shaped[np.ndarray, "channel height width"]:
    if strip.mode in _GREY_MODES:
        return np.asarray(strip.convert("L"))[None]
    rgb = _lab_to_rgb(strip) if strip.mode == "LAB" else strip.convert("RGB")
    return np.asarray(rgb).transpose(2, 0, 1)


def _clear_strip(
    strip: PillowImage.Image, background: int
) -> Shaped[np.ndarray, "channel height width"]:
    """Compose: (colour x alpha + background x (255 - alpha)) / 255, rounded."""
    clear = strip.convert("RGBA")
    flat = PillowImage.new("RGB", strip.size, (background,) * 3)
    flat.paste(clear, mask=clear.getchannel("A"))
    values = np.asarray(flat).transpose(2, 0, 1)
    return values[:1] if strip.mode in _GREY_MODES else values


def _deep_strip(strip: PillowImage.Image, background: int) -> Shaped[np.ndarray, "1 height width"]:
    """More than 8 bits of grey."""
    wide = np.asarray(strip)[None]
    if strip.mode == "F":
        return wide
    if wide.dtype.itemsize > 2 and (wide.min() < 0 or wide.max() > 65535):
        raise UnsupportedMedia(
            f"The picture's grey values lie in {wide.min()}..{wide.max()}; at most 16 bits are "
            "read. Scale them to 0..65535.",
            parameter="images",
        )
    values = wide.astype(np.uint16)
    if "transparency" in strip.info:
        values[values == strip.info["transparency"]] = background * 257
    return values


def _lab_to_rgb(image: PillowImage.Image) -> PillowImage.Image:
    lab, srgb = (ImageCms.createProfile(name) for name in ("LAB", "sRGB"))
    rgb = ImageCms.applyTransform(image, ImageCms.buildTransform(lab, srgb, "LAB", "RGB"))
    assert rgb is not None  # only an in-place transform returns None
    return rgb


_MAGIC = {
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "JPEG": rb"\xff\xd8\xff",
    "WebP": rb"RIFF.{4}WEBPVP8[ LX]",
    "GIF": rb"GIF8[79]a",
    "BMP": rb"BM",
    "TIFF": rb"II[*+]\0|MM\0[*+]",
    "Netpbm": netpbm.BEGINNING,
}
PICTURE_MEDIA_TYPES = {
    "PNG": ("image/png", "image/apng", "image/x-png"),
    "JPEG": ("image/jpeg", "image/jpg", "image/pjpeg", "image/jfif", "image/x-jpeg"),
    "WebP": ("image/webp", "image/x-webp"),
    "GIF": ("image/gif", "image/x-gif"),
    "BMP": ("image/bmp", "image/x-bmp", "image/x-ms-bmp", "image/x-windows-bmp"),
    "TIFF": ("image/tiff", "image/tif", "image/x-tiff", "image/x-tif"),
    "Netpbm": (
        "image/x-portable-anymap",
        *(
            f"image/x-portable-{one}"
            for one in ("bitmap", "graymap", "greymap", "pixmap", "floatmap")
        ),
        *("image/x-pbm", "image/x-pgm", "image/x-ppm", "image/x-pnm"),
    ),
}
_OPENERS: dict[str, type[ImageFile]] = {
    "PNG": PngImagePlugin.PngImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
}
