"""A grid of pictures: one picture that shows a batch in rows and columns."""

import numpy as np
from jaxtyping import UInt8

from models.errors import ShapeMismatch
from models.images.writing import check_bytes


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
