"""Observations back to pictures: numbers in 0..1, bytes, PNG, grids, animations; reads nothing."""

import io
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from models.errors import OutOfSupport, ShapeMismatch
from models.images.spec import ImageSpec


def to_unit(x: Any, spec: ImageSpec) -> Float32[np.ndarray, "batch channel height width"]:
    """Observations, means or draws on the scale of `spec` as numbers in 0..1, unrounded.

    Densities on the whole line reach beyond the scale; what lies outside is clipped.

    Args:
        x: A numpy array, or a tensor of any library that has `detach` and `cpu`.
        spec: Its scale and shape.

    Raises:
        ShapeMismatch: Not (batch, channels, height, width) of `spec`.
        OutOfSupport: NaN or infinite.
    """
    array = np.asarray(x.detach().cpu() if hasattr(x, "detach") else x)
    if array.ndim != 4 or array.shape[1:] != spec.shape:
        raise ShapeMismatch(
            f"Observations have the shape (batch, {', '.join(map(str, spec.shape))}); received "
            f"{array.shape}. Reshape them."
        )
    if not np.isfinite(array).all():
        raise OutOfSupport("A picture is made of finite numbers; received NaN or infinity.")
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
        raise OutOfSupport("Pixels lie in 0..1 here; received others. Call to_unit first.")
    return np.floor(np.asarray(unit, np.float64) * 255 + 0.5).astype(np.uint8)


def to_png(picture: np.ndarray) -> bytes:
    """One uint8 picture (1 or 3 channels, height, width) as a grey or RGB PNG, without loss.

    Raises:
        ShapeMismatch: Another shape or type.
    """
    if picture.ndim != 3:
        raise ShapeMismatch(
            f"One picture is (channels, height, width); received {picture.shape}. Take one item, "
            "or lay several out by grid()."
        )
    buffer = io.BytesIO()
    _frames(picture[None])[0].save(buffer, "PNG")
    return buffer.getvalue()


def grid(
    pictures: np.ndarray, columns: int, padding: int = 2, *, background: int = 0
) -> UInt8[np.ndarray, "channel grid_height grid_width"]:
    """Lay pictures out in rows, `padding` pixels of `background` between and around them.

    Args:
        pictures: uint8 (batch, 1 or 3 channels, height, width).
        columns: Pictures in a row; the last row may be short.
        padding: Pixels.
        background: 0 black to 255 white.

    Raises:
        ShapeMismatch: Another shape or type, or no column.
    """
    _check_bytes(pictures)
    if columns < 1:
        raise ShapeMismatch(f"A grid has at least one column; received {columns}.")
    n, channels, height, width = pictures.shape
    columns = min(columns, n)
    rows = -(-n // columns)
    tall, wide = height + padding, width + padding
    sheet = np.full((channels, padding + rows * tall, padding + columns * wide), background, "u1")
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        top, left = padding + row * tall, padding + column * wide
        sheet[:, top : top + height, left : left + width] = picture
    return sheet


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
    _check_bytes(pictures)
    return [
        Image.fromarray(p[0] if p.shape[0] == 1 else np.ascontiguousarray(p.transpose(1, 2, 0)))
        for p in pictures
    ]


def _check_pictures(pictures: np.ndarray) -> None:
    if pictures.ndim != 4 or pictures.shape[1] not in (1, 3) or 0 in pictures.shape:
        raise ShapeMismatch(
            "Pictures are (batch, 1 or 3 channels, height, width), all at least 1; received "
            f"{pictures.shape}. Reshape them."
        )


def _check_bytes(pictures: np.ndarray) -> None:
    _check_pictures(pictures)
    if pictures.dtype != np.uint8:
        raise ShapeMismatch(
            f"Pictures are uint8 here; received {pictures.dtype}. Call to_uint8 first."
        )
