"""Pixels of decoded latents: the likelihood's mean, a sample or logits, refused if not finite."""

from typing import Any

import numpy as np
from torch import Tensor

from app.compute.request import ComputeRequest
from models.errors import OutOfSupport
from models.images import to_unit


def pixel_noise(request: ComputeRequest[Any], part: slice) -> Tensor | None:
    """The noise of pixels that are drawn, for the items of a part."""
    if request.parameters.output != "sample":
        return None
    return request.draw(part, "likelihood", 1)[0]


def pixels(request: ComputeRequest[Any], values: np.ndarray, part: slice) -> np.ndarray:
    """What `output` asks for, of the items of a part: pixels in 0..1 or logits, float32."""
    if request.parameters.output != "logits":
        return to_pixels(request, values, part)
    _refuse_non_finite(request, values, part)
    return values


def to_pixels(request: ComputeRequest[Any], values: np.ndarray, part: slice) -> np.ndarray:
    """Pixels in 0..1, float32 (N, C, H, W), of observations."""
    _refuse_non_finite(request, values, part)
    image = request.served.bundle.config.image
    return np.asarray(to_unit(values, image), dtype=np.float32)


def _refuse_non_finite(request: ComputeRequest[Any], values: np.ndarray, part: slice) -> None:
    is_finite = np.isfinite(values)
    if is_finite.all():
        return
    finite = is_finite.reshape(len(values), -1).all(1)
    rows = (part.start + np.flatnonzero(~finite)).tolist()
    from_latents = request.inputs.latents is not None
    raise OutOfSupport(
        f"{len(rows)} items decode to pixels that are not finite, the first is item {rows[0]}. "
        + ("Send latents nearer to the origin." if from_latents else "Leave them out."),
        parameter="latents" if from_latents else None,
        items=tuple((row, "decodes to pixels that are not finite") for row in rows),
    )
