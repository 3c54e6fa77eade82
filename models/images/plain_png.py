"""Plain PNG files, one block of pixels and nothing else, without a walk through their chunks.

For a small picture, Pillow's reader of chunks takes longer than its decoder, and its decoder longer
than zlib. What is not plain or not whole is left to that reader, which says what is wrong.
"""

import re
import struct
import zlib
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

_HEAD = struct.Struct(">16s IIBB 3s I")
"""The beginning, width, height, depth, type of colour, methods, and the checksum."""
_BEGINNING = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_BLOCK_AT, _PIXELS_AT = _HEAD.size, _HEAD.size + 8
"""Where the block begins, with its length and name, and where its pixels do."""
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


class _Head(NamedTuple):
    """The head of a plain PNG: every method is 0, and the checksum is right."""

    width: int
    height: int
    form: tuple[int, int]
    """Depth and type of colour."""
    side: int
    """The longer one."""
    pixels: int


def open_plain(data: bytes, *, max_pixels: int, max_side: int) -> Image.Image | None:
    """The picture of a plain PNG; None of any other file, and of one that is over the limits."""
    head = _read_head(data[:_BLOCK_AT])
    block = None if head is None else _only_block(data, head, max_pixels, max_side)
    if head is None or block is None or head.form not in _MODES:
        return None
    mode, raw_mode = _MODES[head.form]
    try:
        return Image.frombytes(mode, (head.width, head.height), block, "zip", raw_mode, 0)
    except ValueError:  # cut short or damaged
        return None


def read_plain(
    data: bytes, *, max_pixels: int, max_side: int
) -> UInt8[np.ndarray, "channel height width"] | None:
    """The pixels of a plain PNG, grey or RGB of 8 bits, of which few rows are filtered.

    A row's first byte names its filter (PNG, third edition, section 9.2): none, sub and up are
    undone here. None of any other file, and of one that is over the limits.
    """
    head = _read_head(data[:_BLOCK_AT])
    if head is None or head.form not in _CHANNELS:
        return None
    block = _only_block(data, head, min(max_pixels, _MAX_PIXELS), max_side)
    if block is None:
        return None
    width, height, channels = head.width, head.height, _CHANNELS[head.form]
    stride = 1 + width * channels
    size = height * stride
    reader = zlib.decompressobj()
    try:
        raw = reader.decompress(block, size + 1)
    except zlib.error:
        return None
    if len(raw) != size or not reader.eof:
        return None
    filters = raw[::stride]
    rows = np.frombuffer(raw, np.uint8).reshape(height, stride)[:, 1:].copy()
    if any(filters):
        if height - filters.count(0) > _MAX_FILTERED or _OTHER_FILTERS.search(filters):
            return None
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


@lru_cache(maxsize=256)
def _read_head(data: bytes) -> _Head | None:
    """The head that these bytes are; pictures of one size and form share theirs."""
    if len(data) != _HEAD.size:
        return None
    beginning, width, height, depth, colour, methods, checksum = _HEAD.unpack(data)
    if beginning != _BEGINNING or methods != bytes(3) or zlib.crc32(data[12:29]) != checksum:
        return None
    pixels = width * height
    return _Head(width, height, (depth, colour), max(width, height), pixels) if pixels else None


def _only_block(data: bytes, head: _Head, max_pixels: int, max_side: int) -> memoryview | None:
    """The compressed pixels of a picture within the limits, where they are one chunk.

    It is the only one between head and end.
    """
    end = _PIXELS_AT + int.from_bytes(data[_BLOCK_AT : _BLOCK_AT + 4])
    if data[_BLOCK_AT + 4 : _PIXELS_AT] != b"IDAT" or data[end + _CHECKSUM :] != _END:
        return None
    if head.side > max_side or head.pixels > max_pixels:
        return None
    return memoryview(data)[_PIXELS_AT:end]
