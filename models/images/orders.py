"""Orders of an array's numbers that are not those of pictures, told by its shape alone.

    (batch, pixels), (pixels, batch), (pixels,)     flat pictures, also with axes of 1 between
    (batch, pixels, 3), (batch, 3, pixels)          flat pictures in colour
    (batch, 1 + pixels)                             flat pictures beside their labels
    (height, width, batch), (..., channels, batch)  the batch last, as MATLAB has it
    (batch, width, height)                          rows and columns exchanged
    (height, width, 4)                              a picture with transparency

`axes.py` reads arrays and refuses these; here is what they are, and the expression that makes
pictures of them. Of each expression the result is read without doubt.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isqrt, prod

import numpy as np

CHANNELS = (1, 3)
LEAST_SIDE = 8
"""Smallest side of flat pictures of an unknown size: that of scikit-learn's digits."""
LONGEST = 8
"""Largest ratio of a picture's sides; beyond it, an axis is rather the batch or all pixels."""
MOST_PIXELS = 2**24
"""Most pixels of one picture; beyond it, an array of two axes is rather many."""
Shape = tuple[int, ...]
Layout = tuple[int, int | str, int | str]
"""Channels, height and width of flat pictures; words where they are not known."""


@dataclass(frozen=True)
class Reading:
    """What an array may be."""

    words: str
    expression: str
    """Python that makes pictures of it; `{0}` is the array's name."""
    has_labels: bool = False
    """Whether its first or last column holds labels."""


ONE_PICTURE = Reading("one grey picture", "{0}[None, None]")


def find_order(shape: Shape, own: tuple[int, int, int]) -> tuple[Reading, ...]:
    """What an array is that holds pictures of the model's own size in another order.

    Args:
        shape: The array's.
        own: (channels, height, width) of the model.
    """
    channels, height, width = own
    pixels = height * width
    layouts: dict[int, Layout] = {n * pixels: (n, height, width) for n in CHANNELS}
    if flat := (*_find_flat_in_colour(shape, own), *_find_flat(shape, layouts)):
        return flat
    if labelled := _find_labelled(shape, own):
        return (*labelled, ONE_PICTURE) if _may_be_picture(shape) else labelled
    *front, last = shape or (0,)
    if tuple(front) == (height, width) and last not in CHANNELS:
        return (*_with_alpha(shape), batch_last(shape))
    if tuple(front) == (height, width, channels) or (tuple(front) == own and last > 4):
        return (batch_last(shape),)
    return _find_exchanged(shape, own)


def find_unsized(shape: Shape) -> tuple[Reading, ...]:
    """What a data set's array is that has no axes of pictures; empty where nobody knows."""
    if len(shape) == 4 and (shape[0] in CHANNELS or shape[2] in CHANNELS) and 0 not in shape:
        return (batch_last(shape),)
    if len(shape) != 2 or 0 in shape:
        return ()
    rows, columns = shape
    square = _square(columns)
    if not square and (labelled := _find_labelled(shape, _square(columns - 1))):
        return labelled
    if not square and (other := _square(rows)):
        return _flat(columns, rows, other, "{0}.T")
    return _flat(rows, columns, square or (1, "height", "width"))


def _find_flat(shape: Shape, layouts: Mapping[int, Layout]) -> tuple[Reading, ...]:
    """Flat pictures, by the shapes that a number of pixels may have."""
    axes = [n for n in shape if n != 1]
    if not axes or len(axes) > 2 or (len(shape) == 4 and is_explicit(shape)):
        return ()
    array = "{0}"
    if axes[-1] not in layouts:
        if len(shape) != 2 or axes[0] not in layouts:
            return ()
        axes, array = axes[::-1], "{0}.T"
    batch, pixels = axes[0] if len(axes) == 2 else 1, axes[-1]
    flat = _flat(batch, pixels, layouts[pixels], array)
    if _may_be_picture(axes) and len(shape) == 2:
        return (*flat, ONE_PICTURE)
    if _may_be_picture(axes) and len(shape) == 3 and shape[0] == 1:
        return (*flat, Reading(ONE_PICTURE.words, "{0}[None]"))
    return flat


def is_explicit(shape: Shape) -> bool:
    """Whether four axes say that they are one grey picture: (1, 1, H, W) or (1, H, W, 1)."""
    batch, *_, last = shape
    sides = shape[2:] if shape[1] == 1 else shape[1:3]
    return batch == 1 and 1 in (shape[1], last) and min(sides) > 1


def _may_be_picture(sides: Sequence[int]) -> bool:
    return len(sides) == 2 and max(sides) <= LONGEST * min(sides) and prod(sides) <= MOST_PIXELS


