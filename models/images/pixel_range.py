"""The range of pixels: white in an array of numbers, and pixels outside 0..white refused."""

from typing import Any

import numpy as np
from jaxtyping import Shaped

from models.errors import InputError, OutOfSupport

Batch = Shaped[np.ndarray, "batch channel height width"]

MAX_WHITE = 65535
USUAL_WHITES = (1, 3, 7, 15, 16, 31, 255, 1023, 4095, 16383, 65535)
"""White of usual depths in bits; 16 is that of scikit-learn's digits."""


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
            parameter="images",
            received=str(values.dtype),
            allowed=("uint8", "uint16", "float32", "bool"),
            suggestion='array.astype("float32")',
        )
    integers = values.dtype.kind in "ui"
    white = pixel_max or (255 if integers else 1)
    if values.dtype.kind == "b":
        values = values.view(np.uint8)
    check_range(values, white)
    if integers and pixel_max is None and values.max() == 1:
        raise InputError(
            "The largest integer is 1, and integers are read as 0..255: these pictures would be "
            "nearly black. Add pixel_max=1 if 1 is white, or pixel_max=255 if they are that dark.",
            parameter="pixel_max",
            allowed=(1, MAX_WHITE),
            suggestion=1,
        )
    if values.dtype.kind != "f":
        return values.astype(np.uint8 if white <= 255 else np.uint16, copy=False), white
    return values, white


def likely_white(largest: float) -> int:
    """White of the usual depth whose pixels reach `largest`, at most 65535."""
    return next(white for white in USUAL_WHITES if white >= largest)


def check_range(values: Batch, white: int) -> None:
    """Refuse pixels outside 0..white.

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
    finite = bool(np.isfinite(low) and np.isfinite(high))
    fault = f"outside 0..{white}" if finite else "that are NaN or infinite"
    several = len(values) > 1
    who = f"{len(items)} of {len(values)} pictures" if several else "The picture"
    has = "has" if len(items) == 1 else "have"
    first = f"picture {items[0][0]}" if several else "it"
    fix: dict[str, Any] = {"parameter": "images", "allowed": (0, white)}
    if not finite:
        fix["suggestion"] = f"numpy.nan_to_num(array, nan=0, posinf={white}, neginf=0)"
        advice = f"Replace them: {fix['suggestion']}"
    elif low >= 0 and high <= MAX_WHITE:
        few_bits = values.dtype.kind == "f" and high <= 7  # floats of so few levels are rare
        larger = likely_white(255.0 if few_bits else float(high))
        fix = {"parameter": "pixel_max", "allowed": (1, MAX_WHITE), "suggestion": larger}
        advice = f"Add pixel_max={larger} if {larger} is white"
    elif low >= -1 and high <= 1 == white:
        fix["suggestion"] = "(array + 1) / 2"
        advice = f"Scale them: {fix['suggestion']}"
    else:
        advice = f"Scale them to 0..{white}"
    raise OutOfSupport(
        f"{who} {has} pixels {fault}: {first} has {_shown(values[items[0][0]])}. {advice}.",
        items=items,
        **fix,
    )


def _shown(picture: Shaped[np.ndarray, "channel height width"]) -> str:
    """A value that is at fault."""
    low, high = picture.min(), picture.max()
    return "NaN" if np.isnan(low) else str(low if low < 0 and not np.isposinf(high) else high)


def _fault(picture: Shaped[np.ndarray, "channel height width"], white: int) -> str | None:
    low, high = picture.min(), picture.max()
    if not np.isfinite(low) or not np.isfinite(high):
        return "NaN or infinite"
    if low < 0:
        return f"value {low} is negative"
    return f"value {high} is above pixel_max {white}" if high > white else None
