"""Grids of pictures."""

import io

import numpy as np
import pytest
from PIL import Image

from models.errors import ShapeMismatch
from models.images import grid, is_drawn, to_png, to_sheet


def test_a_grid_puts_every_picture_in_its_cell():
    pictures = np.arange(1, 6, dtype=np.uint8)[:, None, None, None].repeat(2, 2).repeat(3, 3)
    sheet = grid(pictures, 3, 1, background=200)
    assert sheet.shape == (1, 7, 13)
    assert sheet[0, 1, 1:4].tolist() == [1, 1, 1]
    assert sheet[0, 5, 5:8].tolist() == [5, 5, 5]
    assert sheet[0, 5, 9:].tolist() == [200] * 4
    assert sheet[0, 0].tolist() == [200] * 13


def test_a_grid_is_no_wider_than_its_pictures():
    assert grid(np.zeros((2, 3, 4, 4), np.uint8), 8, 0).shape == (3, 4, 8)


def test_a_grid_needs_a_column():
    with pytest.raises(ShapeMismatch, match=r"columns=0 is below 1"):
        grid(np.zeros((2, 1, 4, 4), np.uint8), 0)


@pytest.mark.parametrize("shape", [(1, 4, 4), (1, 2, 4, 4), (0, 1, 4, 4)])
def test_a_grid_of_no_pictures_is_refused(shape):
    with pytest.raises(ShapeMismatch, match="channels"):
        grid(np.zeros(shape, np.uint8), 2)


def test_a_sheet_is_a_grid_that_says_that_it_was_drawn():
    pictures = np.random.default_rng(0).integers(0, 256, (5, 3, 4, 4), dtype=np.uint8)
    sheet = to_sheet(pictures, 3)
    with Image.open(io.BytesIO(sheet)) as picture:
        assert np.array_equal(np.asarray(picture).transpose(2, 0, 1), grid(pictures, 3))
    assert is_drawn(sheet)
    assert not is_drawn(to_png(grid(pictures, 3)))
    assert not is_drawn(b"Software\0vae-serve")