def _flat(batch: int, pixels: int, layout: Layout, array: str = "{0}") -> tuple[Reading, ...]:
    """Flat pictures; of colours, the order is not known."""
    noun = "flat picture" if batch == 1 else "flat pictures"
    words = f"{batch:,} {noun} of {pixels:,} numbers"
    channels, height, width = layout
    if channels == 1:
        return (Reading(words, f"{array}.reshape(-1, 1, {height}, {width})"),)
    return (
        Reading(f"{words}, channels first", f"{array}.reshape(-1, 3, {height}, {width})"),
        Reading("channels last", f"{array}.reshape(-1, {height}, {width}, 3)"),
    )


def _find_flat_in_colour(shape: Shape, own: tuple[int, int, int]) -> tuple[Reading, ...]:
    """(batch, pixels, 3) and (batch, 3, pixels); of a model in colour, one of them too."""
    channels, height, width = own
    if len(shape) != 3 and (len(shape), channels) != (2, 3):
        return ()
    pixels, batch = height * width, shape[0] if len(shape) == 3 else 1
    if shape[-2:] == (3, pixels):
        return (_flat_in_colour(batch, f"3, {height}, {width}"),)
    if shape[-2:] != (pixels, 3) or (len(shape) == 3 and _may_be_picture(shape[:2])):
        return ()
    return (_flat_in_colour(batch, f"{height}, {width}, 3"),)


def _flat_in_colour(batch: int, layout: str) -> Reading:
    words = f"{batch:,} flat {'picture' if batch == 1 else 'pictures'} in colour"
    return Reading(words, f"{{0}}.reshape(-1, {layout})")


def _find_labelled(shape: Shape, layout: tuple[int, int, int] | None) -> tuple[Reading, ...]:
    """Flat pictures with their labels in the first column, as in MNIST's CSV, or in the last."""
    if layout is None or len(shape) != 2 or shape[1] != 1 + prod(layout):
        return ()
    noun = "flat picture" if shape[0] == 1 else "flat pictures"
    words = f"{shape[0]:,} {noun} of {shape[1] - 1:,} numbers"
    reshaped = f".reshape(-1, {', '.join(map(str, layout))})"
    return (
        Reading(f"{words} after a label", f"{{0}}[:, 1:]{reshaped}", has_labels=True),
        Reading("before a label", f"{{0}}[:, :-1]{reshaped}", has_labels=True),
    )


def batch_last(shape: Shape) -> Reading:
    """The batch last: (H, W, N), (H, W, C, N) or (C, H, W, N)."""
    if len(shape) == 3:
        order = "2, 0, 1)[:, None]"
    else:
        order = "3, 0, 1, 2)" if shape[2] not in CHANNELS else "3, 2, 0, 1)"
    noun = "picture" if shape[-1] == 1 else "pictures"
    return Reading(f"{shape[-1]:,} {noun}, the batch last", "{0}.transpose(" + order)


def _with_alpha(shape: Shape) -> tuple[Reading, ...]:
    """(H, W, 4) or (H, W, 2) with the transparency left out."""
    if len(shape) != 3 or shape[-1] not in (2, 4):
        return ()
    return (Reading("one picture with transparency", f"{{0}}[..., :{shape[-1] - 1}]"),)


def _find_exchanged(shape: Shape, own: tuple[int, int, int]) -> tuple[Reading, ...]:
    channels, height, width = own
    if height == width:
        return ()
    turned = {
        (width, height): "{0}.T",
        (width, height, channels): "{0}.transpose(1, 0, 2)",
        (*shape[:1], width, height): "{0}.transpose(0, 2, 1)",
        (*shape[:1], channels, width, height): "{0}.transpose(0, 1, 3, 2)",
        (*shape[:1], width, height, channels): "{0}.transpose(0, 2, 1, 3)",
    }
    words = "pictures with rows and columns exchanged"
    return (Reading(words, turned[shape]),) if shape in turned else ()


def find_doubt(shape: Shape, form: str, *, channels: int | None) -> tuple[Reading, ...]:
    """The readings of an array of another size, where they are several or the usual one is odd.

    Args:
        shape: The array's.
        form: Its axes as the rules read them: HW, CHW, HWC, NHW, NCHW or NHWC.
        channels: The model's; None for a data set, whose arrays hold many pictures.
    """
    height, width = (shape[form.index(axis)] for axis in "HW")
    if 1 in (height, width) and height != width:
        return _doubt_of_lines(shape, form, height * width)
    if form == "HW" or (form == "HWC" and shape[-1] == 1):
        return _doubt_of_two(shape)
    if len(shape) == 3:
        return _doubt_of_three(shape, form, channels)
    if max(shape[1:]) == 1:  # single pixels: every order is the same
        return ()
    if form == "NHWC" and width in CHANNELS:
        return (batch_last(shape),)
    return _either_end(shape) if shape[1] in CHANNELS and shape[-1] in CHANNELS else ()


