"""Modes of Pillow's pictures to grey or RGB without transparency, in 8 or 16 bits or floats."""

import numpy as np
from jaxtyping import Shaped
from PIL import Image as PillowImage
from PIL import ImageCms

from models.errors import UnsupportedMedia
from models.images.preprocessing import Step

_STRIP = 256
_GREY_MODES = ("1", "L", "LA", "La")
_CLEAR_MODES = ("RGBA", "RGBa", "LA", "La", "PA")
_WHITE = {"u1": 255, "u2": 65535, "f4": 1}
"""White by the type of pixels."""


def opaque(
    image: PillowImage.Image, background: int
) -> tuple[Shaped[np.ndarray, "channel height width"], int, tuple[Step, ...]]:
    """Pixels as (channel, height, width), the value of white, and the step of composing alpha.

    Strip by strip: the memory never holds a large picture in several forms at once.
    """
    deep = image.mode.startswith("I") or image.mode == "F"
    clear = image.mode in _CLEAR_MODES or "transparency" in image.info
    flatten = _deep_strip if deep else _clear_strip if clear else _opaque_strip
    composed = (Step("alpha", f"alpha on {background}", how=f"on {background}"),) if clear else ()
    width, height = image.size
    if height <= _STRIP:
        values = np.ascontiguousarray(flatten(image, background))
        return values, _WHITE[values.dtype.str[1:]], composed
    strips = (
        flatten(image.crop((0, top, width, min(top + _STRIP, height))), background)
        for top in range(0, height, _STRIP)
    )
    first = next(strips)
    values = np.empty((first.shape[0], height, width), first.dtype)
    values[:, :_STRIP] = first
    for index, strip in enumerate(strips, start=1):
        values[:, index * _STRIP : (index + 1) * _STRIP] = strip
    return values, _WHITE[values.dtype.str[1:]], composed


def _opaque_strip(
    strip: PillowImage.Image, background: int
) -> Shaped[np.ndarray, "channel height width"]:
    if strip.mode in _GREY_MODES:
        grey = strip if strip.mode == "L" else strip.convert("L")
        return np.frombuffer(grey.tobytes(), np.uint8).reshape(1, grey.height, grey.width)
    rgb = _lab_to_rgb(strip) if strip.mode == "LAB" else strip.convert("RGB")
    return np.asarray(rgb).transpose(2, 0, 1)


def _clear_strip(
    strip: PillowImage.Image, background: int
) -> Shaped[np.ndarray, "channel height width"]:
    """Compose: (colour x alpha + background x (255 - alpha)) / 255, rounded."""
    clear = strip.convert("RGBA")
    flat = PillowImage.new("RGB", strip.size, (background,) * 3)
    flat.paste(clear, mask=clear.getchannel("A"))
    values = np.asarray(flat).transpose(2, 0, 1)
    return values[:1] if strip.mode in _GREY_MODES else values


def _deep_strip(strip: PillowImage.Image, background: int) -> Shaped[np.ndarray, "1 height width"]:
    """More than 8 bits of grey."""
    wide = np.asarray(strip)[None]
    if strip.mode == "F":
        return wide
    if wide.dtype.itemsize > 2 and (wide.min() < 0 or wide.max() > 65535):
        raise UnsupportedMedia(
            f"The picture's grey values lie in {wide.min()}..{wide.max()}; at most 16 bits are "
            "read. Scale them to 0..65535.",
            parameter="images",
        )
    values = wide.astype(np.uint16)
    if "transparency" in strip.info:
        values[values == strip.info["transparency"]] = background * 257
    return values


def _lab_to_rgb(image: PillowImage.Image) -> PillowImage.Image:
    lab, srgb = (ImageCms.createProfile(name) for name in ("LAB", "sRGB"))
    rgb = ImageCms.applyTransform(image, ImageCms.buildTransform(lab, srgb, "LAB", "RGB"))
    assert rgb is not None  # only an in-place transform returns None
    return rgb
