"""Pictures and arrays to observations: one way for all of them."""

import gzip
import time

import numpy as np
import pytest

from models.errors import (
    InputError,
    OutOfSupport,
    PayloadTooLarge,
    ShapeMismatch,
)
from models.images import ImageSpec, ReadOptions, read_array, read_levels, read_picture
from tests.models.images.picture_files import file_of

RANDOM = np.random.default_rng(0)
GREY = ImageSpec(channels=1, height=28, width=28)
COLOUR = ImageSpec(channels=3, height=28, width=28)
THRESHOLD = ImageSpec(channels=1, height=28, width=28, levels=2, binarization="threshold")
STOCHASTIC = ImageSpec(channels=1, height=28, width=28, levels=2, binarization="stochastic")
PICTURE = RANDOM.integers(0, 256, (28, 28), dtype=np.uint8)
COLOURED = RANDOM.integers(0, 256, (28, 28, 3), dtype=np.uint8)


def spec_of(**fields: object) -> ImageSpec:
    return ImageSpec(**{"channels": 1, "height": 28, "width": 28, **fields})


def one(array: np.ndarray, spec: ImageSpec, **options: object) -> np.ndarray:
    (observation,) = read_array(array, spec, options=ReadOptions(**options))
    return observation.x


def steps(array: np.ndarray, spec: ImageSpec, **options: object) -> tuple[str, ...]:
    return read_array(array, spec, options=ReadOptions(**options))[0].preprocessing


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
    first, second = read_array(array, GREY, options=ReadOptions(centre=True))
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


# Numbers


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
    assert caught.value.details["suggestion"] == "pixel_max=1"


def test_an_all_black_integer_picture_is_black():
    assert not one(np.zeros((28, 28), np.uint8), GREY).any()


@pytest.mark.parametrize(
    ("value", "reason", "fix"),
    [
        (np.nan, "NaN", "numpy.nan_to_num(array)"),
        (np.inf, "infinite", "numpy.nan_to_num(array)"),
        (-np.inf, "infinite", "numpy.nan_to_num(array)"),
        (-0.5, "negative", "(array + 1) / 2"),
        (-7, "negative", "Scale them to 0..1"),
        (1.5, "1.5", "pixel_max=255"),
        (300, "300", "pixel_max=65535"),
        (1e6, "1000000", "Scale them to 0..1"),
    ],
)
def test_values_outside_the_scale_are_refused_by_item_with_a_fix(value, reason, fix):
    array = np.zeros((4, 28, 28), np.float32)
    array[2, 5, 5] = value
    with pytest.raises(OutOfSupport, match=r"1 of 4 pictures .* outside 0\.\.1\.") as caught:
        read_array(array, GREY)
    assert fix in str(caught.value)
    assert fix in caught.value.details["suggestion"]
    ((item, why),) = caught.value.items
    assert item == 2
    assert reason in why


def test_integers_above_white_are_refused():
    with pytest.raises(OutOfSupport, match=r"outside 0\.\.255\. Add pixel_max=65535") as caught:
        one(np.full((28, 28), 256, np.uint16), GREY)
    assert caught.value.items == ((0, "value 256 is above pixel_max 255"),)


def test_a_float_tiff_outside_the_unit_interval_is_refused():
    with pytest.raises(OutOfSupport, match=r"outside 0\.\.1\. Scale them to 0\.\.1"):
        read_picture(file_of(np.full((28, 28), 2, np.float32), "TIFF"), GREY)


def test_a_float_tiff_inside_the_unit_interval_is_read():
    picture = read_picture(file_of(np.full((28, 28), 0.5, np.float32), "TIFF"), GREY)
    assert np.unique(picture.x).tolist() == [128]


@pytest.mark.parametrize("dtype", [object, complex, "U3", "S3", "datetime64[s]"])
def test_only_real_numbers_are_pixels(dtype):
    with pytest.raises(InputError, match=r"holds .*array\.astype"):
        read_array(np.zeros((28, 28), dtype), GREY)


def test_an_empty_array_is_refused():
    with pytest.raises(ShapeMismatch, match=r"\(0, 28, 28\)"):
        read_array(np.zeros((0, 28, 28)), GREY)


# Batches and the training cache


def test_a_batch_gives_what_each_picture_gives_alone():
    batch = RANDOM.integers(0, 256, (5, 40, 30), dtype=np.uint8)
    for spec in (GREY, STOCHASTIC):
        for together, alone in zip(read_array(batch, spec), batch, strict=True):
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
    for observation, image in zip(read_array(images, STOCHASTIC), images, strict=True):
        np.testing.assert_array_equal(observation.x, read_picture(file_of(image), STOCHASTIC).x)
