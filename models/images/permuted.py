"""Pictures of the model's own size whose axes stand in another order, such as (28, 100, 28)."""

from itertools import permutations

from models.images.orders import CHANNELS, Reading, Shape

_MOST_NAMED = 2
Order = tuple[int, ...]


def find_permuted(shape: Shape, own: tuple[int, int, int], form: str | None) -> tuple[Reading, ...]:
    """What an array is whose axes, moved, are those of pictures of the model's own size.

    Four axes of which the second is 1 say themselves where the channel is. Where height and width
    are side by side, the number of channels is what differs.

    Args:
        shape: The array's.
        own: (channels, height, width) of the model.
        form: Its axes as they are read in another size; None if they are not.
    """
    is_explicit = len(shape) == 4 and shape[1] == 1
    has_size = len(shape) == 4 and own[1:] in (shape[2:], shape[1:3])
    is_channel_first = form is None and shape[:1] == own[:1] == (3,)
    if len(shape) not in (3, 4) or form == "HWC" or is_explicit:
        return ()
    if has_size and not is_channel_first:
        return ()
    orders = [order for order in permutations(range(len(shape))) if _is_own(order, shape, own)]
    found = tuple(_reading(order, shape, own) for order in orders[:_MOST_NAMED])
    return (*found, *_usual(shape, form)) if found else ()


def _is_own(order: Order, shape: Shape, own: tuple[int, int, int]) -> bool:
    """Whether moving the axes makes pictures; rows are never exchanged with as many columns."""
    moved, size = tuple(shape[i] for i in order), own[1:]
    if order == tuple(range(len(shape))) or moved[-2:] != size:
        return False
    if size[0] == size[1] and order[-2] > order[-1]:
        return False
    return moved[1] in CHANNELS if len(moved) == 4 else moved == own or own[0] == 1


def _reading(order: Order, shape: Shape, own: tuple[int, int, int]) -> Reading:
    moved = tuple(shape[i] for i in order)
    batch = 1 if moved == own else moved[0]
    added = "[:, None]" if len(moved) == 3 and own[0] == 1 else ""
    noun = "picture" if batch == 1 else "pictures"
    words = f"{batch:,} {noun} with the axes in another order"
    return Reading(words, f"{{0}}.transpose({', '.join(map(str, order))}){added}")


def _usual(shape: Shape, form: str | None) -> tuple[Reading, ...]:
    """The array as the rules read it, and the expression that says so."""
    if form is None:
        return ()
    height, width = (shape[form.index(axis)] for axis in "HW")
    if height in CHANNELS or width in CHANNELS:
        return ()
    words = f"{shape[0]:,} pictures of {width}x{height}"
    if form == "NHW":
        return (Reading(words, "{0}[:, None]"),)
    if form == "NHWC" and shape[-1] == 1:
        return (Reading(words, "{0}.transpose(0, 3, 1, 2)"),)
    return (Reading(f"{words}, to be sent one by one", ""),)
