"""Arrays that hold pictures in another order: refused, with expressions that make pictures."""

import re

import numpy as np
import pytest

from models.errors import ShapeMismatch
from models.images.axes import as_batch, as_stack
from models.images.reading import read_images
from models.images.spec import ImageSpec

GREY = ImageSpec(channels=1, height=28, width=28)
DIGITS = ImageSpec(channels=1, height=8, width=8)
COLOUR = ImageSpec(channels=3, height=32, width=32)
OBLONG = ImageSpec(channels=1, height=28, width=20)
EXPRESSION = re.compile(r"array(?:\.T)?(?:\.\w+\([^)]*\)|\[[^\]]*\])*(?: / \d+)?(?=[,. ])")


def refuse(array, spec):
    """The error of an array, and what each of its expressions makes of it."""
    with pytest.raises(ShapeMismatch) as caught:
        as_batch(array, spec)
    message = str(caught.value)
    send = message.partition("Send ")[2]
    found = EXPRESSION.findall(send)
    assert caught.value.details.get("suggestion") == (found[0] if found else None)
    return message, [as_batch(eval(one, {"array": array}), spec) for one in found]


def numbers(*shape):
    return np.random.default_rng(1).random(shape, dtype=np.float32)


@pytest.mark.parametrize(
    ("spec", "shape", "batches"),
    [
        (GREY, (100, 784), [(100, 1, 28, 28), (1, 1, 100, 784)]),
        (GREY, (784, 100), [(100, 1, 28, 28), (1, 1, 784, 100)]),
        (GREY, (784, 784), [(784, 1, 28, 28), (1, 1, 784, 784)]),
        (GREY, (2, 784), [(2, 1, 28, 28)]),
        (GREY, (784,), [(1, 1, 28, 28)]),
        (GREY, (1, 784), [(1, 1, 28, 28)]),
        (GREY, (784, 1), [(1, 1, 28, 28)]),
        (GREY, (5, 784, 1), [(5, 1, 28, 28)]),
        (GREY, (5, 1, 784), [(5, 1, 28, 28)]),
        (GREY, (1, 5, 784), [(5, 1, 28, 28)]),
        (GREY, (1, 600, 784), [(600, 1, 28, 28), (1, 1, 600, 784)]),
        (GREY, (5, 1, 1, 784), [(5, 1, 28, 28)]),
        (GREY, (5, 784, 1, 1), [(5, 1, 28, 28)]),
        (GREY, (5, 2352), [(5, 3, 28, 28), (5, 3, 28, 28)]),
        (DIGITS, (100, 64), [(100, 1, 8, 8), (1, 1, 100, 64)]),
        (OBLONG, (1965, 560), [(1965, 1, 28, 20), (1, 1, 1965, 560)]),
        (COLOUR, (5, 3072), [(5, 3, 32, 32), (5, 3, 32, 32)]),
        (COLOUR, (3072,), [(1, 3, 32, 32), (1, 3, 32, 32)]),
        (COLOUR, (5, 1024), [(5, 1, 32, 32)]),
        (COLOUR, (5, 1024, 3), [(5, 3, 32, 32)]),
        (COLOUR, (5, 3, 1024), [(5, 3, 32, 32)]),
        (COLOUR, (1024, 3), [(1, 3, 32, 32), (3, 1, 32, 32)]),
        (COLOUR, (3, 1024), [(1, 3, 32, 32), (3, 1, 32, 32)]),
        (COLOUR, (5, 3073), [(5, 3, 32, 32), (5, 3, 32, 32)]),
        (GREY, (5, 784, 3), [(5, 3, 28, 28)]),
        (GREY, (5, 3, 784), [(5, 3, 28, 28)]),
        (GREY, (784, 3), [(3, 1, 28, 28)]),
        (GREY, (5, 785), [(5, 1, 28, 28), (5, 1, 28, 28)]),
        (GREY, (1, 785), [(1, 1, 28, 28), (1, 1, 28, 28)]),
        (GREY, (500, 785), [(500, 1, 28, 28), (500, 1, 28, 28), (1, 1, 500, 785)]),
    ],
)
def test_flat_pictures_of_the_models_size_are_refused(spec, shape, batches):
    message, made = refuse(numbers(*shape), spec)
    assert f"{shape}, which " in message
    assert "flat picture" in message
    assert [one.shape for one in made] == batches


