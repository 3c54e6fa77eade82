"""Decisions about the model's pictures: colour, size, and how pictures of other sizes fit into it.

`choose.py` makes them first; the model and the training follow from them.
"""

from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate
from statistics import median

from models.errors import ConfigError
from training.recipes.asked import num_epochs
from training.recipes.describe import Description
from training.recipes.draft import Draft, Reason

SMALLEST_SIDE = {1: 28, 3: 32}
"""Longer side of the model's pictures, by channels, where pictures or time allow no more."""
SIDES = (128, 64)
"""Longer sides of larger ones, taken where pictures are that large and the time suffices."""
ALWAYS_KEPT = 64
"""Pictures of one size keep it where no side is longer, whatever the time."""
ENOUGH_EPOCHS = 60
"""Passes over the pictures without which a larger size gains nothing."""
COLOUR_SHARE = 0.1
"""Share of the pictures that must have colour to make the model's pictures RGB."""
MAIN_SHARE = 0.95
"""Share of the pictures that must have a size to make it the one size of the data."""
_ALIKE = 1.1
"""Largest ratio of two aspects that count as the same."""
_SHARED = 0.9
"""Share of the pictures that must have nearly one aspect to make it the model's."""


def decide_colour(draft: Draft, seen: Description) -> None:
    """RGB where enough of the pictures have colour."""
    channels = 3 if seen.facts.colour_share >= COLOUR_SHARE else 1
    num_colour, count = seen.facts.num_colour, seen.facts.count
    because = f"{num_colour:,} of {count:,} pictures have colour"
    if num_colour in (0, count):
        because = f"{'all pictures have' if num_colour else 'no picture has'} colour"
    choice = "RGB" if channels == 3 else "grey"
    draft.decide("image", Reason("colour", choice, because), channels=channels)


def decide_size(draft: Draft, seen: Description) -> None:
    """The pictures' own size where it is small, else the largest that the time allows.

    Raises:
        ConfigError: The size is asked for twice, by `Asked.size` and by an entry.
    """
    asked_height, asked_width = draft.size
    if side := draft.asked.size:
        _refuse_two(draft, side)
        (height, width), because = _at_side(side, seen), f"the longer side is to be {side}"
    else:
        (height, width), because = _own_size(draft, seen) or _common_size(draft, seen)
    if asked_height and not asked_width:
        width = max(1, round(asked_height * width / height))
    if asked_width and not asked_height:
        height = max(1, round(asked_width * height / width))
    size = asked_height or height, asked_width or width
    choice = f"{size[1]}x{size[0]}"
    reason = Reason("size", choice, f"{because}, and {_say_cost(draft, seen, size)}")
    draft.decide("image", reason, height=height, width=width)


def _refuse_two(draft: Draft, side: int) -> None:
    height, width = draft.size
    if height or width:
        entry = f"image.height={height}" if height else f"image.width={width}"
        raise ConfigError(
            f"--size {side} and --set {entry} both set the size. Leave one of them out.",
            parameter="size",
            received=side,
        )


def _own_size(draft: Draft, seen: Description) -> tuple[tuple[int, int], str] | None:
    """The size of nearly all pictures, if there is one, and it is small or the time allows it."""
    size, who = main_size(seen)
    is_small = max(size) <= ALWAYS_KEPT
    if who and (is_small or (max(size) <= max(SIDES) and _has_time(draft, seen, size))):
        return size, f"{who} have it"
    return None


def main_size(seen: Description) -> tuple[tuple[int, int], str]:
    """The most frequent size, and who has it in words; no words where many have others."""
    (size, having), *others = seen.facts.sizes.most_common()
    if not others:
        return size, "all pictures"
    count = seen.facts.count
    return size, f"{having:,} of {count:,} pictures" if having >= MAIN_SHARE * count else ""


