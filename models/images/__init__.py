"""Pictures and arrays to observations and back; numpy only.

reading    files and arrays to observations       writing   observations to PNG, grids, films
spec       size, colour, levels of observations   levels    grey levels, binarisation
decoding   the formats of files                   axes      the axes of arrays
fitting    resize, crop, pad, centre              colour    RGB to grey
steps      names of what was done                 orientation   EXIF
"""

from models.images.axes import as_batch
from models.images.decoding import MAX_PIXELS
from models.images.reading import (
    Observation,
    ReadOptions,
    read_array,
    read_levels,
    read_picture,
)
from models.images.spec import ImageSpec, check_fit
from models.images.steps import Step
from models.images.writing import grid, to_animation, to_png, to_uint8, to_unit

__all__ = [
    "MAX_PIXELS",
    "ImageSpec",
    "Observation",
    "ReadOptions",
    "Step",
    "as_batch",
    "check_fit",
    "grid",
    "read_array",
    "read_levels",
    "read_picture",
    "to_animation",
    "to_png",
    "to_uint8",
    "to_unit",
]