@pytest.mark.parametrize(
    ("shape", "batches"),
    [
        ((100, 64), [(100, 1, 8, 8), (1, 1, 100, 64)]),
        ((5, 3072), [(5, 3, 32, 32), (5, 3, 32, 32), (1, 1, 5, 3072)]),
        ((4096, 400), [(4096, 1, 20, 20), (1, 1, 4096, 400)]),
        ((4096, 30), [(30, 1, 64, 64), (1, 1, 4096, 30)]),
        ((50, 1, 64), [(50, 1, 8, 8)]),
        ((50, 64, 1), [(50, 1, 8, 8), (1, 1, 50, 64)]),
        ((5, 64, 3), [(5, 3, 8, 8), (1, 3, 5, 64)]),
        ((5, 3, 64), [(5, 3, 8, 8), (5, 1, 3, 64)]),
    ],
)
def test_flat_pictures_of_another_size_are_told_by_their_number_of_pixels(shape, batches):
    _, made = refuse(numbers(*shape), GREY)
    assert [one.shape for one in made] == batches


@pytest.mark.parametrize(
    "shape", [(40, 1), (5, 1, 40), (5, 1, 40, 1), (5, 1000), (9000, 2914), (5000, 4000)]
)
def test_flat_pictures_of_no_square_size_are_reshaped_by_the_caller(shape):
    with pytest.raises(ShapeMismatch, match=r"Send array.reshape\(-1, 1, height, width\)"):
        as_batch(numbers(*shape), GREY)


def test_flat_rows_become_the_pictures_that_they_were():
    pictures = numbers(5, 1, 28, 28)
    _, (made, _) = refuse(np.repeat(pictures.reshape(5, 784), 50, axis=0), GREY)
    np.testing.assert_array_equal(made[::50], pictures)
    _, (made,) = refuse(pictures.reshape(5, 784).T, GREY)
    np.testing.assert_array_equal(made, pictures)


def test_flat_pictures_in_colour_become_the_pictures_that_they_were():
    pictures = numbers(5, 3, 32, 32)
    _, (first,) = refuse(pictures.reshape(5, 3, 1024), COLOUR)
    _, (last,) = refuse(pictures.transpose(0, 2, 3, 1).reshape(5, 1024, 3), COLOUR)
    np.testing.assert_array_equal(first, pictures)
    np.testing.assert_array_equal(last, pictures)


def test_labels_beside_flat_pictures_are_left_out_and_say_nothing_of_the_scale():
    pictures = numbers(50, 1, 28, 28)
    rows, labels = pictures.reshape(50, 784), np.full((50, 1), 9.0)
    message, (first, _) = refuse(np.hstack([labels, rows]), GREY)
    assert "50 flat pictures of 784 numbers after a label, or before a label" in message
    _, (_, last) = refuse(np.hstack([rows, labels]), GREY)
    np.testing.assert_array_equal(first, pictures)
    np.testing.assert_array_equal(last, pictures)


def test_flat_colour_pictures_have_two_orders():
    pictures = numbers(5, 3, 32, 32)
    _, (first, _) = refuse(pictures.reshape(5, -1), COLOUR)
    _, (_, last) = refuse(pictures.transpose(0, 2, 3, 1).reshape(5, -1), COLOUR)
    np.testing.assert_array_equal(first, pictures)
    np.testing.assert_array_equal(last, pictures)


@pytest.mark.parametrize(
    ("spec", "axes"),
    [
        (GREY, (2, 3, 1, 0)),
        (GREY, (1, 2, 3, 0)),
        (COLOUR, (2, 3, 1, 0)),
        (COLOUR, (1, 2, 3, 0)),
        (OBLONG, (2, 3, 1, 0)),
    ],
)
def test_the_batch_last_is_moved_first(spec, axes):
    pictures = numbers(7, *spec.shape)
    message, (made,) = refuse(pictures.transpose(axes), spec)
    assert "looks like 7 pictures, the batch last" in message
    np.testing.assert_array_equal(made, pictures)