def _common_size(draft: Draft, seen: Description) -> tuple[tuple[int, int], str]:
    """A size for pictures of many sizes or of a large one; it keeps an aspect that most share."""
    (high, wide), who = main_size(seen)
    aspect = _shared_aspect(seen)
    found = f"{who} are {wide}x{high}" if who else f"there are {len(seen.facts.sizes):,} sizes"
    found += " of one shape" if aspect and aspect != 1 and not who else ""
    # A square is cut from pictures of many shapes: it is as large as their shorter side.
    which, measure = ("longer", max) if aspect else ("shorter", min)
    own = _median_of(measure, seen)
    because = f"{found}, the {which} side is {own:g} in the median"
    side, too_long = SMALLEST_SIDE[3 if draft.has_colour else 1], 0
    for candidate in SIDES:
        if candidate <= own:
            if _has_time(draft, seen, _sides(candidate, aspect or 1.0)):
                side = candidate
                break
            too_long = candidate
    if too_long:
        epochs = _epochs(draft, seen, _sides(too_long, aspect or 1.0))
        plural = "" if epochs == 1 else "s"
        because += f", {too_long} pixels would leave time for {epochs} epoch{plural} only"
    return _sides(side, aspect or 1.0), because


def _shared_aspect(seen: Description) -> float | None:
    """The aspect of most pictures, 1 where it is nearly that; None where they share none."""
    aspect = _median_of(_aspect, seen)
    if _share_near(aspect, seen) < _SHARED:
        return None
    return 1.0 if _ratio(aspect, 1.0) <= _ALIKE else aspect


def _sides(longer: int, aspect: float) -> tuple[int, int]:
    """(height, width) of that longer side and about that aspect, in multiples of 4."""
    other = longer if aspect == 1 else max(4, 4 * round(longer / _ratio(aspect, 1.0) / 4))
    return (other, longer) if aspect > 1 else (longer, other)


def _at_side(longer: int, seen: Description) -> tuple[int, int]:
    """(height, width) of that longer side in the pictures' own shape; square where they have none.

    To the pixel where pictures have one size.
    """
    (height, width), who = main_size(seen)
    if not who:
        return _sides(longer, _shared_aspect(seen) or 1.0)
    scale = longer / max(height, width)
    return max(1, round(scale * height)), max(1, round(scale * width))


def _has_time(draft: Draft, seen: Description, size: tuple[int, int]) -> bool:
    epoch = seen.facts.count * size[0] * size[1]
    return draft.asked.pixels >= ENOUGH_EPOCHS * epoch


def _epochs(draft: Draft, seen: Description, size: tuple[int, int]) -> int:
    """Epochs at a size: those asked for, or those that the time allows."""
    epoch = seen.facts.count * size[0] * size[1]
    return draft.number("training", "epochs") or num_epochs(draft.asked.pixels, epoch=epoch)


def _say_cost(draft: Draft, seen: Description, size: tuple[int, int]) -> str:
    count, epochs = seen.facts.count, _epochs(draft, seen, size)
    time = draft.asked.say_time(epochs * count * size[0] * size[1])
    words = ("epochs", "take") if epochs > 1 else ("epoch", "takes")
    return f"{epochs} {words[0]} of {count:,} pictures then {words[1]} {time}"


def decide_fit(draft: Draft, seen: Description) -> None:
    """How pictures of another size fit into the chosen one."""
    height, width = draft.size
    kept = _median_of(lambda size: 1 / _ratio(_aspect(size), width / height), seen)
    if _share_near(width / height, seen) >= _SHARED and len(seen.facts.sizes) > 1:
        fit, because = "stretch", "most pictures have nearly that shape"
    elif seen.has_plain_border:
        fit, because = "pad", f"they stand on a plain background ({seen.background} of 255)"
    elif kept > 0.5:
        fit, because = "crop", "they fill their frame, and the middle shows most of it"
    else:
        fit, because = "pad", "the middle alone would show less than half of most pictures"
    draft.decide("image", Reason("fit to the size", fit, because), fit=fit)
    draft.fill({"image": {"background": seen.background}})


def _median_of(measure: Callable[[tuple[int, int]], float], seen: Description) -> float:
    """The median of a measure over all pictures, computed once per size."""
    counted = sorted((measure(size), n) for size, n in seen.facts.sizes.items())
    ends = list(accumulate(n for _, n in counted))
    middle = ((ends[-1] - 1) // 2, ends[-1] // 2)
    return median(counted[bisect_right(ends, position)][0] for position in middle)


def _aspect(size: tuple[int, int]) -> float:
    return size[1] / size[0]


def _ratio(aspect: float, other: float) -> float:
    return max(aspect / other, other / aspect)


def _share_near(aspect: float, seen: Description) -> float:
    """Share of the pictures that have nearly that aspect."""
    sizes = seen.facts.sizes
    near = sum(n for size, n in sizes.items() if _ratio(_aspect(size), aspect) <= _ALIKE)
    return near / sizes.total()