def _doubt_of_lines(shape: Shape, form: str, pixels: int) -> tuple[Reading, ...]:
    """Pictures of one row or one column: flat ones."""
    if "C" in form and shape[form.index("C")] == 3:
        return _either_end(shape)
    batch = shape[0] if form.startswith("N") else 1
    return _flat(batch, pixels, _square(pixels) or (1, "height", "width"))


def _either_end(shape: Shape) -> tuple[Reading, ...]:
    """Channels first or last: no array of such pictures has one reading."""
    return Reading("pictures with channels first", ""), Reading("pictures with channels last", "")


def _square(pixels: int) -> tuple[int, int, int] | None:
    """(channels, side, side) of flat pictures, if they are square and not tiny."""
    for channels in CHANNELS:
        side = isqrt(pixels // channels)
        if channels * side**2 == pixels and side >= LEAST_SIDE:
            return channels, side, side
    return None


def _doubt_of_two(shape: Shape) -> tuple[Reading, ...]:
    """(a, b) and (a, b, 1): one picture, or flat ones of b numbers, or of a."""
    rows, columns = shape[:2]
    one = ONE_PICTURE if len(shape) == 2 else Reading(ONE_PICTURE.words, "{0}[None]")
    if rows != columns and (square := _square(columns)):
        return (*_flat(rows, columns, square), one)
    if _may_be_picture([rows, columns]):
        return ()
    if len(shape) == 2 and (square := _square(rows)):
        return (*_flat(columns, rows, square, "{0}.T"), one)
    return (*_flat(rows, columns, (1, "height", "width")), one)


def _doubt_of_three(shape: Shape, form: str, channels: int | None) -> tuple[Reading, ...]:
    """(N, H, W) and its neighbours."""
    first, second, last = shape
    if form == "HWC" and first not in CHANNELS and not _may_be_picture([first, second]):
        flat = _flat_in_colour(first, f"{_sides(second)}, 3")
        return flat, Reading("one colour picture", "{0}[None]")
    if form == "HWC":
        return _either_end(shape) if first in CHANNELS else ()
    if form == "CHW":
        return ()
    grey = Reading(f"{first:,} grey pictures", "{0}[:, None]")
    if channels is not None and (alpha := _with_alpha(shape)):
        return (*alpha, grey)
    if first in (3, 4) and channels is not None:
        return grey, Reading("one colour picture", "{0}[:3][None]" if first == 4 else "{0}[None]")
    if (first != second or second == last) and _may_be_picture([second, last]):
        return ()
    if second == 3:
        return _flat_in_colour(first, f"3, {_sides(last)}"), grey
    return (*_find_one_or_flat(shape, channels), grey, batch_last(shape))


def _find_one_or_flat(shape: Shape, channels: int | None) -> tuple[Reading, ...]:
    """(height, width, 3) or (batch, pixels, 3) of a data set."""
    first, second, last = shape
    if last != 3 or channels is not None:
        return ()
    if _may_be_picture([first, second]) and not _is_square(second):
        return (Reading("one colour picture", "{0}[None]"),)
    return (_flat_in_colour(first, f"{_sides(second)}, 3"),)


def _sides(pixels: int) -> str:
    """Height and width of flat pictures of one channel, in words where they are not known."""
    return f"{isqrt(pixels)}, {isqrt(pixels)}" if _is_square(pixels) else "height, width"


def _is_square(pixels: int) -> bool:
    layout = _square(pixels)
    return layout is not None and layout[0] == 1


def scale_of(array: np.ndarray) -> tuple[str, str]:
    """What brings flat pictures' numbers to 0..1 where they are on another scale, and why."""
    if array.dtype.kind not in "uif":
        return "", ""
    low, high, kind = array.min(), array.max(), array.dtype.kind
    if not (low >= 0 and 1 < high <= (255 if kind == "f" else 16)):  # also NaN
        return "", ""
    white, range_ = (16 if high <= 16 else 255), "0..1" if kind == "f" else "0..255"
    numbers = "Floats" if kind == "f" else "Integers"
    return f" / {white}", f"{numbers} are read as {range_}, and these reach {high:g}. "
