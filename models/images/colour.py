"""Colour to grey."""

import numpy as np
from jaxtyping import Shaped

_ROWS = 256
"""Rows of a strip: they bound the memory of a large picture."""


def to_grey(
    colour: Shaped[np.ndarray, "batch 3 height width"],
) -> Shaped[np.ndarray, "batch 1 height width"]:
    """0.299 R + 0.587 G + 0.114 B (ITU-R BT.601) in 16-bit fixed point, exactly as Pillow's "L"."""
    grey = np.empty((len(colour), 1, *colour.shape[2:]), colour.dtype)
    whole = colour.dtype.kind == "u"
    for index, top in np.ndindex(len(colour), -(-colour.shape[2] // _ROWS)):
        rows = slice(top * _ROWS, (top + 1) * _ROWS)
        red, green, blue = colour[index, :, rows].astype(np.uint32 if whole else np.float64)
        mixed = 19595 * red + 38470 * green + 7471 * blue
        grey[index, 0, rows] = (mixed + 2**15) >> 16 if whole else mixed / 2**16
    return grey
