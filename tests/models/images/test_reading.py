"""Pictures and arrays to observations: one way for all of them."""

import gzip
import io
import time

import numpy as np
import pytest
from PIL import Image

from models.errors import (
    InputError,
    OutOfSupport,
    PayloadTooLarge,
    ShapeMismatch,
    UnsupportedOperation,
)
from models.images.reading import ReadOptions, read_array, read_levels, read_picture, to_unit
from models.images.spec import ImageSpec

RANDOM = np.random.default_rng(0)
GREY = ImageSpec(channels=1, height=28, width=28)
COLOUR = ImageSpec(channels=3, height=28, width=28)
THRESHOLD = ImageSpec(channels=1, height=28, width=28, levels=2, binarization="threshold")
STOCHASTIC = ImageSpec(channels=1, height=28, width=28, levels=2, binarization="stochastic")
PICTURE = RANDOM.integers(0, 256, (28, 28), dtype=np.uint8)
COLOURED = RANDOM.integers(0, 256, (28, 28, 3), dtype=np.uint8)


def spec_of(**fields: object) -> ImageSpec:
    return ImageSpec(**{"channels": 1, "height": 28, "width": 28, **fields})


def file_of(array: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()


def one(array: np.ndarray, spec: ImageSpec, **options: object) -> np.ndarray:
    (observation,) = read_array(array, spec, options=ReadOptions(**options))
    return observation.x


def steps(array: np.ndarray, spec: ImageSpec, **options: object) -> tuple[str, ...]:
    return read_array(array, spec, options=ReadOptions(**options))[0].preprocessing


# Levels


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


# Colour


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
    with pytest.raises(ShapeMismatch, match=r"28x28 .*received 30x20"):
        one(np.zeros((20, 30)), GREY, resize="never")
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
    with pytest.raises(InputError, match="pixel_max=1"):
        one(PICTURE // 128, GREY)


def test_an_all_black_integer_picture_is_black():
    assert not one(np.zeros((28, 28), np.uint8), GREY).any()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.nan, "NaN"),
        (np.inf, "infinite"),
        (-np.inf, "infinite"),
        (-0.5, "negative"),
        (1.5, "1.5"),
    ],
)
def test_values_outside_the_scale_are_refused_by_item(value, reason):
    array = np.zeros((4, 28, 28), np.float32)
    array[2, 5, 5] = value
    with pytest.raises(OutOfSupport, match=r"0\.\.1") as caught:
        read_array(array, GREY)
    ((item, why),) = caught.value.items
    assert item == 2
    assert reason in why


def test_integers_above_white_are_refused():
    with pytest.raises(OutOfSupport, match="pixel_max") as caught:
        one(np.full((28, 28), 256, np.uint16), GREY)
    assert caught.value.items == ((0, "value 256 is above pixel_max 255"),)


def test_a_float_tiff_outside_the_unit_interval_is_refused():
    with pytest.raises(OutOfSupport):
        read_picture(file_of(np.full((28, 28), 2, np.float32), "TIFF"), GREY)


def test_a_float_tiff_inside_the_unit_interval_is_read():
    picture = read_picture(file_of(np.full((28, 28), 0.5, np.float32), "TIFF"), GREY)
    assert np.unique(picture.x).tolist() == [128]


@pytest.mark.parametrize("dtype", [object, complex, "U3", "S3", "datetime64[s]"])
def test_only_real_numbers_are_pixels(dtype):
    with pytest.raises(InputError, match="real numbers"):
        read_array(np.zeros((28, 28), dtype), GREY)


def test_an_empty_array_is_refused():
    with pytest.raises(ShapeMismatch, match=r"\(0, 28, 28\)"):
        read_array(np.zeros((0, 28, 28)), GREY)


# Binarisation


def test_threshold_is_at_one_half():
    spec = THRESHOLD.model_copy(update={"height": 1, "width": 2})
    assert one(np.array([[127, 128]], np.uint8), spec).ravel().tolist() == [0, 1]
    assert one(np.array([[0.49, 0.5]]), spec).ravel().tolist() == [0, 1]


@pytest.mark.parametrize("binary", [PICTURE > 128, (PICTURE > 128) * np.uint8(255)])
def test_stochastic_binarisation_leaves_binary_pictures_alone(binary):
    np.testing.assert_array_equal(one(binary, STOCHASTIC)[0], binary > 0)


def test_stochastic_binarisation_is_the_same_every_time_and_differs_between_pictures():
    np.testing.assert_array_equal(one(PICTURE, STOCHASTIC), one(PICTURE, STOCHASTIC))
    near = PICTURE.copy()
    near[0, 0] ^= 1
    assert (one(PICTURE, STOCHASTIC) != one(near, STOCHASTIC)).mean() > 0.1
    assert steps(PICTURE, STOCHASTIC) == ("binarize stochastic",)


def test_stochastic_binarisation_has_the_grey_value_as_its_mean():
    pictures = np.random.default_rng(1).integers(0, 256, (2000, 28, 28), dtype=np.uint8)
    pictures[:, 0] = np.arange(28) * 9  # the first row is the same grey in every picture
    x = np.stack([o.x[0] for o in read_array(pictures, STOCHASTIC)])
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
