"""Baselines: bits per dim of held-out images by a histogram and by lossless picture files.

    histogram      each pixel and channel on its own, p(k) = (count_k + 1) / (n + levels) from the
                   n training images
    png, webp      a lossless file per image, counted with all its bytes
    *_stacked      the images stacked in tall pictures, so that a file's bytes besides pixels (57 of
                   a PNG) weigh next to nothing

Files hold a byte per level: images of more than 256 levels have no such baselines, nor have binary
images, for which these formats are not made.
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
"""Largest height of a WebP file."""
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
"""Names of the baselines' rows in tables and model cards."""


def score_baselines(train: Split, x: Images, spec: ImageSpec) -> tuple[Baseline, ...]:
    """Bits per dim of held-out images by each baseline.

    Args:
        train: Images that the histogram counts.
        x: The held-out images, levels 0..levels-1.
        spec: Levels and shape of both; its `values` are integers, since a density has no bits per
            dim.

    Returns:
        The histogram and, for 3 to 256 levels, the files.
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
    for chunk in train.observations_by_chunk(spec, _CHUNK):
        cells = _cells(chunk, levels)
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
