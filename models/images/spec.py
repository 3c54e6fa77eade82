"""The image spec: what a picture becomes, and what likelihood that suits. `images.py` obeys it."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from models.config import Config, Levels, Side, VAEConfig


class ImageSpec(Config):
    """How a picture becomes an observation, and back."""

    channels: Literal[1, 3]
    """Grey, or red, green and blue."""
    height: Side
    """Of an observation, in pixels: pictures of another size are resized."""
    width: Side
    """As the height."""
    fit: Literal["stretch", "crop", "pad"] = "stretch"
    """Another aspect ratio is stretched, cropped at its centre, or padded with `background`."""
    resample: Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"] = "bilinear"
    """Pillow's kernel; all but `nearest` are antialiased when they reduce."""
    grey: Literal["rec601"] = "rec601"
    """Colour to grey: 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), as Pillow's "L" does."""
    background: Annotated[int, Field(ge=0, le=255)] = 0
    """What transparent pixels and padding become, 0 black to 255 white."""
    levels: Levels = 256
    """Number of grey levels of one channel of x."""
    values: Literal["integer", "unit"] = "integer"
    """x holds the integers 0..levels-1, or their quotient by levels-1 in [0, 1]."""
    binarization: Literal["none", "threshold", "stochastic"] = "none"
    """How grey becomes {0,1}: at one half, or 1 with the grey value as its probability."""

    @model_validator(mode="after")
    def _binarization_has_two_levels(self) -> "ImageSpec":
        if (self.binarization != "none") != (self.levels == 2):
            raise ValueError(
                "An image spec has a binarization exactly when it has 2 levels; received "
                f"binarization={self.binarization!r} with levels={self.levels}. Change one of them."
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
            f"The image spec makes the shape that the model takes; received {image.shape} and "
            f"{vae.image_shape}. Make them equal."
        )
    kind = vae.likelihood.kind
    if image.values != _VALUES[kind]:
        raise ValueError(
            f"A {kind} likelihood takes {_VALUES[kind]} values; the image spec makes "
            f"{image.values} ones. Set image.values = {_VALUES[kind]!r}."
        )
    levels = 2 if kind == "bernoulli" else getattr(vae.likelihood, "levels", image.levels)
    if image.levels != levels:
        raise ValueError(
            f"The likelihood has {levels} levels; the image spec makes {image.levels}. "
            "Make them equal."
        )
