"""Pictures as the bytes of a file."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def file_of(picture: np.ndarray | Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """The picture in one of Pillow's formats."""
    buffer = io.BytesIO()
    image = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def with_chunk(png: bytes, name: bytes, body: bytes) -> bytes:
    """A PNG with another chunk after its header."""
    return png[:33] + _chunk(name, body) + png[33:]
