"""The image spec: size, colour and levels of observations, and the likelihoods they fit."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from models.config import Config, Levels, Side
from models.vae_config import VAEConfig


class ImageSpec(Config):
    """How a picture becomes an observation, and back."""

    channels: Literal[1, 3]
    """1 for grey, 3 for red, green and blue."""
    height: Side
    """Height of an observation, in pixels; pictures of another size are resized."""
    width: Side
    """Width of an observation, in pixels."""
    fit: Literal["stretch", "crop", "pad"] = "stretch"
    """Another aspect ratio is stretched, cropped at its centre, or padded with `background`."""
    resample: Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"] = "bilinear"
    """Pillow's kernel; all but `nearest` are antialiased when they reduce."""
    grey: Literal["rec601"] = "rec601"
    """Colour to grey: 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), as Pillow's "L" does."""
    background: Annotated[int, Field(ge=0, le=255)] = 0
    """Grey under transparent pixels and in padding, 0 black to 255 white."""
    levels: Levels = 256
    """Grey levels of one channel of x."""
    values: Literal["integer", "unit"] = "integer"
    """Numbers of x: the integers 0..levels-1, or these divided by levels-1, in [0, 1]."""
    binarization: Literal["none", "threshold", "stochastic"] = "none"
    """Grey to {0, 1}: cut at one half, or 1 with the grey value as its probability."""

    @model_validator(mode="after")
    def _binarization_has_two_levels(self) -> "ImageSpec":
        if (self.binarization != "none") != (self.levels == 2):
            fix = 'binarization = "none"' if self.levels != 2 else 'binarization = "stochastic"'
            raise ValueError(
                f"binarization = {self.binarization!r} does not go with levels = {self.levels}: "
                f"2 levels are binarised, more are not. Set image.{fix}."
            )
        return self

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.channels, self.height, self.width


_VALUES: dict[str, Literal["integer", "unit"]] = {
    "bernoulli": "integer",
    "continuous_bernoulli": "unit",
    "discretized_logistic": "integer",
    "discretized_normal": "integer",
    "normal": "unit",
    "point": "unit",
}


def check_fit(vae: VAEConfig, image: ImageSpec) -> None:
    """Refuse an image spec that does not make observations in the likelihood's support.

    Raises:
        ValueError: Shape, kind of values or number of levels differ.
    """
    if image.shape != vae.image_shape:
        raise ValueError(
            f"The image spec makes observations of shape {image.shape}; vae.image_shape is "
            f"{vae.image_shape} (channels, height, width). Make them equal."
        )
    kind = vae.likelihood.kind
    if image.values != _VALUES[kind]:
        raise ValueError(
            f"image.values = {image.values!r} does not suit a {kind} likelihood. Set image.values "
            f"= {_VALUES[kind]!r}."
        )
    levels = 2 if kind == "bernoulli" else getattr(vae.likelihood, "levels", image.levels)
    if image.levels != levels:
        both = ' and image.binarization = "stochastic"' if levels == 2 else ""
        raise ValueError(
            f"image.levels = {image.levels} does not suit a {kind} likelihood of {levels} levels. "
            f"Set image.levels = {levels}{both}."
        )
