"""Latents as arrays: what may be sent, the groups that they fall into, and paths between two."""

from math import prod
from typing import Any

import numpy as np

from models.errors import OutOfSupport, ShapeMismatch
from models.vae.model import VAE


def check_latents(latents: np.ndarray, vae: VAE) -> np.ndarray:
    """Latents as float32, after their shape and values were checked.

    Raises:
        ShapeMismatch: Not (N, *latent_shape).
        OutOfSupport: Not finite as float32, or not unit vectors where a latent is one of these.
    """
    shape = vae.latent_shape
    if latents.ndim != 1 + len(shape) or latents.shape[1:] != shape:
        raise ShapeMismatch(
            f"Latents have the shape (N, {', '.join(map(str, shape))}); received {latents.shape}. "
            "Send what `encode` or `sample` gives."
        )
    with np.errstate(over="ignore"):
        numbers = latents.astype(np.float32)
    finite = np.all(np.isfinite(numbers.reshape(len(numbers), -1)), axis=1)
    if not finite.all():
        _refuse(finite, "A latent holds finite numbers", "not finite as float32")
    if vae.config.posterior.kind == "enumerated":
        unit = np.all(np.sort(numbers, axis=1) == np.eye(shape[0])[-1], axis=1)
        if not unit.all():
            _refuse(unit, "A mixture's latent holds a single 1 among zeros", "no unit vector")
    return numbers


def _refuse(holds: Any, invariant: str, reason: str) -> None:
    items = tuple((int(i), reason) for i in np.flatnonzero(~holds))
    raise OutOfSupport(
        f"{invariant}; {len(items)} do not (first: item {items[0][0]}). Correct them.", items=items
    )


def latent_groups(vae: VAE) -> list[dict[str, Any]]:
    """Where each group of a hierarchy lies in the latent, the one next to x first; else empty."""
    groups: list[dict[str, Any]] = []
    start = 0
    for i, shape in enumerate(vae.config.latent_groups, start=1):
        stop = start + prod(shape)
        groups.append({"name": f"z{i}", "start": start, "stop": stop, "shape": list(shape)})
        start = stop
    return groups
