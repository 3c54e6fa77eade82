"""One array read by a spec: the observation, and the words of what was done."""

import numpy as np

from models.images import ImageSpec, ReadOptions, read_images

GREY = ImageSpec(channels=1, height=28, width=28)
COLOUR = ImageSpec(channels=3, height=28, width=28)
THRESHOLD = ImageSpec(channels=1, height=28, width=28, levels=2, binarization="threshold")
STOCHASTIC = ImageSpec(channels=1, height=28, width=28, levels=2, binarization="stochastic")
PICTURE = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
COLOURED = np.random.default_rng(1).integers(0, 256, (28, 28, 3), dtype=np.uint8)


def spec_of(**fields: object) -> ImageSpec:
    """A grey 28x28 spec with other fields."""
    return ImageSpec(**{"channels": 1, "height": 28, "width": 28, **fields})


def one(array: np.ndarray, spec: ImageSpec, **options: object) -> np.ndarray:
    """x of the only picture of an array."""
    (observation,) = read_images(array, spec, options=ReadOptions(**options))
    return observation.x


def steps(array: np.ndarray, spec: ImageSpec, **options: object) -> tuple[str, ...]:
    """Words for what was done to the first picture of an array."""
    return read_images(array, spec, options=ReadOptions(**options))[0].preprocessing
