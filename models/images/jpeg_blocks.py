"""The blocks of a JPEG file: those that say nothing of pixels are left out before decoding.

Comments and the applications' own blocks are never used, so that neither their size and number nor
damage in them makes a picture unreadable. JFIF, Adobe's colour transform, EXIF and XMP are kept.
"""

import re

from models.errors import CorruptImage

_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])")  # the others have no block
_SCAN, _END = b"\xda", b"\xd9"
_UNUSED = frozenset((*(bytes([0xE0 + n]) for n in (*range(2, 14), 15)), b"\xfe"))
_JFIF, _ADOBE = b"\xe0", b"\xee"
_MAX_BLOCKS = 1024
_MAX_SCANS = 64


def without_metadata(data: bytes) -> bytes:
    """A JPEG file without blocks that are never used; what is damaged besides is kept as it is."""
    kept, start = [], 0
    marker = _MARKER.search(data, 2)
    while marker is not None and marker[1] not in (_SCAN, _END):
        end = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
        if _is_unused(marker[1], data[marker.end() + 2 : end]):
            kept.append(data[start : marker.start()])
            start = min(end, len(data))
        marker = _MARKER.search(data, end)
    return b"".join((*kept, data[start:])) if kept else data


def _is_unused(marker: bytes, content: bytes) -> bool:
    """Whether nothing is read from a block; of JFIF and Adobe, libjpeg passes over short ones."""
    if marker == _JFIF:
        return not (content.startswith(b"JFIF\0") and len(content) >= 14)
    if marker == _ADOBE:
        return not (content.startswith(b"Adobe") and len(content) >= 12)
    return marker in _UNUSED


def check_blocks(data: bytes) -> None:
    """Walk the blocks up to the picture's end: each scan, however short, is a pass over all pixels,
    and Pillow joins metadata in time that grows with the square of its blocks.

    Raises:
        CorruptImage: They are too many.
    """
    blocks = scans = 0
    marker = _MARKER.search(data, 2)
    while marker is not None and marker[1] != _END:
        blocks += 1
        scans += marker[1] == _SCAN
        if blocks > _MAX_BLOCKS or scans > _MAX_SCANS:
            raise CorruptImage(
                f"The JPEG has more than {_MAX_BLOCKS:,} blocks or {_MAX_SCANS} scans, the limits. "
                "Save it again as a baseline JPEG, or as PNG.",
                parameter="images",
            )
        length = int.from_bytes(data[marker.end() : marker.end() + 2], "big")
        marker = _MARKER.search(data, marker.end() + length)
