"""Plain PNG files, one block of pixels and nothing else, without a walk through their chunks.

For a small picture, Pillow's reader of chunks takes longer than its decoder. What is not plain or
not whole is left to that reader, which says what is wrong.
"""

import struct
import zlib

from PIL import Image

_HEAD = struct.Struct(">16sIIBBBBBII4s")
"""Signature and name, width, height, depth, colour, three methods, checksum; length and name."""
_BEGINNING = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_END = b"\0\0\0\0IEND\xaeB`\x82"
_CHECKSUM = 4
_MODES = {
    (1, 0): ("1", "1"),
    (8, 0): ("L", "L"),
    (8, 2): ("RGB", "RGB"),
    (8, 4): ("LA", "LA"),
    (8, 6): ("RGBA", "RGBA"),
}
"""Pillow's modes by depth and type of colour; palettes and deeper ones are left to its reader."""


def open_plain(data: bytes, *, max_pixels: int, max_side: int) -> Image.Image | None:
    """The picture of a plain PNG; None of any other file, and of one that is over the limits."""
    if len(data) < _HEAD.size:
        return None
    beginning, width, height, depth, colour, *methods, checksum, length, name = _HEAD.unpack_from(
        data
    )
    is_plain = (
        beginning == _BEGINNING
        and name == b"IDAT"
        and len(data) == _HEAD.size + length + _CHECKSUM + len(_END)
        and data.endswith(_END)
        and methods == [0, 0, 0]
        and zlib.crc32(data[12:29]) == checksum
    )
    mode = _MODES.get((depth, colour))
    if not is_plain or mode is None or not 0 < width <= max_side or not 0 < height <= max_side:
        return None
    if width * height > max_pixels:
        return None
    pixels = memoryview(data)[_HEAD.size : _HEAD.size + length]
    try:
        return Image.frombytes(mode[0], (width, height), pixels, "zip", mode[1], 0)
    except ValueError:  # cut short or damaged
        return None
