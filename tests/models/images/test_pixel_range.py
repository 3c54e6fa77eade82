"""White in an array of numbers, and pixels that are refused."""

import numpy as np
import pytest

from models.errors import InputError, OutOfSupport, ShapeMismatch
from models.images import read_images, read_picture
from tests.models.images.picture_files import file_of
from tests.models.images.readings import GREY, PICTURE, one

RANDOM = np.random.default_rng(0)
FINITE = "numpy.nan_to_num(array, nan=0, posinf=1, neginf=0)"


@pytest.mark.parametrize(
    ("array", "pixel_max", "white"),
    [
        (np.full((28, 28), 255, np.uint8), None, 255),
        (np.full((28, 28), 255, np.int64), None, 255),
        (np.full((28, 28), 255, np.uint16), None, 255),
        (np.full((28, 28), 65535, np.uint16), 65535, 255),
        (np.full((28, 28), 1.0), None, 255),
        (np.full((28, 28), 1.0, np.float16), None, 255),
        (np.full((28, 28), 255.0), 255, 255),
        (np.full((28, 28), 1, np.uint8), 1, 255),
        (np.full((28, 28), True), None, 255),
        (np.full((28, 28), 1, np.uint8), 255, 1),
    ],
)
def test_white_depends_on_the_kind_of_number_unless_pixel_max_says_it(array, pixel_max, white):
    assert np.unique(one(array, GREY, pixel_max=pixel_max)).tolist() == [white]


def test_integers_of_maximum_one_are_refused_and_pixel_max_is_named():
    with pytest.raises(InputError, match="Add pixel_max=1 ") as caught:
        one(PICTURE // 128, GREY)
    assert caught.value.details["suggestion"] == 1


def test_an_all_black_integer_picture_is_black():
    assert not one(np.zeros((28, 28), np.uint8), GREY).any()


@pytest.mark.parametrize(
    ("value", "reason", "fix"),
    [
        (np.nan, "NaN", FINITE),
        (np.inf, "infinite", FINITE),
        (-np.inf, "infinite", FINITE),
        (-0.5, "negative", "(array + 1) / 2"),
        (-7, "negative", "Scale them to 0..1"),
        (1.5, "1.5", "pixel_max=255"),
        (16, "16", "pixel_max=16"),
        (300, "300", "pixel_max=1023"),
        (4000, "4000", "pixel_max=4095"),
        (1e6, "1000000", "Scale them to 0..1"),
    ],
)
def test_values_outside_the_scale_are_refused_by_item_with_a_fix(value, reason, fix):
    array = np.zeros((4, 28, 28), np.float32)
    array[2, 5, 5] = value
    with pytest.raises(
        OutOfSupport, match=r"1 of 4 pictures has pixels .*: picture 2 has "
    ) as caught:
        read_images(array, GREY)
    assert ("outside 0..1:" in str(caught.value)) == bool(np.isfinite(value))
    assert fix in str(caught.value)
    details = caught.value.details
    if fix.startswith("pixel_max="):
        assert (details["parameter"], details["allowed"]) == ("pixel_max", [1, 65535])
        assert details["suggestion"] == int(fix.removeprefix("pixel_max="))
    else:
        assert (details["parameter"], details["allowed"]) == ("images", [0, 1])
        assert details.get("suggestion") == (None if "Scale" in fix else fix)
    ((item, why),) = caught.value.items
    assert item == 2
    assert reason in why
    shown = "NaN" if np.isnan(value) else str(np.float32(value))
    assert f"picture 2 has {shown}. " in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_replacement_of_values_that_are_not_finite_is_read(value):
    array = np.zeros((28, 28), np.float32)
    array[5, 5] = value
    replaced = np.nan_to_num(array, nan=0, posinf=1, neginf=0)
    assert one(replaced, GREY)[0, 5, 5] == (255 if value == np.inf else 0)


def test_one_half_is_added_only_where_white_is_one():
    with pytest.raises(OutOfSupport, match=r"Scale them to 0\.\.255\.$"):
        one(np.full((28, 28), -0.5), GREY, pixel_max=255)


def test_integers_above_white_are_refused():
    with pytest.raises(
        OutOfSupport, match=r"outside 0\.\.255: it has .* Add pixel_max=1023 if"
    ) as caught:
        one(np.full((28, 28), 256, np.uint16), GREY)
    assert caught.value.items == ((0, "value 256 is above pixel_max 255"),)


def test_a_float_tiff_outside_the_unit_interval_is_refused():
    with pytest.raises(OutOfSupport, match=r"outside 0\.\.1: it has 2\.0\. Add pixel_max=255 "):
        read_picture(file_of(np.full((28, 28), 2, np.float32), "TIFF"), GREY)


def test_a_float_tiff_inside_the_unit_interval_is_read():
    picture = read_picture(file_of(np.full((28, 28), 0.5, np.float32), "TIFF"), GREY)
    assert np.unique(picture.x).tolist() == [128]


@pytest.mark.parametrize("dtype", [object, complex, "U3", "S3", "datetime64[s]"])
def test_only_real_numbers_are_pixels(dtype):
    with pytest.raises(InputError, match=r"holds .*array\.astype"):
        read_images(np.zeros((28, 28), dtype), GREY)


def test_an_empty_array_is_refused():
    with pytest.raises(ShapeMismatch, match=r"\(0, 28, 28\)"):
        read_images(np.zeros((0, 28, 28)), GREY)
