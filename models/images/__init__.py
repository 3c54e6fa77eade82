"""Pictures and arrays to observations and back; numpy only.

reading        files and arrays to observations
writing        observations to PNG, JPEG and animations
grid           one picture of many
spec           size, colour and levels of observations
decoding       picture files to pixels
picture_kinds  which formats are read, by their first bytes
modes          palettes, alpha and deep grey to grey or RGB
netpbm         PBM, PGM, PPM and PFM
png_chunks     a PNG without metadata
plain_png      a PNG of one block of pixels
jpeg_blocks    a JPEG without metadata
libtiff        no lines of libtiff
unread         what other files are
orientation    EXIF and XMP
axes           the axes of arrays
orders         flat arrays, and others in no order of pictures
pixel_range    the numbers of arrays, and white
colour         RGB to grey
fitting        resize, crop, pad, centre
levels         grey levels and binarisation
preprocessing  what was done, step by step
warnings       what is doubtful about a picture
"""

from models.config import MAX_PIXELS
from models.images.axes import as_batch
from models.images.grid import grid, is_drawn, to_sheet
from models.images.preprocessing import Step
from models.images.reading import (
    Observation,
    Observations,
    ReadOptions,
    read_images,
    read_levels,
    read_picture,
)
from models.images.spec import ImageSpec, check_fit
from models.images.writing import to_animation, to_jpeg, to_png, to_uint8, to_unit

__all__ = [
    "MAX_PIXELS",
    "ImageSpec",
    "Observation",
    "Observations",
    "ReadOptions",
    "Step",
    "as_batch",
    "check_fit",
    "grid",
    "is_drawn",
    "read_images",
    "read_levels",
    "read_picture",
    "to_animation",
    "to_jpeg",
    "to_png",
    "to_sheet",
    "to_uint8",
    "to_unit",
]
