"""Grey levels and binarisation: the nearest level, and one rule for serving and training."""

import numpy as np
import pytest
import torch

from models.errors import UnsupportedOperation
from models.images import ReadOptions, read_images, read_picture, to_unit
from models.images.levels import (
    background_level,
    binarize,
    cached_levels,
    quantize,
    to_values,
)
from tests.models.images.picture_files import file_of
from tests.models.images.readings import GREY, PICTURE, STOCHASTIC, THRESHOLD, one, spec_of, steps

RANDOM = np.random.default_rng(0)


def test_an_eight_bit_picture_is_its_own_levels():
    observation = read_picture(file_of(PICTURE), GREY)
    np.testing.assert_array_equal(observation.x[0], PICTURE)
    assert observation.x.dtype == np.float32
    assert observation.preprocessing == ()


@pytest.mark.parametrize("levels", [2, 3, 17, 64, 255, 257, 65536])
def test_levels_are_the_nearest(levels):
    bytes_ = np.arange(256, dtype=np.uint8).reshape(16, 16)
    binarization = "threshold" if levels == 2 else "none"
    spec = spec_of(height=16, width=16, levels=levels, binarization=binarization)
    expected = np.floor(bytes_.astype(np.float64) * (levels - 1) / 255 + 0.5)
    np.testing.assert_array_equal(one(bytes_, spec)[0], expected)


def test_seventeen_levels_survive_the_way_out_and_back():
    spec = spec_of(height=1, width=17, levels=17)
    x = np.arange(17).reshape(1, 1, 1, 17)
    unit = to_unit(x, spec)
    np.testing.assert_array_equal(one(unit, spec), x[0])
    picture = np.floor(unit[0] * 255 + 0.5).astype(np.uint8)
    np.testing.assert_array_equal(one(picture, spec), x[0])
    assert steps(picture, spec) == ("levels 17",)


def test_sixteen_bit_pictures_are_scaled_not_truncated():
    deep = RANDOM.integers(0, 65536, (28, 28)).astype(np.uint16)
    observation = read_picture(file_of(deep), GREY)
    np.testing.assert_array_equal(observation.x[0], np.floor(deep / 257 + 0.5))
    assert observation.preprocessing == ("levels 256",)


def test_sixteen_bit_pictures_are_exact_at_65536_levels():
    deep = RANDOM.integers(0, 65536, (28, 28)).astype(np.uint16)
    np.testing.assert_array_equal(read_picture(file_of(deep), spec_of(levels=65536)).x[0], deep)


def test_unit_values_are_the_level_over_the_last_level():
    x = one(PICTURE, spec_of(values="unit"))
    np.testing.assert_array_equal(x[0], PICTURE.astype(np.float32) / np.float32(255))


def test_threshold_is_at_one_half():
    spec = THRESHOLD.model_copy(update={"height": 1, "width": 2})
    assert one(np.array([[127, 128]], np.uint8), spec).ravel().tolist() == [0, 1]
    assert one(np.array([[0.49, 0.5]]), spec).ravel().tolist() == [0, 1]


@pytest.mark.parametrize("binary", [PICTURE > 128, (PICTURE > 128) * np.uint8(255)])
def test_stochastic_binarisation_leaves_binary_pictures_alone(binary):
    np.testing.assert_array_equal(one(binary, STOCHASTIC)[0], binary > 0)


@pytest.mark.parametrize("noise", [0.0, np.nextafter(1.0, 0.0)])
def test_black_is_never_true_and_white_always_whatever_the_noise(noise):
    for white in (1, 255, 65535):
        assert binarize(np.array([0, white]), white, np.array(noise)).tolist() == [False, True]


