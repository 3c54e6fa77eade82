"""Good pictures made odd: blurred, covered, scratched and so on, and pictures of nothing.

Pictures are float64 (batch, channel, height, width) on the scale 0..1, and sizes are shares of
their sides: a blur of 0.032 has a standard deviation of about one pixel of 32.
"""

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float64
from scipy.ndimage import gaussian_filter

Pictures = Float64[np.ndarray, "batch channel height width"]
Corruption = Callable[[Pictures, np.random.Generator], Pictures]

BLURS = (0.015, 0.022, 0.032, 0.047, 0.07)
"""Standard deviations, of the height."""
NOISE = 0.2
"""Standard deviation of added noise."""


def blur(size: float) -> Corruption:
    """Gaussian blur of this standard deviation."""

    def blurred(x: Pictures, generator: np.random.Generator) -> Pictures:
        sigma = size * x.shape[2]
        found: Pictures = gaussian_filter(x, (0, 0, sigma, sigma), mode="nearest")
        return found.clip(0, 1)  # sums of weights are 1 but for rounding

    return blurred


def cover(x: Pictures, generator: np.random.Generator) -> Pictures:
    """A black square of a quarter of a side, somewhere in the middle two thirds."""
    found = x.copy()
    height, width = x.shape[2:]
    for picture in found:
        sides = height // 4, width // 4
        y, x_ = (
            int(generator.integers(side // 6, side - size - side // 6 + 1))
            for side, size in zip((height, width), sides, strict=True)
        )
        picture[:, y : y + sides[0], x_ : x_ + sides[1]] = 0
    return found


def scratch(x: Pictures, generator: np.random.Generator) -> Pictures:
    """A white line, one pixel wide, from one point to another."""
    found = x.copy()
    height, width = x.shape[2:]
    along = np.linspace(0, 1, 4 * max(height, width))
    for picture in found:
        ends = generator.integers(0, (height, width), (2, 2))
        points = ends[0] + (ends[1] - ends[0]) * along[:, None]
        y, x_ = points.astype(int).T
        picture[:, y, x_] = 1
    return found


def add_noise(x: Pictures, generator: np.random.Generator) -> Pictures:
    """Normal noise on every pixel, clipped."""
    found: Pictures = np.clip(x + NOISE * generator.standard_normal(x.shape), 0, 1)
    return found


CORRUPTIONS: Mapping[str, Corruption] = {
    **{f"blur, {100 * size:g} %": blur(size) for size in BLURS},
    "black patch": cover,
    "scratch": scratch,
    "added noise": add_noise,
    "inverted": lambda x, generator: 1 - x,
    "upside down": lambda x, generator: x[:, :, ::-1],
    "black": lambda x, generator: np.zeros_like(x),
    "white": lambda x, generator: np.ones_like(x),
    "noise": lambda x, generator: generator.random(x.shape),
}
