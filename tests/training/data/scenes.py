"""Smooth pictures that stand for photographs, and near-copies of them."""

import io

import numpy as np
from PIL import Image


def scene(seed: int, *, side: int = 96) -> Image.Image:
    """A colour picture with light, shade and shapes, another for each seed."""
    coarse = np.random.default_rng(seed).integers(20, 220, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def as_jpeg(picture: Image.Image, *, quality: int = 75) -> Image.Image:
    """The same after lossy compression."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file)


def brightened(picture: Image.Image) -> Image.Image:
    """A tenth brighter."""
    return picture.point(lambda level: min(255, int(level * 1.1 + 5)))


def cropped(picture: Image.Image) -> Image.Image:
    """Without a hundredth of each side."""
    width, height = picture.size
    return picture.crop((width // 96, height // 96, width - width // 96, height - height // 96))
