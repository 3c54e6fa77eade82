"""What simple means need for the same held-out images, in bits per dim: a model's yardsticks.

    histogram      every pixel and channel for itself, p(k) = (count_k + 1) / (n + levels) from the
                   n training images
    png, webp      lossless files, one per image, with all their bytes
    *_stacked      the same images one below the other in tall pictures, so that what each file
                   holds besides pixels (57 bytes of a PNG) weighs next to nothing

It knows no model. Files hold the levels as they are, a byte each: there are none above 256 levels,
and none for binary images, for which these formats are not meant.
"""

import io
from collections.abc import Iterator
from math import log, sqrt
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Shaped, UInt8
from PIL import Image

from models.bundle.schema import Baseline, BaselineKind
from models.images.spec import ImageSpec
from training.data.split import Split

Images = Float32[np.ndarray, "batch channel height width"]
Pictures = UInt8[np.ndarray, "batch height width *channel"]

_CHUNK = 4_096
_MAX_ROWS = 16_383
"""Of a WebP file."""
_FILES: tuple[tuple[BaselineKind, BaselineKind, dict[str, Any]], ...] = (
    ("png", "png_stacked", {"format": "PNG", "compress_level": 9}),
    # method 6 makes files 2 to 4 % smaller and takes 25 times as long
    ("webp", "webp_stacked", {"format": "WEBP", "lossless": True, "quality": 100, "method": 4}),
)
DESCRIPTIONS: dict[BaselineKind, str] = {
    "histogram": "histogram of each pixel",
    "png": "PNG, a file per image",
    "png_stacked": "PNG, images stacked",
    "webp": "WebP, a file per image",
    "webp_stacked": "WebP, images stacked",
}
"""Names of rows in tables and model cards."""


def score_baselines(train: Split, x: Images, spec: ImageSpec) -> tuple[Baseline, ...]:
    """Bits per dim of held-out images by each means.

    Args:
        train: What the histogram is counted on.
        x: The held-out images, levels 0..levels-1.
        spec: Of both; its `values` are integers, since a density has no bits per dim.

    Returns:
        The histogram, and the files for 3 to 256 levels.
    """
    size = x[0].size
    baselines = [_per_image("histogram", _histogram_bits(train, x, spec) / size)]
    if 2 < spec.levels <= 256:
        pictures = np.moveaxis(x.astype(np.uint8), 1, -1)
        pictures = pictures[..., 0] if spec.channels == 1 else pictures
        for kind, stacked_kind, options in _FILES:
            bits = np.array([8.0 * _file_bytes(picture, options) for picture in pictures])
            baselines.append(_per_image(kind, bits / size))
            total = sum(8 * _file_bytes(stack, options) for stack in _stacks(pictures))
            baselines.append(
                Baseline(kind=stacked_kind, n=len(x), bits_per_dim=total / (len(x) * size))
            )
    return tuple(baselines)


def _histogram_bits(train: Split, x: Images, spec: ImageSpec) -> Float[np.ndarray, " batch"]:
    """-log2 p of each image; adding one to every count (Laplace) leaves no level impossible."""
    dims, levels = x[0].size, spec.levels
    counts = np.ones(dims * levels)
    for start in range(0, len(train), _CHUNK):
        chosen = np.arange(start, min(start + _CHUNK, len(train)))
        cells = _cells(train.take(chosen).observations(spec), levels)
        counts += np.bincount(cells.ravel(), minlength=dims * levels)
    bits = (log(len(train) + levels) - np.log(counts)) / log(2)
    return np.array([bits[_cells(image[None], levels)].sum() for image in x])


def _cells(x: Images, levels: int) -> Shaped[np.ndarray, "batch dim"]:
    """Position of each element's level in a table (dim, level)."""
    flat = x.reshape(len(x), -1).astype(np.int64)
    return flat + levels * np.arange(flat.shape[1])


def _stacks(pictures: Pictures) -> Iterator[UInt8[np.ndarray, "rows width *channel"]]:
    height, width = pictures.shape[1:3]
    each = max(1, _MAX_ROWS // height)
    for start in range(0, len(pictures), each):
        yield pictures[start : start + each].reshape(-1, width, *pictures.shape[3:])


def _file_bytes(picture: UInt8[np.ndarray, "rows width *channel"], options: dict[str, Any]) -> int:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(file, **options)
    return len(file.getvalue())


def _per_image(kind: BaselineKind, bits_per_dim: Float[np.ndarray, " batch"]) -> Baseline:
    return Baseline(
        kind=kind,
        n=len(bits_per_dim),
        bits_per_dim=float(bits_per_dim.mean()),
        standard_error_bits_per_dim=float(bits_per_dim.std(ddof=1) / sqrt(len(bits_per_dim))),
    )
