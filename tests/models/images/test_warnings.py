"""Warnings about pictures as they were sent, each at its bound, and fixes that undo them."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models.images import ImageSpec, ReadOptions, read_images, read_picture
from models.images.warnings import range_warnings
from models.warnings import Warned
from tests.models.images.picture_files import file_of
from tests.models.images.readings import COLOUR, GREY, PICTURE, THRESHOLD, spec_of

DARK = (PICTURE // 16).astype(np.uint8)
DEEP = PICTURE.astype(np.uint16)


def warned(source: np.ndarray | bytes, spec: ImageSpec = GREY, **options: object) -> list[Warned]:
    """The warnings of all pictures of an array or file."""
    chosen = ReadOptions(**options)
    if isinstance(source, bytes):
        return list(read_picture(source, spec, options=chosen).warnings)
    return [one for read in read_images(source, spec, options=chosen) for one in read.warnings]


def codes(source: np.ndarray | bytes, spec: ImageSpec = GREY, **options: object) -> list[str]:
    return [one.code for one in warned(source, spec, **options)]


def fix_of(message: str) -> dict[str, object]:
    """The option that a message names."""
    found = re.search(r"Add (\w+)=(\w+)", message)
    assert found is not None, message
    return {found[1]: True if found[2] == "true" else int(found[2])}


def test_a_proper_picture_has_no_warning():
    assert codes(PICTURE) == []
    assert codes(file_of(PICTURE)) == []


@pytest.mark.parametrize(
    ("shape", "spec", "expected"),
    [
        ((28, 35), GREY, []),
        ((28, 36), GREY, ["aspect_ratio_changed"]),
        ((36, 28), GREY, ["aspect_ratio_changed"]),
        ((28, 36), spec_of(fit="pad"), []),
        ((28, 56), spec_of(fit="crop"), []),
        ((28, 57), spec_of(fit="crop"), ["aspect_ratio_changed"]),
        ((112, 112), GREY, []),
        ((113, 113), GREY, ["shrunk"]),
        ((113, 113), spec_of(fit="pad"), ["shrunk"]),
        ((7, 7), GREY, []),
        ((6, 7), GREY, ["enlarged"]),
        ((3, 784), GREY, ["aspect_ratio_changed"]),
    ],
)
def test_a_size_far_from_the_models_is_doubtful(shape, spec, expected):
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert codes(picture[None, None], spec) == expected


@pytest.mark.parametrize(
    ("source", "options", "white"),
    [
        (DARK, {}, 15),
        ((PICTURE / 255 * 16).astype(np.uint8), {}, 16),
        (PICTURE // 128, {"pixel_max": 255}, 1),
        (DEEP * 16, {"pixel_max": 65535}, 4095),
        (DEEP * 4, {"pixel_max": 65535}, 1023),
        (DEEP, {"pixel_max": 65535}, 255),
        (DEEP // 16, {"pixel_max": 65535}, 255),
        (file_of(DEEP * 16), {}, 4095),
        (file_of(DEEP * 16, "TIFF"), {}, 4095),
        (file_of(PICTURE // 128), {}, 1),
        (file_of(np.stack([DARK] * 3, axis=2)), {}, 15),
    ],
)
def test_a_range_of_less_than_a_tenth_names_white(source, options, white):
    (found,) = warned(source, **options)
    assert found.code == "range_unused"
    assert found.message.endswith(f"nearly black. Add pixel_max={white} if {white} is white.")


@pytest.mark.parametrize(
    "source", [DARK, file_of(DARK), file_of(DEEP * 16), file_of(PICTURE // 128)]
)
def test_the_fix_of_an_unused_range_undoes_it(source):
    (found,) = warned(source)
    assert codes(source, **fix_of(found.message)) == []


def test_floats_in_a_tenth_of_the_range_are_to_be_scaled():
    (found,) = warned((PICTURE / 255 / 255).astype(np.float32))
    assert found.message.endswith("nearly black. Scale them: array / 0.00392157.")


def test_a_picture_of_low_contrast_is_not_called_black():
    (found,) = warned(100 + DARK)
    assert found.code == "range_unused"
    assert "100..115 of 0..255: it has hardly any contrast" in found.message


def test_the_darkest_of_several_is_doubtful_by_itself():
    reads = read_images(np.stack([PICTURE, DARK]), GREY)
    assert [[one.code for one in read.warnings] for read in reads] == [[], ["range_unused"]]


def test_a_tiff_of_twelve_bits_names_their_white(data_dir: Callable[[str], Path]):
    file = (data_dir("odd_images") / "12bit.cropped.tif").read_bytes()
    (found,) = [one for one in warned(file) if one.code == "range_unused"]
    assert found.message == (
        "The picture's pixels lie in 0..30 of 0..65535: it is read as nearly black. Add "
        "pixel_max=4095 if 4095 is white."
    )
    (found,) = [one for one in warned(file, pixel_max=4095) if one.code == "range_unused"]
    assert found.message.endswith("Stretch its contrast to 0..4095, or make pixel_max smaller.")


@pytest.mark.parametrize("source", [np.full((28, 28), 90, np.uint8), np.zeros((28, 28), np.uint8)])
def test_a_picture_of_one_value_is_doubtful(source):
    (found,) = warned(source)
    assert found.code == "constant"
    assert found.message.startswith("All pixels of the picture have one value")


def test_a_picture_that_is_lost_on_the_way_is_doubtful():
    grey = np.where(PICTURE > 127, 100, 20).astype(np.uint8)
    (found,) = warned(grey, THRESHOLD)
    assert found.code == "constant"
    assert "once the picture is brought to the model's size and levels" in found.message


@pytest.mark.parametrize(("background", "ink"), [(0, 0), (255, 255)])
@pytest.mark.parametrize("spec", [GREY, COLOUR])
def test_ink_in_the_colour_of_the_background_is_lost_until_the_picture_is_inverted(
    background, ink, spec
):
    drawn = np.full((28, 28, 4), ink, np.uint8)
    drawn[..., 3] = PICTURE
    spec = spec.model_copy(update={"background": background})
    (found,) = warned(file_of(drawn), spec)
    assert found.code == "constant"
    assert f"transparency is composed on {background}" in found.message
    assert codes(file_of(drawn), spec, **fix_of(found.message)) == []
    other = np.concatenate([255 - drawn[..., :3], drawn[..., 3:]], axis=2)
    (lost,) = warned(file_of(other), spec, invert=True)
    assert "Leave out invert=true" in lost.message


def test_a_smaller_white_is_not_taken_for_pixels_above_it():
    with pytest.raises(ValueError, match=r"outside 0\.\.15: it has 255\."):
        warned(file_of(np.array([[0, 255]], np.uint8)), pixel_max=15)


def test_a_larger_white_leaves_a_files_own():
    plain, same = (
        read_picture(file_of(PICTURE), GREY, options=ReadOptions(pixel_max=white)).x
        for white in (None, 65535)
    )
    np.testing.assert_array_equal(plain, same)


def test_a_dark_picture_whose_white_is_known_gets_another_fix():
    ((found,),) = range_warnings([0], [100], 4095, floats=False, white_in_use=4095)
    assert found.message.endswith("Stretch its contrast to 0..4095, or make pixel_max smaller.")
