"""The segments of a JPEG file: those that say nothing of pixels are left out before decoding.

Comments, colour profiles and what cameras and editors add are never used, so that neither their
size nor damage in them makes a picture unreadable. JFIF and Adobe say how colours are stored, EXIF
and XMP which side is up.
"""

_STOPS = (0x01, *range(0xD0, 0xDB))
"""Markers of the first scan, of the file's end, and others that are followed by no length."""
_COMMENT = 0xFE
_APPLICATION = range(0xE0, 0xF0)
_USED = (
    (0xE0, b"JFIF\0", 14),
    (0xE1, b"Exif\0\0", 6),
    (0xE1, b"http://ns.adobe.com/xap/1.0/\0", 29),
    (0xEE, b"Adobe", 12),
)
"""Marker, beginning and least length of the content; libjpeg passes over shorter ones."""


def without_metadata(data: bytes) -> bytes:
    """A JPEG file without segments that are never used before its first scan.

    What is damaged besides is kept as it is, for the decoder to judge.
    """
    kept, start, position = [], 0, 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
        elif marker in _STOPS:
            break
        else:
            end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
            if _is_unused(marker, data[position + 4 : end]):
                kept.append(data[start:position])
                start = min(end, len(data))
            position = end
    return b"".join((*kept, data[start:])) if kept else data


def _is_unused(marker: int, content: bytes) -> bool:
    if marker == _COMMENT:
        return True
    return marker in _APPLICATION and not any(
        marker == one and content.startswith(beginning) and len(content) >= least
        for one, beginning, least in _USED
    )
