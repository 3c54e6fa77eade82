"""Warnings about a picture as it was sent: its size, its range, and whether anything is in it."""

import math
from collections.abc import Iterable
from operator import sub

import numpy as np
from jaxtyping import Shaped

from models.images.pixel_range import likely_white
from models.images.preprocessing import Step
from models.images.spec import ImageSpec
from models.warnings import Warned

Batch = Shaped[np.ndarray, "batch channel height width"]
PerPicture = list[int] | list[float]

MAX_SCALE = 4.0
"""Largest change of size without a warning."""
MAX_STRETCH = 1.25
"""Largest change of the aspect ratio without a warning."""
MAX_CUT = 2.0
"""Largest change of the aspect ratio by cropping: half of the picture remains. Recipes crop the
pictures of many shapes that they train on down to this, so that less is usual."""
SHALLOW = 255.0
"""White of 8 bits: where there are more, fewer than 8 are hardly meant."""
LEAST_RANGE = 0.1
"""Least share of the range from black to white without a warning."""


def size_warnings(width: int, height: int, spec: ImageSpec) -> tuple[Warned, ...]:
    """Warnings about the change from a picture's size to the model's."""
    if (width, height) == (spec.width, spec.height):
        return ()
    size, wanted = f"{width}x{height}", f"{spec.width}x{spec.height}"
    found = []
    change = (width * spec.height) / (height * spec.width)
    change = max(change, 1 / change)
    if spec.fit == "stretch" and change > MAX_STRETCH:
        found.append(
            Warned(
                "aspect_ratio_changed",
                f"The picture of {size} is stretched to {wanted}: its shapes are distorted by a "
                f"factor of {change:.3g}. Cut or pad it to the shape of {wanted} first.",
            )
        )
    if spec.fit == "crop" and change > MAX_CUT:
        found.append(
            Warned(
                "aspect_ratio_changed",
                f"The picture of {size} is cropped to the shape of {wanted}: "
                f"{1 - 1 / change:.0%} of it is not seen. Cut out the part that matters first.",
            )
        )
    scale = math.sqrt(width * height / (spec.width * spec.height))
    if scale > MAX_SCALE:
        found.append(
            Warned(
                "shrunk",
                f"The picture of {size} is shrunk to {wanted}, by a factor of {scale:.3g}: fine "
                f"detail is lost. Cut out what the model knows, one thing for each picture.",
            )
        )
    if 1 / scale > MAX_SCALE:
        found.append(
            Warned(
                "enlarged",
                f"The picture of {size} is enlarged to {wanted}, by a factor of {1 / scale:.3g}: "
                "it is blurred. Send it in a higher resolution.",
            )
        )
    return tuple(found)


def extremes(values: Batch) -> tuple[PerPicture, PerPicture]:
    """The smallest and the largest pixel of each picture."""
    flat = values.reshape(len(values), -1)
    return np.minimum.reduce(flat, 1).tolist(), np.maximum.reduce(flat, 1).tolist()


def are_constant(values: Batch) -> list[bool]:
    """Whether all pixels of a picture have one value, for each."""
    if len(values) == 1:  # one picture by itself in a third of the time
        only = values.reshape(-1)
        return [not np.count_nonzero(only != only[0])]
    flat = values.reshape(len(values), -1)
    constant: list[bool] = np.logical_and.reduce(flat == flat[:, :1], 1).tolist()
    return constant


def are_wide(lows: PerPicture, highs: PerPicture, white: int) -> bool:
    """Whether every picture uses so much of 0..white that nothing is said of its range."""
    least: float = min(map(sub, highs, lows))
    return least >= LEAST_RANGE * white


def range_warnings(
    lows: PerPicture,
    highs: PerPicture,
    white: int,
    *,
    floats: bool = False,
    white_in_use: int | None = None,
) -> list[tuple[Warned, ...]]:
    """Warnings about the range of each picture; the largest of all pixels hints at white.

    Args:
        lows: Smallest pixels.
        highs: Largest pixels.
        white: White as they are read.
        floats: Whether pixels are floats.
        white_in_use: White by the bits that a file says are in use, where these are fewer.
    """
    least = LEAST_RANGE * white
    narrow = [0 < high - low < least for low, high in zip(lows, highs, strict=True)]
    if True not in narrow:
        return [()] * len(narrow)
    largest = float(max(highs))
    if largest >= LEAST_RANGE * white:
        fix = f"it has hardly any contrast. Stretch its contrast to 0..{white}."
    elif floats and white == 1:
        fix = f"it is read as nearly black. Scale them: array / {largest:g}."
    else:
        likely = white_in_use or likely_white(max(largest, SHALLOW if white > SHALLOW else 1.0))
        fix = f"Add pixel_max={likely} if {likely} is white."
        if likely >= white:
            fix = f"Stretch its contrast to 0..{white}, or make pixel_max smaller."
        fix = f"it is read as nearly black. {fix}"
    return [
        (
            Warned(
                "range_unused",
                f"The picture's pixels lie in {low:g}..{high:g} of 0..{white}: {fix}",
            ),
        )
        if is_narrow
        else ()
        for low, high, is_narrow in zip(lows, highs, narrow, strict=True)
    ]


def constant_warning(steps: Iterable[Step], *, is_plain: bool) -> Warned:
    """The warning where all of a picture, or of its observation, is one value.

    Args:
        steps: What was done to the picture.
        is_plain: Whether the picture had one value before all steps but transparency's.
    """
    composed = next((step.how for step in steps if step.op == "alpha"), None)
    inverted = any(step.op == "invert" for step in steps)
    if composed is not None:
        fault = f"All pixels have one value once transparency is composed {composed}"
        fix = "Leave out invert=true" if inverted else "Add invert=true"
        fix = f"{fix} if it is drawn in the colour of that background"
    elif is_plain:
        fault, fix = "All pixels of the picture have one value", "Send another picture"
    else:
        fault = "All pixels have one value once the picture is brought to the model's size and "
        fault += "levels"
        fix = "Cut out what is to be seen, or stretch its contrast"
    return Warned("constant", f"{fault}: nothing is in it. {fix}.")
