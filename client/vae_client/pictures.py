"""Pictures between arrays, PIL and PNG."""

import io

import numpy as np
from PIL import Image, ImageOps

from vae_client.errors import CallError

IN_PNG = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
"""Modes of PIL that PNG keeps."""
WITHOUT_RANGE = ("I", "F")
"""Modes whose pixels have no white."""


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Pixels in 0..1 as bytes in 0..255, to the nearest and halves upwards, as in PNG answers."""
    if images.dtype == np.uint8:
        return images
    return np.floor(np.asarray(images, np.float64) * 255 + 0.5).astype(np.uint8)


def to_pil(images: np.ndarray) -> list[Image.Image]:
    """Pictures (N, C, H, W) for PIL, grey or RGB."""
    rows = np.moveaxis(to_uint8(images), 1, -1)
    return [Image.fromarray(row[..., 0] if row.shape[-1] == 1 else row) for row in rows]


def to_png(picture: Image.Image) -> bytes:
    """A picture as PNG, without loss where PNG has its mode, turned as its EXIF says.

    Raises:
        CallError: Its pixels have no range from black to white.
    """
    if picture.mode in WITHOUT_RANGE:
        raise CallError(
            f"A PIL picture of mode {picture.mode} has no range from black to white. Send an "
            "array: numpy.asarray(picture), with pixel_max."
        )
    upright = ImageOps.exif_transpose(picture)
    if upright.mode not in IN_PNG:
        has_alpha = upright.mode in ("PA", "La", "RGBa")
        upright = upright.convert("RGBA" if has_alpha else "RGB")
    buffer = io.BytesIO()
    upright.save(buffer, "PNG")
    return buffer.getvalue()
