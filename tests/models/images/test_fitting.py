"""Another size to the model's size, and the foreground to the middle."""

from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from models.images.fitting import centre, fit
from models.images.preprocessing import Step
from models.images.spec import ImageSpec


def spec_of(height: int, width: int, **fields: object) -> ImageSpec:
    return ImageSpec(channels=1, height=height, width=width, **fields)


def words(steps: Sequence[Step]) -> list[str]:
    return [step.words for step in steps]


def test_the_right_size_is_left_alone():
    values = np.arange(16, dtype=np.uint8).reshape(1, 1, 4, 4)
    fitted, steps = fit(values, spec_of(4, 4), 255)
    assert fitted is values
    assert steps == ()


def test_stretch_is_pillows_antialiased_kernel_in_floats():
    values = np.random.default_rng(0).integers(0, 65536, (2, 1, 40, 30)).astype(np.uint16)
    fitted, steps = fit(values, spec_of(8, 12, resample="bilinear"), 65535)
    plane = Image.fromarray(values[1, 0].astype(np.float32))
    expected = np.asarray(plane.resize((12, 8), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(fitted[1, 0], expected)
    assert words(steps) == ["resize stretch bilinear 30x40 to 12x8"]


@pytest.mark.parametrize("kernel", ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"])
def test_every_kernel_stays_between_black_and_white(kernel):
    values = (np.indices((1, 1, 9, 9)).sum(axis=0) % 2 * 255).astype(np.uint8)
    fitted, _ = fit(values, spec_of(20, 20, resample=kernel), 255)
    assert fitted.min() >= 0
    assert fitted.max() <= 255


def test_crop_takes_the_middle_and_keeps_integers_when_one_side_already_fits():
    values = np.arange(24, dtype=np.uint8).reshape(1, 1, 4, 6)
    fitted, steps = fit(values, spec_of(4, 4, fit="crop"), 255)
    np.testing.assert_array_equal(fitted, values[:, :, :, 1:5])
    assert fitted.dtype == np.uint8
    assert words(steps) == ["crop 6x4 to 4x4"]


def test_crop_of_an_odd_surplus_does_not_blur():
    values = np.arange(20, dtype=np.uint8).reshape(1, 1, 4, 5)
    fitted, _ = fit(values, spec_of(4, 4, fit="crop"), 255)
    np.testing.assert_array_equal(fitted, values[:, :, :, :4])


def test_crop_scales_the_largest_middle_part_of_the_right_aspect():
    values = np.zeros((1, 1, 8, 16), np.uint8)
    values[:, :, :, 4:12] = 200
    fitted, steps = fit(values, spec_of(4, 4, fit="crop", resample="box"), 255)
    np.testing.assert_array_equal(fitted, np.full((1, 1, 4, 4), 200))
    assert words(steps) == ["resize crop box 16x8 to 4x4"]


def test_pad_frames_with_the_background_and_keeps_integers_without_scaling():
    values = np.full((1, 1, 4, 2), 9, np.uint16)
    fitted, steps = fit(values, spec_of(4, 4, fit="pad", background=255), 65535)
    np.testing.assert_array_equal(fitted[0, 0, 0], [65535, 9, 9, 65535])
    assert fitted.dtype == np.uint16
    assert words(steps) == ["pad 2x4 to 4x4 on 255"]


def test_pad_shrinks_to_fit_inside():
    values = np.full((1, 1, 8, 16), 100.0, np.float32)
    fitted, steps = fit(values, spec_of(4, 4, fit="pad"), 255)
    np.testing.assert_array_equal(fitted[0, 0, :, 0], [0, 100, 100, 0])
    assert words(steps) == ["resize pad bilinear 16x8 to 4x4 on 0"]


def test_pad_of_an_extreme_aspect_keeps_one_pixel():
    fitted, _ = fit(np.full((1, 1, 1, 5000), 50, np.uint8), spec_of(4, 4, fit="pad"), 255)
    assert (fitted == 50).sum() == 4


def test_pad_of_the_same_aspect_needs_no_frame():
    _, steps = fit(np.zeros((1, 1, 8, 8), np.uint8), spec_of(4, 4, fit="pad"), 255)
    assert words(steps) == ["resize pad bilinear 8x8 to 4x4"]


@pytest.mark.parametrize("background", [0, 255])
def test_centre_moves_the_mass_to_the_middle(background):
    values = np.full((1, 1, 7, 7), background, np.uint8)
    values[0, 0, 0, 6] = 100
    moved, steps = centre(values, spec_of(7, 7, background=background), 255)
    expected = np.full((7, 7), background)
    expected[3, 3] = 100
    np.testing.assert_array_equal(moved[0, 0], expected)
    assert words(steps) == ["centre -3 right +3 down"]


def test_centre_leaves_an_empty_picture_alone():
    moved, steps = centre(np.zeros((1, 1, 4, 4), np.float32), spec_of(4, 4), 1)
    assert not moved.any()
    assert words(steps) == ["centre +0 right +0 down"]


def test_centre_moves_each_picture_by_itself():
    values = np.zeros((2, 1, 5, 5), np.uint8)
    values[0, 0, 0, 0] = values[1, 0, 4, 4] = 1
    moved, steps = centre(values, spec_of(5, 5), 1)
    assert moved[:, 0, 2, 2].tolist() == [1, 1]
    assert words(steps) == ["centre +2 right +2 down", "centre -2 right -2 down"]
