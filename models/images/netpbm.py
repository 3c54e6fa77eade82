"""Netpbm files to numbers: PBM, PGM and PPM, in ASCII (P1 to P3) or binary (P4 to P6), and PFM.

Other largest values than 255 and 65535 are scaled to the next of the two, to the nearest integer.
Of several pictures in one file the first is read. Sizes are checked before anything is allocated.
Written anew, since Pillow needs a Python call for each pixel where the largest value is not 255,
and keeps 8 of 16 bits of colour. Source: https://netpbm.sourceforge.net/doc/
"""

import re
from dataclasses import dataclass
from math import prod

import numpy as np
from jaxtyping import Shaped

from models.errors import CorruptImage

BEGINNING = rb"P[1-6](#|\s{1,16}(#|\d))|P[Ff]\s{1,2}(#|\d)"
# Possessive: a comment is never tried again as blanks and shorter comments.
_FIELD = re.compile(rb"(?:\s++|#[^\n\r]*+)++([-+]?\d++(?:\.\d*+)?(?:[eE][-+]?\d++)?)")
_END = re.compile(rb"(?:#[^\n\r]*+)?\s")
_COMMENT = re.compile(rb"#[^\n\r]*")
_MAX_HEADER = 1 << 20
_MAX_COMMENTS = 1 << 14
_BLANKS = b" \t\n\r\v\f"
Picture = Shaped[np.ndarray, "channel height width"]


@dataclass(frozen=True)
class Header:
    """What the first lines say."""

    kind: str
    """P1 to P6, PF or Pf."""
    width: int
    height: int
    largest: float
    """Of integers, the value of white; of floats, the scale, negative if little-endian."""
    start: int
    """Where the pixels begin."""
    is_crlf: bool = False
    """Whether lines end with two characters, of which `start` is past the first."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return (3 if self.kind in ("P3", "P6", "PF") else 1), self.height, self.width


def read_header(data: bytes) -> Header:
    """Read the first lines.

    Raises:
        CorruptImage: They are not those of a Netpbm file.
    """
    kind, position = data[:2].decode("ascii"), 2
    fields: list[float] = []
    while len(fields) < (2 if kind in ("P1", "P4") else 3):
        found = _FIELD.match(data, position, _MAX_HEADER)
        if found is None or len(found[1]) > 20:
            raise _damaged("its header has no width, height and largest value")
        fields.append(float(found[1]))
        position = found.end()
    width, height, *rest = fields
    largest = rest[0] if rest else 1.0
    if kind not in ("PF", "Pf") and not (1 <= largest <= 65535 and largest == int(largest)):
        raise _damaged(f"its largest value is {largest:g}, not one of 1..65535")
    if width != int(width) or height != int(height):
        raise _damaged(f"its size is {width:g}x{height:g}")
    end = _END.match(data, position)
    if end is None:
        raise _damaged("no blank follows its header")
    start = end.end()
    head = data[:start]
    is_crlf = data[start - 1 : start + 1] == b"\r\n" and head.count(b"\r") == 1 + head.count(
        b"\r\n"
    )
    return Header(kind, int(width), int(height), largest, start, is_crlf)


def read_pixels(data: bytes, header: Header) -> tuple[Picture, int]:
    """Read the pixels.

    Returns:
        uint8, uint16 or float32, and white: 255, 65535 or 1.

    Raises:
        CorruptImage: Pixels are missing, or larger than the header says.
    """
    if header.kind in ("PF", "Pf"):
        return _floats(data, header), 1
    values = _bits(data, header) if header.kind in ("P1", "P4") else _integers(data, header)
    largest = int(header.largest)
    if values.max() > largest:
        raise _damaged(f"a pixel is {values.max()}, and the header says at most {largest}")
    white = 255 if largest <= 255 else 65535
    if largest != white:
        values = (values.astype(np.uint32) * white + largest // 2) // largest
    height, width, channels = header.height, header.width, header.shape[0]
    shaped = values.astype(np.uint8 if white == 255 else np.uint16, copy=False)
    return shaped.reshape(height, width, channels).transpose(2, 0, 1), white


def _floats(data: bytes, header: Header) -> Picture:
    """Floats, rows from the bottom up; the scale's sign is the order of bytes."""
    channels, height, width = header.shape
    count = channels * height * width
    order = "<f4" if header.largest < 0 else ">f4"
    values = np.frombuffer(_binary(data, header, count * 4), order).astype(np.float32)
    return values.reshape(height, width, channels)[::-1].transpose(2, 0, 1)


def _bits(data: bytes, header: Header) -> Shaped[np.ndarray, " pixel"]:
    """Bits, of which 1 is black."""
    width, height = header.width, header.height
    if header.kind == "P4":
        row = -(-width // 8)
        packed = np.frombuffer(_binary(data, header, row * height), np.uint8)
        bits = np.unpackbits(packed.reshape(height, row), axis=1)[:, :width].reshape(-1)
    else:
        digits = _text(data, header).translate(None, _BLANKS)[: width * height]
        bits = np.frombuffer(digits, np.uint8) - np.uint8(ord("0"))
        _check_count(bits.size, width * height)
        if bits.max() > 1:
            raise _damaged("a pixel is neither 0 nor 1")
    return 1 - bits


def _integers(data: bytes, header: Header) -> Shaped[np.ndarray, " value"]:
    count = prod(header.shape)
    if header.kind in ("P5", "P6"):
        size = 1 if header.largest <= 255 else 2
        return np.frombuffer(_binary(data, header, count * size), f">u{size}")
    text = _text(data, header)
    if text.translate(None, b"0123456789" + _BLANKS):
        raise _damaged("a pixel is not a number")
    values = np.fromstring(text.decode("ascii"), np.int64, count=-1, sep=" ")[:count]
    _check_count(values.size, count)
    return values


def _text(data: bytes, header: Header) -> bytes:
    text = data[header.start :]
    if (comments := text.count(b"#")) > _MAX_COMMENTS:
        raise _damaged(f"it has {comments:,} comments, over the limit of {_MAX_COMMENTS:,}")
    return _COMMENT.sub(b" ", text).strip()


def _binary(data: bytes, header: Header, size: int) -> bytes:
    # Where no byte is left over, the second character of the line's end is the first pixel.
    start = header.start + (header.is_crlf and len(data) - header.start > size)
    pixels = data[start : start + size]
    _check_count(len(pixels), size, "bytes")
    return pixels


def _check_count(found: int, promised: int, unit: str = "values") -> None:
    if found < promised:
        raise _damaged(f"its header promises {promised:,} {unit}, and {found:,} follow")


def _damaged(fault: str) -> CorruptImage:
    return CorruptImage(
        f"The Netpbm picture is damaged or cut short: {fault}. Save it again, or as PNG.",
        parameter="images",
    )
