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
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
from PIL.Image import Image
from PIL.ImageFile import ImageFile

from models.config import MAX_PIXELS
from models.errors import CorruptImage, InputError, PayloadTooLarge, UnsupportedMedia
from models.images import jpeg_blocks, libtiff, netpbm, png_chunks
from models.images.modes import opaque
from models.images.orientation import ORIENTATION_TAG, find_orientation, orientation_steps, upright
from models.images.picture_kinds import check_kind
from models.images.plain_png import open_plain, read_plain
from models.images.preprocessing import Step

_BAD_EXIF = Step("ignore-exif", "exif damaged, ignored")
_MAX_BLOCKS = 1024
MAX_SIDE = 65535
MAX_DEEP = 65535
"""White of 16 bits."""
_BITS_PER_SAMPLE = 0x0102
_TILE_SIZE = 0x0142, 0x0143
_SMALL_TILE = 1 << 20
# The others (LZMA, Zstandard, WebP in TIFF) allocate what the file asks for.
_TIFF_COMPRESSIONS = {
    *("raw", "tiff_ccitt", "group3", "group4", "tiff_lzw", "tiff_jpeg", "jpeg"),
    *("tiff_adobe_deflate", "tiff_raw_16", "packbits", "tiff_thunderscan", "tiff_deflate"),
}


@dataclass(slots=True)
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
    kind = check_kind(data, media_type)
    if kind == "Netpbm":
        return _decode_netpbm(data, max_pixels)
    if kind == "PNG":  # nothing in a plain one is warned of
        values = read_plain(data, max_pixels=max_pixels, max_side=MAX_SIDE)
        if values is not None:
            return Pixels(values, 255, ())
        if (image := _open_plain(data, max_pixels)) is not None:
            return Pixels(*opaque(image, background))
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


def _open_plain(data: bytes, max_pixels: int) -> Image | None:
    return open_plain(data, max_pixels=max_pixels, max_side=MAX_SIDE)


def _decode(data: bytes, kind: str, background: int, max_pixels: int) -> Pixels:
    data, xmp = _prepare(data, kind, max_pixels)
    plain = _open_plain(data, max_pixels) if kind == "PNG" else None
    image = _OPENERS[kind](io.BytesIO(data)) if plain is None else plain
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
    values, maximum, alpha_steps = opaque(image, background)
    in_use = _maximum_in_use(image) if maximum == MAX_DEEP else None
    return Pixels(upright(values, turn), maximum, (*steps, *alpha_steps), in_use)


def _maximum_in_use(image: Image) -> int | None:
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


_OPENERS: dict[str, type[ImageFile]] = {
    "PNG": PngImagePlugin.PngImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
}