def test_the_batch_last_of_grey_pictures_without_channels_is_moved_first():
    pictures = numbers(100, 1, 28, 28)
    _, (made,) = refuse(pictures[:, 0].transpose(1, 2, 0), GREY)
    np.testing.assert_array_equal(made, pictures)


@pytest.mark.parametrize(
    ("spec", "shape", "words", "batches"),
    [
        (GREY, (32, 32, 100), "32 grey pictures, or 100", [(32, 1, 32, 100), (100, 1, 32, 32)]),
        (GREY, (20, 30, 999), "20 grey pictures, or 999", [(20, 1, 30, 999), (999, 1, 20, 30)]),
        (GREY, (3, 50, 40), "3 grey pictures, or one col", [(3, 1, 50, 40), (1, 3, 50, 40)]),
        (GREY, (4, 50, 40), "4 grey pictures, or one col", [(4, 1, 50, 40), (1, 3, 50, 40)]),
        (COLOUR, (4, 32, 32), "4 grey pictures, or one col", [(4, 1, 32, 32), (1, 3, 32, 32)]),
        (GREY, (60, 40, 4), "transparency, or 60 grey", [(1, 3, 60, 40), (60, 1, 40, 4)]),
        (GREY, (60, 40, 2), "transparency, or 60 grey", [(1, 1, 60, 40), (60, 1, 40, 2)]),
        (GREY, (28, 28, 4), "transparency, or 4 pictures", [(1, 3, 28, 28), (4, 1, 28, 28)]),
        (COLOUR, (50, 50, 3, 1), "looks like 1 picture, the batch last", [(1, 3, 50, 50)]),
        (COLOUR, (2, 3, 50, 3), "channels first, or pictures with channels last", []),
        (COLOUR, (3, 50, 3), "channels first, or pictures with channels last", []),
        (GREY, (1, 50, 3), "channels first, or pictures with channels last", []),
    ],
)
def test_where_two_readings_are_possible_both_are_named(spec, shape, words, batches):
    message, made = refuse(numbers(*shape), spec)
    assert words in message
    assert [one.shape for one in made] == batches
    assert batches or "Send picture files, such as PNG." in message


@pytest.mark.parametrize(
    ("shape", "made"),
    [
        ((20, 28), (1, 1, 28, 20)),
        ((1, 20, 28), (1, 1, 28, 20)),
        ((20, 28, 1), (1, 1, 28, 20)),
        ((5, 20, 28), (5, 1, 28, 20)),
        ((5, 1, 20, 28), (5, 1, 28, 20)),
        ((5, 20, 28, 1), (5, 1, 28, 20)),
    ],
)
def test_rows_and_columns_exchanged_are_exchanged_back(shape, made):
    message, (batch,) = refuse(numbers(*shape), OBLONG)
    assert "rows and columns exchanged" in message
    assert batch.shape == made


@pytest.mark.parametrize(
    ("array", "ending", "reason"),
    [
        (np.full((9, 64), 16.0), " / 16", "Floats are read as 0..1, and these reach 16. "),
        (np.full((9, 64), 16), " / 16", "Integers are read as 0..255, and these reach 16. "),
        (np.full((9, 64), 255.0), " / 255", "Floats are read as 0..1, and these reach 255. "),
        (np.full((9, 64), 255), "", ""),
        (np.full((9, 64), 0.5), "", ""),
        (np.full((9, 64), -0.5), "", ""),
        (np.full((9, 64), np.nan), "", ""),
        (np.full((9, 64), True), "", ""),
        (np.full((9, 64), 1), "", ""),
    ],
)
def test_flat_pictures_on_another_scale_are_also_divided(array, ending, reason):
    with pytest.raises(ShapeMismatch) as caught:
        as_batch(array, DIGITS)
    assert caught.value.details["suggestion"] == f"array.reshape(-1, 1, 8, 8){ending}"
    assert ("are read as" in str(caught.value)) == bool(reason)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "shape", "fix"),
    [
        (GREY, (480, 640), "array.reshape(-1, 1, height, width)"),
        (GREY, (1288, 1850), "array.reshape(-1, 1, height, width)"),
        (GREY, (3, 28, 28), "array[None]"),
        (COLOUR, (3, 768, 1024), "shape (N, 3, 32, 32)"),
        (COLOUR, (768, 1024, 3), "array.reshape(-1, 32, 32, 3)"),
    ],
)
def test_an_array_that_is_less_likely_something_else_is_read_with_a_warning(spec, shape, fix):
    array = numbers(*shape)
    found = read_images(array, spec)
    for observation in found:
        (warned,) = [one for one in observation.warnings if one.code == "axes_guessed"]
        assert f"The array of shape {shape} is read as " in warned.message
        assert warned.message.endswith(f", send {fix}.")
    if not fix.startswith("array"):
        return
    as_suggested = eval(fix, {"array": array, "height": 1, "width": shape[1]})
    assert len(as_batch(as_suggested, spec) if "height" not in fix else as_suggested) != len(found)


