"""The orientation of a picture, as its EXIF or XMP says, and turning it upright."""

import re
import struct

import numpy as np
from jaxtyping import Shaped

from models.images.preprocessing import Step

ORIENTATION_TAG = 0x0112
_EXIF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}


def find_orientation(info: dict[str | tuple[int, int], object]) -> tuple[int, bool]:
    """The orientation 1..8 that EXIF or else XMP asks for, and whether the EXIF is damaged."""
    exif = info.get("exif")
    if isinstance(exif, bytes):
        try:
            found = _exif_orientation(exif.removeprefix(b"Exif\0\0"))
        except (struct.error, ValueError):
            return 1, True
        if found is not None:
            return found, False
    xmp = info.get("xmp") or info.get("XML:com.adobe.xmp") or b""
    text = xmp if isinstance(xmp, bytes) else str(xmp).encode()
    match = re.search(rb'tiff:Orientation(?:="|>)([1-8])', text)
    return (int(match[1]) if match else 1), False


def _exif_orientation(exif: bytes) -> int | None:
    """Walk the first directory of an EXIF block; every entry must lie inside the block."""
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        raise ValueError("no byte order mark")
    (offset,) = struct.unpack_from(f"{order}I", exif, 4)
    (entries,) = struct.unpack_from(f"{order}H", exif, offset)
    found = None
    for entry in range(entries):
        tag, kind, count, value = struct.unpack_from(f"{order}HHII", exif, offset + 2 + 12 * entry)
        size = count * _EXIF_SIZES.get(kind, 0)
        if size > 4 and value + size > len(exif):
            raise ValueError(f"tag {tag} lies outside the block")
        if tag == ORIENTATION_TAG:
            (found,) = struct.unpack_from(f"{order}H", exif, offset + 2 + 12 * entry + 8)
    if found is not None and not 1 <= found <= 8:
        raise ValueError(f"there is no orientation {found}")
    return found


def orientation_steps(orientation: object) -> tuple[Step, ...]:
    """The step of turning a picture upright; none where it stands upright."""
    if orientation not in range(2, 9):
        return ()
    return (Step("orient", f"exif-orientation {orientation}", before=str(orientation), after="1"),)


def upright(
    values: Shaped[np.ndarray, "channel height width"], orientation: int
) -> Shaped[np.ndarray, "channel upright_height upright_width"]:
    """Undo an EXIF orientation: 5..8 transpose; then mirror rows, columns or both."""
    if orientation >= 5:
        values = values.transpose(0, 2, 1)
    if orientation in (3, 4, 7, 8):
        values = values[:, ::-1]
    if orientation in (2, 3, 6, 7):
        values = values[:, :, ::-1]
    return values
