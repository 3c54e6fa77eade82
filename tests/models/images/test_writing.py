"""Observations back to pictures."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from models.errors import OutOfSupport, ShapeMismatch
from models.images import ImageSpec, to_animation, to_png, to_uint8, to_unit

GREY = ImageSpec(channels=1, height=2, width=2)


def test_levels_become_the_same_bytes():
    x = torch.arange(256.0).reshape(64, 1, 2, 2)
    assert to_uint8(to_unit(x, GREY)).ravel().tolist() == list(range(256))


def test_unit_values_keep_their_scale():
    spec = GREY.model_copy(update={"values": "unit"})
    x = torch.tensor([[[[0.0, 0.25], [0.5, 1.0]]]], requires_grad=True)
    np.testing.assert_array_equal(to_unit(x, spec), x.detach().numpy())


def test_what_lies_outside_the_scale_is_clipped():
    assert to_unit(np.array([[[[-3.0, 300.0], [0, 255]]]]), GREY).ravel().tolist() == [0, 1, 0, 1]


def test_bytes_round_halves_upwards():
    unit = np.array([0.5, 0.1, 1.5 / 255, 1.0]).reshape(1, 1, 2, 2)
    assert to_uint8(unit).ravel().tolist() == [128, 26, 2, 255]


@pytest.mark.parametrize("shape", [(1, 2, 2), (1, 3, 2, 2), (1, 1, 2, 3)])
def test_observations_of_another_shape_are_refused(shape):
    with pytest.raises(ShapeMismatch, match=r"batch, 1, 2, 2.*x\.reshape\(-1, 1, 2, 2\)"):
        to_unit(np.zeros(shape), GREY)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_no_picture_is_made_of_what_is_not_finite(value):
    with pytest.raises(OutOfSupport, match="finite"):
        to_unit(np.full((1, 1, 2, 2), value), GREY)


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan])
def test_bytes_are_made_of_the_unit_interval_only(value):
    with pytest.raises(OutOfSupport, match=r"0\.\.1"):
        to_uint8(np.full((1, 1, 2, 2), value))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_holds_the_pixels_exactly(channels):
    picture = np.random.default_rng(0).integers(0, 256, (channels, 5, 7), dtype=np.uint8)
    with Image.open(io.BytesIO(to_png(picture))) as image:
        assert image.format == "PNG"
        pixels = np.asarray(image)
    np.testing.assert_array_equal(
        pixels, picture[0] if channels == 1 else picture.transpose(1, 2, 0)
    )


def test_a_png_shows_one_picture():
    with pytest.raises(ShapeMismatch, match="grid"):
        to_png(np.zeros((2, 1, 4, 4), np.uint8))


def test_a_png_is_made_of_bytes():
    with pytest.raises(ShapeMismatch, match="to_uint8"):
        to_png(np.zeros((1, 4, 4), np.float32))


@pytest.mark.parametrize(("kind", "channels"), [("webp", 1), ("webp", 3), ("gif", 1)])
def test_an_animation_holds_every_frame_exactly(kind, channels):
    frames = np.random.default_rng(0).integers(0, 256, (4, channels, 6, 8), dtype=np.uint8)
    with Image.open(io.BytesIO(to_animation(frames, kind, milliseconds=50))) as image:
        assert image.format == kind.upper()
        assert image.n_frames == 4
        assert image.info["loop"] == 0
        for index, frame in enumerate(frames):
            image.seek(index)
            pixels = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
            np.testing.assert_array_equal(pixels, np.broadcast_to(frame, (3, 6, 8)))
            assert image.info["duration"] == 50
