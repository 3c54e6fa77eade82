"""Observations back to pictures: numbers in 0..1, bytes, PNG, JPEG and animations."""

import io
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from models.errors import OutOfSupport, ShapeMismatch
from models.images.spec import ImageSpec


def to_unit(x: Any, spec: ImageSpec) -> Float32[np.ndarray, "batch channel height width"]:
    """Observations, means or draws as numbers in 0..1, unrounded.

    A density on the whole line reaches beyond the scale; what lies outside is clipped.

    Args:
        x: A numpy array, or a tensor of any library that has `detach` and `cpu`.
        spec: The scale and shape of x.

    Raises:
        ShapeMismatch: Not (batch, channels, height, width) of `spec`.
        OutOfSupport: NaN or infinite.
    """
    array = np.asarray(x.detach().cpu() if hasattr(x, "detach") else x)
    if array.ndim != 4 or array.shape[1:] != spec.shape:
        sides = ", ".join(map(str, spec.shape))
        raise ShapeMismatch(
            f"x has the shape {array.shape}; observations are (batch, {sides}) here. Reshape it: "
            f"x.reshape(-1, {sides})."
        )
    if not np.isfinite(array).all():
        raise OutOfSupport("x holds NaN or infinity; the pixels of a picture are finite.")
    scale = spec.levels - 1 if spec.values == "integer" else 1
    unit: np.ndarray = np.clip(np.asarray(array, np.float32) / np.float32(scale), 0, 1)
    return unit


def to_uint8(unit: np.ndarray) -> UInt8[np.ndarray, "batch channel height width"]:
    """0..1 to 0..255, to the nearest and halves upwards: level v of 256 becomes v exactly.

    Raises:
        ShapeMismatch: Not (batch, 1 or 3 channels, height, width).
        OutOfSupport: A value outside 0..1, or NaN.
    """
    _check_pictures(unit)
    if not ((unit >= 0) & (unit <= 1)).all():
        raise OutOfSupport("Pixels lie outside 0..1, or are NaN. Call to_unit(x, spec) first.")
    return np.floor(np.asarray(unit, np.float64) * 255 + 0.5).astype(np.uint8)


JPEG_QUALITY = 95
"""Pillow's best: a step more would only make the file larger."""


def to_jpeg(picture: np.ndarray) -> bytes:
    """One uint8 picture (1 or 3 channels, height, width) as a grey or RGB JPEG, full colour."""
    buffer = io.BytesIO()
    _frames(picture[None])[0].save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def to_png(picture: np.ndarray, *, info: PngInfo | None = None) -> bytes:
    """One uint8 picture (1 or 3 channels, height, width) as a grey or RGB PNG, without loss.

    Args:
        picture: The picture.
        info: Text to write into the file; none by default.

    Raises:
        ShapeMismatch: Another shape or type.
    """
    if picture.ndim != 3:
        raise ShapeMismatch(
            f"An array of shape {picture.shape} is not one picture (channels, height, width). Take "
            "one item, or lay out several: to_png(grid(pictures, columns=8))."
        )
    buffer = io.BytesIO()
    _frames(picture[None])[0].save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def to_animation(
    frames: np.ndarray, format: Literal["webp", "gif"] = "webp", *, milliseconds: int = 100
) -> bytes:
    """uint8 frames (batch, 1 or 3 channels, height, width) as an endless animation.

    WebP is without loss; GIF is too for grey, has 256 colours otherwise, and counts in 10 ms.

    Raises:
        ShapeMismatch: Another shape or type.
    """
    first, *others = _frames(frames)
    buffer = io.BytesIO()
    options = {"lossless": True} if format == "webp" else {"optimize": False}
    first.save(
        buffer,
        format.upper(),
        save_all=True,
        append_images=others,
        duration=milliseconds,
        loop=0,
        **options,
    )
    return buffer.getvalue()


def _frames(pictures: np.ndarray) -> list[Image.Image]:
    check_bytes(pictures)
    return [
        Image.fromarray(p[0] if p.shape[0] == 1 else np.ascontiguousarray(p.transpose(1, 2, 0)))
        for p in pictures
    ]


def _check_pictures(pictures: np.ndarray) -> None:
    if pictures.ndim != 4 or pictures.shape[1] not in (1, 3) or 0 in pictures.shape:
        raise ShapeMismatch(
            f"An array of shape {pictures.shape} is not pictures (batch, channels, height, width) "
            "with 1 or 3 channels and no side of 0. Reshape it."
        )


def check_bytes(pictures: np.ndarray) -> None:
    _check_pictures(pictures)
    if pictures.dtype != np.uint8:
        raise ShapeMismatch(
            f"The pictures are {pictures.dtype}, not uint8. Call to_uint8(to_unit(x, spec)) first."
        )