@pytest.mark.parametrize("white", [1, 3, 16, 100, 254, 255, 4095, 65535])
@pytest.mark.parametrize("levels", [2, 16, 256, 65536])
def test_quantising_integers_is_the_exact_formula(white, levels):
    values = np.arange(white + 1, dtype=np.uint8 if white <= 255 else np.uint16)
    found = quantize(values[None, None, None], white, levels)[0, 0, 0]
    exact = [(2 * v * (levels - 1) + white) // (2 * white) for v in range(white + 1)]
    assert found.tolist() == exact


@pytest.mark.parametrize(
    "spec", [GREY, spec_of(values="unit"), spec_of(levels=65536), THRESHOLD, STOCHASTIC]
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_a_picture_is_the_same_alone_and_among_many(spec, dtype):
    pictures = RANDOM.integers(0, 256, (90, 28, 28)).astype(dtype)
    pictures[::7] = np.where(pictures[::7] > 128, dtype(255), dtype(0))
    options = ReadOptions(pixel_max=255)
    together = read_images(pictures, spec, options=options)
    assert len(together) == 90
    assert together.x.flags.c_contiguous
    for index in (0, 1, 40, 89):
        (alone,) = read_images(pictures[index], spec, options=options)
        np.testing.assert_array_equal(together[index].x, alone.x)
        assert together[index].steps == alone.steps
        assert together[index].warnings == alone.warnings


def test_stochastic_binarisation_is_the_same_every_time_and_differs_between_pictures():
    np.testing.assert_array_equal(one(PICTURE, STOCHASTIC), one(PICTURE, STOCHASTIC))
    near = PICTURE.copy()
    near[0, 0] ^= 1
    assert (one(PICTURE, STOCHASTIC) != one(near, STOCHASTIC)).mean() > 0.1
    assert steps(PICTURE, STOCHASTIC) == ("binarize stochastic",)


def test_stochastic_binarisation_has_the_grey_value_as_its_mean():
    pictures = np.random.default_rng(1).integers(0, 256, (2000, 28, 28), dtype=np.uint8)
    pictures[:, 0] = np.arange(28) * 9  # the first row is the same grey in every picture
    x = np.stack([o.x[0] for o in read_images(pictures, STOCHASTIC)])
    grey = np.arange(28) * 9 / 255
    error = np.sqrt(grey * (1 - grey) / len(pictures))
    assert (np.abs(x[:, 0].mean(axis=0) - grey) <= 4.5 * error).all()
    assert abs(x.mean() - pictures.mean() / 255) < 4.5 * 0.5 / np.sqrt(x.size)


def test_threshold_overrides_the_specs_binarisation_and_is_recorded():
    x = one(PICTURE, STOCHASTIC, binarize="threshold")
    np.testing.assert_array_equal(x[0], PICTURE > 127)
    assert steps(PICTURE, STOCHASTIC, binarize="threshold") == ("binarize threshold",)


def test_a_model_of_many_levels_does_not_binarise():
    with pytest.raises(UnsupportedOperation, match="256"):
        one(PICTURE, GREY, binarize="threshold")


# One rule for arrays and tensors


def test_arrays_and_tensors_are_binarised_and_scaled_alike():
    grey = RANDOM.integers(0, 256, (5, 1, 8, 8)).astype(np.float32)
    noise = RANDOM.random((5, 1, 8, 8), dtype=np.float32)
    x, u = torch.from_numpy(grey), torch.from_numpy(noise)
    assert np.array_equal(binarize(x, 255, u).numpy(), binarize(grey, 255, noise))
    for spec in (GREY, spec_of(values="unit"), spec_of(levels=17, values="unit")):
        assert np.array_equal(to_values(x, spec).numpy(), to_values(grey, spec))
        assert to_values(grey, spec).dtype == np.float32


def test_a_cache_holds_grey_where_training_binarises_anew():
    assert [cached_levels(spec) for spec in (STOCHASTIC, THRESHOLD, GREY)] == [256, 2, 256]


@pytest.mark.parametrize(("white", "level"), [(255, 200), (16, 13), (1, 1), (65535, 51400)])
def test_the_background_is_the_nearest_level(white, level):
    assert background_level(spec_of(background=200), white) == level
