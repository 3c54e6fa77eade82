"""The range of pixels: white in an array of numbers, and pixels outside 0..white refused."""

import numpy as np
from jaxtyping import Shaped

from models.errors import InputError, OutOfSupport

Batch = Shaped[np.ndarray, "batch channel height width"]


def check_numbers(values: Batch, pixel_max: int | None) -> tuple[Batch, int]:
    """Check an array's type and range.

    Args:
        values: The pixels.
        pixel_max: White, as the caller says; None for 255 of integers, 1 of floats and booleans.

    Returns:
        The pixels, integers as uint8 or uint16, and white.

    Raises:
        InputError: No real numbers; or integers of maximum 1 without `pixel_max`.
        OutOfSupport: Negative, above white, NaN or infinite; `items` says which pictures.
    """
    if values.dtype.kind not in "buif":
        raise InputError(
            f"The array holds {values.dtype}; pixels are integers, floats or booleans. Convert it: "
            'array.astype("float32").',
            received=str(values.dtype),
            allowed=("uint8", "uint16", "float32", "bool"),
            suggestion='array.astype("float32")',
        )
    integers = values.dtype.kind in "ui"
    white = pixel_max or (255 if integers else 1)
    if values.dtype.kind == "b":
        values = values.view(np.uint8)
    check_range(values, white, larger_whites=(255, 65535))
    if integers and pixel_max is None and values.max() == 1:
        raise InputError(
            "The largest integer is 1, and integers are read as 0..255: these pictures would be "
            "nearly black. Add pixel_max=1 if 1 is white, or pixel_max=255 if they are that dark.",
            parameter="pixel_max",
            allowed=(1, 255, 65535),
            suggestion="pixel_max=1",
        )
    if values.dtype.kind != "f":
        return values.astype(np.uint8 if white <= 255 else np.uint16, copy=False), white
    return values, white


def check_range(values: Batch, white: int, *, larger_whites: tuple[int, ...] = ()) -> None:
    """Refuse pixels outside 0..white.

    Args:
        values: The pixels.
        white: The largest one allowed.
        larger_whites: Other values that `pixel_max` may have; none for a picture file.

    Raises:
        OutOfSupport: `items` says which pictures.
    """
    low, high = values.min(), values.max()
    if low >= 0 and high <= white:  # false for NaN
        return
    items = tuple(
        (index, reason)
        for index, one in enumerate(values)
        if (reason := _fault(one, white)) is not None
    )
    larger = next((one for one in larger_whites if low >= 0 and high <= one), None)
    if not np.isfinite(low) or not np.isfinite(high):
        suggestion = "numpy.nan_to_num(array)"
        fix = f"Replace NaN and infinity: {suggestion}"
    elif larger is not None:
        suggestion = f"pixel_max={larger}"
        fix = f"Add {suggestion} if {larger} is white"
    elif low >= -1 and high <= 1:
        suggestion = "(array + 1) / 2"
        fix = f"Scale them: {suggestion}"
    else:
        suggestion, fix = None, f"Scale them to 0..{white}"
    several = f"{len(items)} of {len(values)} pictures have"
    raise OutOfSupport(
        f"{several if len(values) > 1 else 'The picture has'} pixels outside 0..{white}. {fix}.",
        items=items,
        parameter="pixel_max" if larger else None,
        allowed=(0, white),
        suggestion=suggestion,
    )


def _fault(picture: Shaped[np.ndarray, "channel height width"], white: int) -> str | None:
    low, high = picture.min(), picture.max()
    if not np.isfinite(low) or not np.isfinite(high):
        return "NaN or infinite"
    if low < 0:
        return f"value {low} is negative"
    return f"value {high} is above pixel_max {white}" if high > white else None
