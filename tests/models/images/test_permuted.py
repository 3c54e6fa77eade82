"""Pictures of the model's size with their axes in another order: refused, and moved back."""

from itertools import permutations

import numpy as np
import pytest

from models.errors import ShapeMismatch
from models.images.axes import as_batch
from models.images.spec import ImageSpec

GREY = ImageSpec(channels=1, height=28, width=28)
OBLONG = ImageSpec(channels=1, height=28, width=20)
COLOUR = ImageSpec(channels=3, height=20, width=28)


def numbers(*shape):
    return np.random.default_rng(1).random(shape, dtype=np.float32)


def refuse(array, spec):
    """The error's words, and what its first expression makes of the array."""
    with pytest.raises(ShapeMismatch) as caught:
        as_batch(array, spec)
    made = eval(caught.value.details["suggestion"], {"array": array})
    return str(caught.value), as_batch(made, spec)


@pytest.mark.parametrize("count", [5, 50])
@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_colour_pictures_in_any_order_are_never_read_as_others(order, count):
    pictures = numbers(count, *COLOUR.shape)
    moved = pictures.transpose(order)
    if order in ((0, 1, 2, 3), (0, 2, 3, 1)):
        np.testing.assert_array_equal(as_batch(moved, COLOUR), pictures)
    else:
        _, made = refuse(moved, COLOUR)
        np.testing.assert_array_equal(made, pictures)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_grey_pictures_in_any_order_are_never_read_as_others(order):
    pictures = numbers(50, 28, 20)
    moved = pictures.transpose(order)
    if order == (0, 1, 2):
        np.testing.assert_array_equal(as_batch(moved, OBLONG)[:, 0], pictures)
    else:
        _, made = refuse(moved, OBLONG)
        np.testing.assert_array_equal(made[:, 0], pictures)


@pytest.mark.parametrize(
    ("spec", "shape", "words", "expressions", "batches"),
    [
        (
            GREY,
            (28, 100, 28),
            "100 pictures with the axes in another order, or 28 pictures of 28x100",
            "array.transpose(1, 0, 2)[:, None] or array[:, None]",
            (100, 28),
        ),
        (
            GREY,
            (28, 28, 100, 1),
            "100 pictures with the axes in another order, or 28 pictures of 100x28",
            "array.transpose(2, 3, 0, 1) or array.transpose(0, 3, 1, 2)",
            (100, 28),
        ),
    ],
)
def test_the_usual_reading_is_named_with_the_expression_that_says_so(
    spec, shape, words, expressions, batches
):
    message, _ = refuse(numbers(*shape), spec)
    assert words in message
    assert f"Send {expressions}, whichever it is." in message
    for one, count in zip(expressions.split(" or "), batches, strict=True):
        assert len(as_batch(eval(one, {"array": numbers(*shape)}), spec)) == count


def test_pictures_of_another_size_that_cannot_say_so_are_to_be_sent_one_by_one():
    message, _ = refuse(numbers(28, 3, 20, 100), COLOUR)
    assert "or 28 pictures of 100x20, to be sent one by one" in message


def test_one_picture_in_colour_is_moved_back():
    picture = numbers(20, 28, 3)
    message, made = refuse(picture.transpose(0, 2, 1), COLOUR)
    assert "looks like 1 picture with the axes in another order" in message or "may be 1" in message
    np.testing.assert_array_equal(made[0], picture.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("spec", "shape"),
    [
        (GREY, (28, 1, 100, 28)),
        (GREY, (5, 3, 28, 28)),
        (GREY, (5, 28, 28, 3)),
        (GREY, (28, 28, 3)),
        (GREY, (5, 28, 30)),
        (COLOUR, (5, 1, 20, 28)),
        (COLOUR, (5, 3, 40, 56)),
        (COLOUR, (40, 28, 3)),
    ],
)
def test_pictures_that_say_their_axes_are_read(spec, shape):
    assert as_batch(numbers(*shape), spec).size == np.prod(shape)
