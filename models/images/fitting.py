"""Pictures of another size to the model's size, and the foreground to the middle.

Pixels are resampled by Pillow on float32, antialiased, each channel by itself. When nothing has to
be resampled (a cut or a frame of background is enough), integers stay integers.
"""

import numpy as np
from jaxtyping import Shaped
from PIL import Image

from models.images.levels import background_level
from models.images.preprocessing import Operation, Step
from models.images.spec import ImageSpec

Batch = Shaped[np.ndarray, "batch channel height width"]
Fitted = Shaped[np.ndarray, "batch channel fitted_height fitted_width"]
Box = tuple[float, float, float, float]


def fit(values: Batch, spec: ImageSpec, white: int) -> tuple[Fitted, tuple[Step, ...]]:
    """Bring pictures of one size to the spec's size by its `fit`.

    stretch resamples to the size whatever the aspect; crop takes the largest middle part of the
    right aspect; pad shrinks or enlarges to fit inside, and frames with the background.

    Args:
        values: Pixels in 0..white.
        spec: Says size, fit, kernel and background.
        white: The value of white.

    Returns:
        The pictures and the step taken, none when the size was right.
    """
    height, width = values.shape[2:]
    if (height, width) == (spec.height, spec.width):
        return values, ()
    box, inner = _box_and_inner(width, height, spec)
    before, after = f"{width}x{height}", f"{spec.width}x{spec.height}"
    resampled = not _is_cut(box, inner)
    how: list[str] = [spec.fit, spec.resample] if resampled else []
    fitted = _resample(values, box, inner, spec.resample, white)
    words = " ".join(["resize", *how] if resampled else [spec.fit]) + f" {before} to {after}"
    if inner != (spec.width, spec.height):
        fitted = _padded(fitted, spec, white)
        words += f" on {spec.background}"
        how.append(f"on {spec.background}")
    op: Operation = "resize" if resampled else "crop" if spec.fit == "crop" else "pad"
    return fitted, (Step(op, words, before=before, after=after, how=" ".join(how) or None),)


def centre(values: Batch, spec: ImageSpec, white: int) -> tuple[Batch, list[Step]]:
    """Move each picture's centre of mass to its middle by whole pixels, as MNIST was made.

    The mass of a pixel is its distance from the background. What is moved out is lost; what comes
    in is background.

    Returns:
        The pictures and the step of each.
    """
    background = _background(values, spec, white)
    moved, steps = np.empty_like(values), []
    for index, one in enumerate(values):
        mass = np.abs(one.astype(np.float64) - background).sum(axis=0)
        down, right = _offset(mass.sum(axis=1)), _offset(mass.sum(axis=0))
        moved[index] = _shifted(one, down, right, background)
        how = f"{right:+d} right {down:+d} down"
        steps.append(Step("centre", f"centre {how}", how=how))
    return moved, steps


def _box_and_inner(width: int, height: int, spec: ImageSpec) -> tuple[Box, tuple[int, int]]:
    """Which part of the source is taken, and how large it becomes."""
    wide, tall = spec.width, spec.height
    if spec.fit == "stretch":
        return (0.0, 0.0, float(width), float(height)), (wide, tall)
    if spec.fit == "pad":
        scale = min(wide / width, tall / height)
        inner = max(1, round(width * scale)), max(1, round(height * scale))
        return (0.0, 0.0, float(width), float(height)), inner
    scale = max(wide / width, tall / height)
    left, top = max(0.0, (width - wide / scale) / 2), max(0.0, (height - tall / scale) / 2)
    if scale == 1:
        left, top = left // 1, top // 1
        return (left, top, left + wide, top + tall), (wide, tall)
    return (left, top, width - left, height - top), (wide, tall)


def _is_cut(box: Box, size: tuple[int, int]) -> bool:
    """Whether the box already has the size wanted, so that nothing is computed."""
    return box[2] - box[0] == size[0] and box[3] - box[1] == size[1]


def _resample(
    values: Batch,
    box: Box,
    size: tuple[int, int],
    kernel: str,
    white: int,
) -> Fitted:
    """Pillow's kernel on float32, antialiased; integers are only cut out when the scale is one."""
    if _is_cut(box, size):
        left, top = int(box[0]), int(box[1])
        return values[:, :, top : top + size[1], left : left + size[0]]
    method = Image.Resampling[kernel.upper()]
    resized = np.empty((*values.shape[:2], size[1], size[0]), np.float32)
    for index in np.ndindex(values.shape[:2]):
        resized[index] = np.asarray(_float_plane(values[index]).resize(size, method, box))
    return np.clip(resized, 0, white)  # bicubic and Lanczos overshoot


def _float_plane(plane: Shaped[np.ndarray, "height width"]) -> Image.Image:
    """Bytes go there directly: a large picture is not held in float32 twice."""
    if plane.dtype == np.uint8:
        return Image.fromarray(np.ascontiguousarray(plane)).convert("F")
    return Image.fromarray(np.ascontiguousarray(plane, np.float32))


def _padded(values: Batch, spec: ImageSpec, white: int) -> Fitted:
    tall, wide = values.shape[2:]
    shape = (*values.shape[:2], spec.height, spec.width)
    sheet = np.full(shape, _background(values, spec, white), values.dtype)
    top, left = (spec.height - tall) // 2, (spec.width - wide) // 2
    sheet[:, :, top : top + tall, left : left + wide] = values
    return sheet


def _background(values: Batch, spec: ImageSpec, white: int) -> float:
    floats = values.dtype.kind == "f"
    return spec.background * white / 255 if floats else float(background_level(spec, white))


def _offset(mass: Shaped[np.ndarray, " pixel"]) -> int:
    """Whole pixels from the centre of mass to the middle; 0 without any mass."""
    total = mass.sum()
    if total == 0:
        return 0
    mean = float((mass * np.arange(len(mass))).sum() / total)
    return int(np.floor((len(mass) - 1) / 2 - mean + 0.5))


def _shifted(
    picture: Shaped[np.ndarray, "channel height width"], down: int, right: int, background: float
) -> Shaped[np.ndarray, "channel height width"]:
    height, width = picture.shape[1:]
    shifted = np.full_like(picture, background)
    target = slice(max(0, down), height + min(0, down)), slice(max(0, right), width + min(0, right))
    source = (
        slice(max(0, -down), height - max(0, down)),
        slice(max(0, -right), width - max(0, right)),
    )
    shifted[:, *target] = picture[:, *source]
    return shifted
