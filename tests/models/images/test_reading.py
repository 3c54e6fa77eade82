"""Pictures and arrays to observations: one way for all of them."""

import gzip
import time

import numpy as np
import pytest

from models.errors import (
    PayloadTooLarge,
    ShapeMismatch,
)
from models.images import ReadOptions, read_images, read_levels, read_picture
from tests.models.images.picture_files import file_of
from tests.models.images.readings import (
    COLOUR,
    COLOURED,
    GREY,
    PICTURE,
    STOCHASTIC,
    THRESHOLD,
    one,
    spec_of,
    steps,
)

RANDOM = np.random.default_rng(0)


# Files and arrays


@pytest.mark.parametrize("spec", [GREY, COLOUR, THRESHOLD, STOCHASTIC, spec_of(levels=17)])
@pytest.mark.parametrize("array", [PICTURE, COLOURED], ids=["grey", "colour"])
def test_file_bytes_and_floats_of_one_picture_give_one_observation(spec, array):
    from_file = read_picture(file_of(array), spec).x
    np.testing.assert_array_equal(one(array, spec), from_file)
    np.testing.assert_array_equal(one(array.astype(np.int64), spec), from_file)
    if array.ndim == spec.channels:  # colour to grey rounds bytes, not floats
        np.testing.assert_array_equal(one((array / 255).astype(np.float32), spec), from_file)


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
def test_a_file_and_an_array_of_another_size_give_one_observation(fit):
    array = RANDOM.integers(0, 256, (50, 70, 3), dtype=np.uint8)
    spec = spec_of(fit=fit)
    from_file = read_picture(file_of(array), spec)
    np.testing.assert_array_equal(one(array, spec), from_file.x)
    assert from_file.preprocessing[0] == "grey rec601"
    assert from_file.preprocessing[1].startswith(f"resize {fit} bilinear 70x50 to 28x28")


# Options


@pytest.mark.parametrize("array", [PICTURE, PICTURE / 255, PICTURE > 100])
def test_invert_turns_black_into_white(array):
    np.testing.assert_array_equal(one(array, GREY, invert=True), 255 - one(array, GREY))
    assert steps(array, GREY, invert=True)[0] == "invert"


def test_transparent_pixels_stay_background_when_inverted():
    ink = np.zeros((28, 28, 4), np.uint8)
    ink[3, 3, 3] = 255
    observation = read_picture(file_of(ink), GREY, options=ReadOptions(invert=True))
    assert observation.x.sum() == observation.x[0, 3, 3] == 255
    assert observation.preprocessing[1] == "invert"


def test_centre_moves_each_picture_and_says_how():
    array = np.zeros((2, 28, 28), np.uint8)
    array[0, 4, 4] = array[1, 20, 20] = 200
    first, second = read_images(array, GREY, options=ReadOptions(centre=True))
    np.testing.assert_array_equal(first.x, second.x)
    assert first.preprocessing == ("centre +10 right +10 down",)
    assert second.preprocessing == ("centre -6 right -6 down",)


def test_resize_never_refuses_another_size_and_names_both():
    with pytest.raises(ShapeMismatch, match=r"is 30x20 .*resize=never.*takes 28x28") as caught:
        one(np.zeros((20, 30)), GREY, resize="never")
    assert caught.value.details["parameter"] == "resize"
    assert caught.value.details["allowed"] == ["28x28"]
    with pytest.raises(ShapeMismatch, match="7x9"):
        read_picture(file_of(PICTURE[:9, :7]), GREY, options=ReadOptions(resize="never"))


def test_resize_never_accepts_the_models_size():
    np.testing.assert_array_equal(one(PICTURE, GREY, resize="never")[0], PICTURE)


def test_arrays_have_the_pixel_limit_of_files():
    with pytest.raises(PayloadTooLarge, match="783"):
        one(PICTURE, GREY, max_pixels=783)


# Batches and the training cache


def test_a_batch_gives_what_each_picture_gives_alone():
    batch = RANDOM.integers(0, 256, (5, 40, 30), dtype=np.uint8)
    for spec in (GREY, STOCHASTIC):
        for together, alone in zip(read_images(batch, spec), batch, strict=True):
            np.testing.assert_array_equal(together.x, one(alone, spec))


@pytest.mark.parametrize(
    "spec",
    [GREY, COLOUR, THRESHOLD, spec_of(levels=17), spec_of(levels=300), spec_of(values="unit")],
)
def test_the_training_cache_holds_what_the_service_reads(spec):
    cache = read_levels(COLOURED[None], spec)
    assert cache.dtype == (np.uint8 if spec.levels <= 256 else np.uint16)
    scale = np.float32(spec.levels - 1 if spec.values == "unit" else 1)
    np.testing.assert_array_equal(cache[0] / scale, read_picture(file_of(COLOURED), spec).x)
    np.testing.assert_array_equal(read_levels(file_of(COLOURED), spec), cache)


def test_the_training_cache_of_a_stochastic_spec_holds_grey_values():
    np.testing.assert_array_equal(read_levels(PICTURE, STOCHASTIC)[0, 0], PICTURE)
    cut = read_levels(PICTURE, STOCHASTIC, options=ReadOptions(binarize="threshold"))
    np.testing.assert_array_equal(cut[0, 0], PICTURE > 127)


def test_a_thousand_pictures_of_the_right_size_take_no_loop_over_pixels():
    batch = RANDOM.integers(0, 256, (1000, 28, 28), dtype=np.uint8)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        read_levels(batch, GREY)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.05  # about 1 ms on an idle core


def test_mnist_files_and_arrays_are_one(data_dir):
    with gzip.open(data_dir("mnist") / "t10k-images-idx3-ubyte.gz") as stream:
        images = np.frombuffer(stream.read(16 + 20 * 784), np.uint8, offset=16).reshape(20, 28, 28)
    for observation, image in zip(read_images(images, STOCHASTIC), images, strict=True):
        np.testing.assert_array_equal(observation.x, read_picture(file_of(image), STOCHASTIC).x)


def test_an_array_whose_layout_is_known_is_not_told_by_its_shape():
    spec = GREY.model_copy(update={"height": 6, "width": 4})
    array = np.zeros((9, 1, 4, 6), np.uint8)
    with pytest.raises(ShapeMismatch, match="rows and columns exchanged"):
        read_images(array, spec)
    (one, *_) = read_images(array, spec, options=ReadOptions(layout="NCHW"))
    assert one.preprocessing[0].startswith("resize")
