"""Which axis of an array is which."""

import numpy as np
import pytest

from models.errors import ShapeMismatch
from models.images.axes import as_batch
from models.images.spec import ImageSpec

GREY = ImageSpec(channels=1, height=28, width=20)
COLOUR = ImageSpec(channels=3, height=28, width=20)


@pytest.mark.parametrize(
    ("spec", "shape", "batch"),
    [
        (GREY, (28, 20), (1, 1, 28, 20)),
        (GREY, (9, 7), (1, 1, 9, 7)),
        (GREY, (1, 28, 20), (1, 1, 28, 20)),
        (GREY, (28, 20, 1), (1, 1, 28, 20)),
        (GREY, (28, 20, 3), (1, 3, 28, 20)),
        (GREY, (3, 28, 20), (3, 1, 28, 20)),
        (GREY, (1, 50, 40), (1, 1, 50, 40)),
        (GREY, (5, 50, 40), (5, 1, 50, 40)),
        (COLOUR, (3, 28, 20), (1, 3, 28, 20)),
        (COLOUR, (28, 20, 3), (1, 3, 28, 20)),
        (COLOUR, (5, 28, 20), (5, 1, 28, 20)),
        (COLOUR, (3, 50, 40), (1, 3, 50, 40)),
        (COLOUR, (50, 40, 3), (1, 3, 50, 40)),
        (GREY, (2, 1, 28, 20), (2, 1, 28, 20)),
        (GREY, (2, 28, 20, 1), (2, 1, 28, 20)),
        (GREY, (2, 28, 20, 3), (2, 3, 28, 20)),
        (COLOUR, (2, 3, 50, 40), (2, 3, 50, 40)),
        (GREY, (1, 1), (1, 1, 1, 1)),
        (GREY, (5, 1, 1, 1), (5, 1, 1, 1)),
        (GREY, (1, 1, 50, 784), (1, 1, 50, 784)),
        (GREY, (1, 50, 784, 1), (1, 1, 50, 784)),
        (GREY, (1, 28, 20, 3), (1, 3, 28, 20)),
    ],
)
def test_axes_are_told_apart_by_the_spec_and_the_shape(spec, shape, batch):
    assert as_batch(np.zeros(shape), spec).shape == batch


def test_channels_last_keeps_each_pixel_in_its_channel():
    array = np.arange(28 * 20 * 3).reshape(28, 20, 3)
    np.testing.assert_array_equal(as_batch(array, COLOUR)[0, 2], array[:, :, 2])


@pytest.mark.parametrize("shape", [(), (7,), (0, 28, 20), (28, 20, 0), (2, 4, 28, 20), (1,) * 5])
def test_other_shapes_are_refused_with_both_shapes_named(shape):
    with pytest.raises(ShapeMismatch) as caught:
        as_batch(np.zeros(shape), GREY)
    assert str(shape) in str(caught.value)
    assert "(1, 28, 20)" in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "fix"),
    [
        ((1568,), "array.reshape(-1, 1, 28, 28)"),
        ((64, 64, 3, 10), "array.transpose(3, 2, 0, 1)"),
        ((3, 64, 64, 10), "array.transpose(3, 0, 1, 2)"),
        ((5, 1, 1, 28, 28), "array.reshape(-1, 1, 28, 28)"),
        ((2, 4, 9, 7), "array[:, :3]"),
        ((2, 9, 7, 4), "array[..., :3]"),
        ((28, 28, 28, 2), "array[..., :1]"),
        ((2, 2, 28, 28, 3), "array.reshape(-1, 28, 28, 3)"),
        ((2, 28, 9, 7), None),
        ((28, 28, 1, 1, 1), None),
        ((2, 5, 28, 28), "array.reshape(-1, 1, 28, 28)"),
        ((1, 5, 28, 28), "array.reshape(-1, 1, 28, 28)"),
        ((2, 3, 5, 28, 28), "array.reshape(-1, 1, 28, 28)"),
        ((0, 28, 28), None),
    ],
)
def test_a_refusal_says_how_to_make_pictures_of_the_array(shape, fix):
    square = ImageSpec(channels=1, height=28, width=28)
    with pytest.raises(ShapeMismatch) as caught:
        as_batch(np.zeros(shape), square)
    assert caught.value.details["received"] == shape
    suggestion = caught.value.details.get("suggestion")
    assert suggestion == fix
    assert f"Send {fix or 'an array of such a shape'}." in str(caught.value)
    assert caught.value.details["parameter"] == "images"


@pytest.mark.parametrize(
    ("shape", "fault"),
    [
        ((1, 28, 9, 7), "axis 3 has 7 channels; 1 or 3 are taken"),
        ((1, 7, 28, 20), "axis 1 has 7 channels; 1 or 3 are taken"),
        ((28,), "it has 1 axis; 2, 3 or 4 are taken"),
        ((1,) * 5, "it has 5 axes; 2, 3 or 4 are taken"),
        ((0, 28, 20), "it is empty"),
    ],
)
def test_a_refusal_says_what_is_wrong_with_the_shape(shape, fault):
    with pytest.raises(ShapeMismatch) as caught:
        as_batch(np.zeros(shape), GREY)
    assert f"The array of images has the shape {shape}: {fault}." in str(caught.value)


def test_the_suggested_reshape_keeps_every_pixel_in_its_place():
    array = np.arange(2 * 2 * 28 * 20 * 3).reshape(2, 2, 28, 20, 3)
    with pytest.raises(ShapeMismatch) as caught:
        as_batch(array, COLOUR)
    assert caught.value.details["suggestion"] == "array.reshape(-1, 28, 20, 3)"
    batch = as_batch(array.reshape(-1, 28, 20, 3), COLOUR)
    np.testing.assert_array_equal(batch[3, 2], array[1, 1, :, :, 2])


def test_one_row_of_a_picture_is_refused_with_what_to_send():
    with pytest.raises(ShapeMismatch, match="Send all rows of a picture together"):
        as_batch(np.zeros(28), GREY)
