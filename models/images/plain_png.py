"""Plain PNG files, one block of pixels and nothing else, without a walk through their chunks.

For a small picture, Pillow's reader of chunks takes longer than its decoder, and its decoder longer
than zlib. What is not plain or not whole is left to that reader, which says what is wrong.
"""

import re
import struct
import zlib
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

_BEGINNING = re.compile(rb"\x89PNG\r\n\x1a\n\0\0\0\rIHDR.{10}\0\0\0.{8}IDAT", re.DOTALL)
"""Its gaps are what `_SIZES` reads: no other chunk comes first, and all methods are 0."""
_SIZES, _SIZES_AT = struct.Struct(">IIBBxxxII"), 16
"""Width, height, depth, type of colour, the head's checksum, and length of the block."""
_PIXELS_AT = 41
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
_CHANNELS = {(8, 0): 1, (8, 2): 3}
"""Channels of what `read_plain` reads, by depth and type of colour."""
_SUB = 1
_OTHER_FILTERS = re.compile(rb"[^\0\1\2]")
"""Filters but none, sub and up."""
_MAX_PIXELS = 1 << 16
"""Pixels that are read here: of more, the copies would take memory."""
_MAX_FILTERED = 8
"""Filtered rows that are undone here: a row takes a microsecond, and Pillow some twenty for all."""


class _Block(NamedTuple):
    """The one block of pixels of a plain PNG, compressed."""

    width: int
    height: int
    form: tuple[int, int]
    """Depth and type of colour."""
    data: memoryview


def open_plain(data: bytes, *, max_pixels: int, max_side: int) -> Image.Image | None:
    """The picture of a plain PNG; None of any other file, and of one that is over the limits."""
    block = _find_block(data, max_pixels, max_side)
    if block is None or block.form not in _MODES:
        return None
    mode, raw_mode = _MODES[block.form]
    try:
        size = block.width, block.height
        return Image.frombytes(mode, size, block.data, "zip", raw_mode, 0)
    except ValueError:  # cut short or damaged
        return None


def read_plain(
    data: bytes, *, max_pixels: int, max_side: int
) -> UInt8[np.ndarray, "channel height width"] | None:
    """The pixels of a plain PNG, grey or RGB of 8 bits, of which few rows are filtered.

    A row's first byte names its filter (PNG, third edition, section 9.2): none, sub and up are
    undone here. None of any other file, and of one that is over the limits.
    """
    block = _find_block(data, min(max_pixels, _MAX_PIXELS), max_side)
    if block is None or block.form not in _CHANNELS:
        return None
    channels, width, height = _CHANNELS[block.form], block.width, block.height
    stride = 1 + width * channels
    reader = zlib.decompressobj()
    try:
        raw = reader.decompress(block.data, height * stride + 1)
    except zlib.error:
        return None
    if len(raw) != height * stride or not reader.eof:
        return None
    filters = raw[::stride]
    rows = np.frombuffer(raw, np.uint8).reshape(height, stride)[:, 1:].copy()
    if height - filters.count(0) > _MAX_FILTERED or _OTHER_FILTERS.search(filters):
        return None
    if filters.strip(b"\0"):
        _undo_filters(rows, filters, channels)
    if channels == 1:
        return rows[None]
    return np.ascontiguousarray(rows.reshape(height, width, channels).transpose(2, 0, 1))


def _undo_filters(rows: np.ndarray, filters: bytes, channels: int) -> None:
    """Make rows what they were before filters; sums wrap around at 256."""
    left = filters.lstrip(b"\0")
    while left:
        index = len(filters) - len(left)
        if left[0] == _SUB:
            row = rows[index].reshape(-1, channels)
            np.cumsum(row, axis=0, dtype=np.uint8, out=row)
        elif index > 0:
            rows[index] += rows[index - 1]
        left = left[1:].lstrip(b"\0")


def _find_block(data: bytes, max_pixels: int, max_side: int) -> _Block | None:
    if not _BEGINNING.match(data):
        return None
    width, height, depth, colour, checksum, length = _SIZES.unpack_from(data, _SIZES_AT)
    end = _PIXELS_AT + length
    if data[end + _CHECKSUM :] != _END or zlib.crc32(data[12:29]) != checksum:
        return None
    if not (0 < width <= max_side and 0 < height <= max_side and width * height <= max_pixels):
        return None
    return _Block(width, height, (depth, colour), memoryview(data)[_PIXELS_AT:end])
