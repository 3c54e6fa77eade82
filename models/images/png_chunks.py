"""The chunks of a PNG file: those that say nothing of pixels are left out before decoding.

Text, colour profiles, gamma, resolution, times and the frames after the first are never used, so
that neither their size nor damage in them makes a picture unreadable. EXIF and XMP may say which
side is up.
"""

import struct
import zlib

_SIGNATURE = 8
_FRAME = 12
"""Bytes of a chunk beside its content: length, name, checksum."""
_UNUSED = frozenset(
    (
        *(b"tEXt", b"zTXt", b"iTXt", b"tIME", b"dSIG", b"caBX"),
        *(b"iCCP", b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"mDCv", b"cLLI", b"cLLi"),
        *(b"pHYs", b"oFFs", b"pCAL", b"sCAL", b"sTER", b"vpAg", b"orNT", b"caNv", b"iDOT"),
        *(b"bKGD", b"hIST", b"sPLT", b"sBIT", b"gIFg", b"gIFt", b"gIFx"),
        *(b"acTL", b"fcTL", b"fdAT"),
    )
)
_DAMAGED_EXIF = struct.pack(">I4sI", 0, b"eXIf", zlib.crc32(b"eXIf"))
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
        elif kind == b"eXIf" and _is_damaged(data[position + 4 : end]):
            kept.append(data[start:position] + _DAMAGED_EXIF)
            start = end
        position = end
    return (b"".join((*kept, data[start:])) if kept else data), xmp


def _is_damaged(chunk: bytes) -> bool:
    """Whether a name and content do not agree with the checksum after them."""
    return zlib.crc32(chunk[:-4]) != int.from_bytes(chunk[-4:], "big")


def _xmp(content: bytes) -> bytes:
    """XMP after a flag of compression, its method, a language and a translated keyword."""
    is_compressed, text = content[:1] == b"\1", content[2:].split(b"\0", 2)[-1]
    if not is_compressed:
        return text
    try:
        return zlib.decompressobj().decompress(text, _MAX_XMP)
    except zlib.error:
        return b""
