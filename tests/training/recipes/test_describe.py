"""What is measured on pictures before a recipe is chosen for them."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.data.array_split import ArraySplit
from training.data.datasets import load
from training.recipes.describe import NUM_LOOKED_AT, describe, mirror_ratio

RNG = np.random.default_rng(0)


def noise(count: int, *shape: int) -> np.ndarray:
    return RNG.integers(0, 256, (count, *shape), dtype=np.uint8)


def framed(grey: int, count: int = 20) -> np.ndarray:
    images = np.full((count, 24, 24), grey, dtype=np.uint8)
    images[:, 6:18, 6:18] = noise(count, 12, 12)
    return images


def test_pictures_that_fill_their_frame_have_no_plain_border():
    seen = describe(ArraySplit(noise(20, 24, 24)))
    assert not seen.has_plain_border
    assert seen.background == 0


@pytest.mark.parametrize(("grey", "background"), [(0, 0), (5, 0), (250, 255), (255, 255), (99, 99)])
def test_a_common_border_is_the_background_and_nearly_black_or_white_is_that(grey, background):
    seen = describe(ArraySplit(framed(grey)))
    assert seen.has_plain_border
    assert seen.background == background


def test_borders_of_different_greys_are_no_common_one():
    mixed = np.concatenate([framed(0), framed(255)])
    assert not describe(ArraySplit(mixed)).has_plain_border


@pytest.mark.parametrize(("ink", "background"), [(0, 255), (255, 0)])
def test_transparent_drawings_go_on_the_background_that_shows_them(
    ink: int, background: int, tmp_path: Path
):
    for index, opaque in enumerate(noise(12, 20, 20) > 200):
        pixels = np.full((20, 20, 4), ink, dtype=np.uint8)
        pixels[..., 3] = np.where(np.pad(opaque[3:-3, 3:-3], 3), 255, 0)
        file = io.BytesIO()
        Image.fromarray(pixels, "RGBA").save(file, format="PNG")
        (tmp_path / f"{index}.png").write_bytes(file.getvalue())
    assert describe(load(str(tmp_path)).train).background == background


def test_the_mirror_ratio_is_about_one_without_sides_and_grows_with_the_count_otherwise():
    symmetric = RNG.normal(size=(300, 8, 8))
    assert mirror_ratio(symmetric) == pytest.approx(1, abs=0.5)
    ramp = np.linspace(0, 3, 8)
    assert mirror_ratio(symmetric + ramp) > 50
    assert mirror_ratio(np.ones((5, 4, 4))) == 1.0


def test_no_more_than_some_hundred_pictures_are_looked_at(monkeypatch: pytest.MonkeyPatch):
    read: list[int] = []
    original = ArraySplit.read_levels
    monkeypatch.setattr(
        ArraySplit, "read_levels", lambda self, spec: read.append(len(self)) or original(self, spec)
    )
    describe(ArraySplit(noise(3 * NUM_LOOKED_AT, 4, 4)))
    assert read == [NUM_LOOKED_AT]
