"""Colour to grey, and grey to colour."""

import numpy as np
from PIL import Image

from tests.models.images.readings import COLOUR, COLOURED, GREY, PICTURE, one, spec_of, steps

RANDOM = np.random.default_rng(0)


def test_colour_becomes_grey_exactly_as_pillows_l():
    expected = np.asarray(Image.fromarray(COLOURED).convert("L"))
    np.testing.assert_array_equal(one(COLOURED, GREY)[0], expected)
    assert steps(COLOURED, GREY) == ("grey rec601",)


def test_colour_in_floats_becomes_grey_without_rounding():
    array = np.broadcast_to(np.array([1.0, 0.5, 0.0]), (28, 28, 3))
    x = one(array, spec_of(levels=65536))
    np.testing.assert_allclose(x, (0.299 + 0.587 / 2) * 65535, atol=0.6)


def test_grey_is_repeated_to_rgb():
    x = one(PICTURE, COLOUR)
    np.testing.assert_array_equal(x, np.stack([PICTURE] * 3))
    assert steps(PICTURE, COLOUR) == ("repeat grey to RGB",)
