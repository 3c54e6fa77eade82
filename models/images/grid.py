"""A grid of pictures: one picture that shows a batch in rows and columns.

A grid that becomes a file is marked as drawn: it is no datum, wherever it lies.
"""

import numpy as np
from jaxtyping import UInt8
from PIL.PngImagePlugin import PngInfo

from models.errors import ShapeMismatch
from models.images.writing import check_bytes, to_png

_MARK = ("Software", "vae-serve")


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
    check_bytes(pictures)
    if columns < 1:
        raise ShapeMismatch(
            f"columns={columns} is below 1. Leave out columns, or ask for columns=8.",
            parameter="columns",
            received=columns,
            suggestion="columns=8",
        )
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


def to_sheet(pictures: np.ndarray, columns: int) -> bytes:
    """A grid as a PNG with the mark of `drawn`.

    Args:
        pictures: As for `grid`.
        columns: As for `grid`.

    Raises:
        ShapeMismatch: As `grid` does.
    """
    return to_png(grid(pictures, columns), info=drawn())


def drawn() -> PngInfo:
    """The mark of a drawn PNG: a sheet of pictures, or a plot."""
    mark = PngInfo()
    mark.add_text(*_MARK)
    return mark


def is_drawn(data: bytes) -> bool:
    """Whether a file is a PNG with the mark of `drawn`."""
    return data.startswith(b"\x89PNG") and "\0".join(_MARK).encode() in data[:4096]