@pytest.mark.parametrize(
    ("spec", "shape"),
    [
        (GREY, (28, 28)),
        (GREY, (30, 20)),
        (GREY, (90, 90)),
        (GREY, (2, 28, 28)),
        (GREY, (28, 28, 3)),
        (GREY, (1, 1, 480, 640)),
        (COLOUR, (3, 32, 32)),
        (COLOUR, (64, 64, 3)),
        (ImageSpec(channels=1, height=20, width=90), (20, 90)),
    ],
)
def test_an_array_of_one_reading_has_no_warning_of_its_axes(spec, shape):
    found = read_images(numbers(*shape), spec)
    assert not [w for one in found for w in one.warnings if w.code == "axes_guessed"]


def test_a_view_in_fortran_order_is_read_by_its_axes():
    pictures = np.asfortranarray(numbers(5, 28, 28))
    np.testing.assert_array_equal(as_batch(pictures, GREY)[:, 0], pictures)


@pytest.mark.parametrize(
    ("shape", "batch"),
    [
        ((9, 4, 5), (9, 1, 4, 5)),
        ((3, 4, 4), (3, 1, 4, 4)),
        ((9, 3, 3), (9, 1, 3, 3)),
        ((9, 4, 4, 3), (9, 3, 4, 4)),
        ((9, 3, 4, 4), (9, 3, 4, 4)),
        ((9, 4, 4, 1), (9, 1, 4, 4)),
    ],
)
def test_a_data_sets_pictures_are_of_any_size(shape, batch):
    made = as_stack(numbers(*shape))
    assert isinstance(made, np.ndarray)
    assert made.shape == batch


@pytest.mark.parametrize(
    ("shape", "expressions"),
    [
        ((90, 784), ["{0}.reshape(-1, 1, 28, 28)"]),
        ((784, 90), ["{0}.T.reshape(-1, 1, 28, 28)"]),
        (
            (90, 785),
            ["{0}[:, 1:].reshape(-1, 1, 28, 28)", "{0}[:, :-1].reshape(-1, 1, 28, 28)"],
        ),
        (
            (90, 784, 3),
            ["{0}.reshape(-1, 28, 28, 3)", "{0}[:, None]", "{0}.transpose(2, 0, 1)[:, None]"],
        ),
        (
            (90, 3, 50),
            ["{0}.reshape(-1, 3, height, width)", "{0}[:, None]"],
        ),
        (
            (480, 640, 3),
            ["{0}[None]", "{0}[:, None]", "{0}.transpose(2, 0, 1)[:, None]"],
        ),
        ((90, 15), ["{0}.reshape(-1, 1, height, width)"]),
        ((28, 28, 90), ["{0}[:, None]", "{0}.transpose(2, 0, 1)[:, None]"]),
        ((32, 32, 3, 90), ["{0}.transpose(3, 2, 0, 1)"]),
        ((3, 32, 32, 90), ["{0}.transpose(3, 0, 1, 2)"]),
        ((9, 4, 5, 4), []),
        ((0, 4, 5), []),
        ((0, 4), []),
        ((90,), []),
    ],
)
def test_a_data_sets_array_of_another_order_is_named(shape, expressions):
    found = as_stack(np.zeros(shape))
    assert isinstance(found, tuple)
    assert [one.expression for one in found] == expressions
