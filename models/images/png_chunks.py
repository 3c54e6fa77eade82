"""The chunks of a PNG file: those that say nothing of pixels are left out before decoding.

Text, colour profiles, gamma and resolution are never used, so that neither their size nor damage
in them makes a picture unreadable. XMP may say which side is up.
"""

import struct
import zlib

_SIGNATURE = 8
_FRAME = 12
"""Bytes of a chunk beside its content: length, name, checksum."""
_UNUSED = frozenset((b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"gAMA", b"cHRM", b"sRGB", b"pHYs"))
_XMP = b"XML:com.adobe.xmp\0"
_MAX_XMP = 1 << 22


def without_metadata(data: bytes) -> tuple[bytes, bytes]:
    """A PNG file without chunks that are never used, and its XMP.

    What is damaged besides is kept as it is, for the decoder to judge.
    """
    kept, start, position, xmp = [], 0, _SIGNATURE, b""
    while position + _FRAME <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + _FRAME + length
        if kind in _UNUSED:
            if kind == b"iTXt" and data.startswith(_XMP, position + 8):
                xmp = xmp or _xmp(data[position + 8 + len(_XMP) : end - 4])
            kept.append(data[start:position])
            start = min(end, len(data))
        position = end
    return (b"".join((*kept, data[start:])) if kept else data), xmp


def _xmp(content: bytes) -> bytes:
    """XMP after a flag of compression, its method, a language and a translated keyword."""
    is_compressed, text = content[:1] == b"\1", content[2:].split(b"\0", 2)[-1]
    if not is_compressed:
        return text
    try:
        return zlib.decompressobj().decompress(text, _MAX_XMP)
    except zlib.error:
        return b""
