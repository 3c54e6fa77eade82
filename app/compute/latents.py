"""Latents as arrays: checks of what was sent, and the groups of a hierarchy."""

from math import prod
from typing import Any

import numpy as np

from app.operations.latents import explain_latents
from models.errors import OutOfSupport, ShapeMismatch
from models.vae.model import VAE


def check_latents(latents: np.ndarray, vae: VAE) -> np.ndarray:
    """Latents as float32, after their shape and values were checked.

    Raises:
        ShapeMismatch: Not (N, *latent_shape).
        OutOfSupport: Not finite as float32, or not unit vectors where a latent is one of these.
    """
    shape = vae.latent_shape
    if found := explain_latents(latents.shape, shape):
        message, suggestion = found
        raise ShapeMismatch(
            message,
            parameter="latents",
            received=list(latents.shape),
            allowed=["N", *shape],
            suggestion=suggestion,
        )
    with np.errstate(over="ignore"):
        numbers = latents.astype(np.float32)
    finite = np.all(np.isfinite(numbers.reshape(len(numbers), -1)), axis=1)
    if not finite.all():
        _refuse(finite, "not finite as float32", "Send finite numbers below 3e38.")
    if vae.config.posterior.kind == "enumerated":
        unit = np.all(np.sort(numbers, axis=1) == np.eye(shape[0])[-1], axis=1)
        if not unit.all():
            example = [1, *[0] * (shape[0] - 1)] if shape[0] < 8 else "[1, 0, 0, ...]"
            fix = f"A mixture's latent is its component: a single 1 among zeros, such as {example}."
            _refuse(unit, "no unit vector", fix)
    return numbers


def _refuse(holds: np.ndarray, reason: str, fix: str) -> None:
    items = tuple((int(i), reason) for i in np.flatnonzero(~holds))
    others = f" (and {len(items) - 1} more)" if len(items) > 1 else ""
    raise OutOfSupport(
        f"latents[{items[0][0]}]{others} is {reason}. {fix}", parameter="latents", items=items
    )


def latent_groups(vae: VAE) -> list[dict[str, Any]]:
    """Slice of the latent of each group of a hierarchy, the group next to x first; else empty."""
    groups: list[dict[str, Any]] = []
    start = 0
    for i, shape in enumerate(vae.config.latent_groups, start=1):
        stop = start + prod(shape)
        groups.append({"name": f"z{i}", "start": start, "stop": stop, "shape": list(shape)})
        start = stop
    return groups
