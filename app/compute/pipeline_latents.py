"""Latents as a diffusion model takes them: scaled, and packed into patches of 2 x 2.

taken = (z - shift_factor) * scaling_factor
"""

import numpy as np

from app.serving.served_model import ServedModel
from models.errors import ShapeMismatch

_PATCH = 2


def unpack(packed: np.ndarray, served: ServedModel, size: tuple[int, int]) -> np.ndarray:
    """Latents of patches, (N, patch, 4 channel), as (N, channel, height, width).

    Args:
        packed: The latents, of which a patch's numbers are in the order channel, row, column.
        served: The model.
        size: Height and width of the picture, as the caller says them.

    Raises:
        ShapeMismatch: The size is not that of the model's pictures, or the latents are not of it.

    Source: `FluxPipeline._unpack_latents` of diffusers.
    """
    image, shape = served.bundle.config.image, served.vae.latent_shape
    if size != (image.height, image.width):
        raise ShapeMismatch(
            f"height={size[0]} and width={size[1]} are not the size of this model's pictures. Send "
            f"height={image.height}&width={image.width}, or import the model at your size.",
            parameter="height",
            received=list(size),
            allowed=[image.height, image.width],
        )
    patches = [side // _PATCH for side in shape[1:]]
    wanted = (int(np.prod(patches)), shape[0] * _PATCH**2)
    if len(shape) != 3 or packed.shape[1:] != wanted or any(side % _PATCH for side in shape[1:]):
        raise ShapeMismatch(
            f"latents have the shape {packed.shape}, and the model's are (N, "
            f"{', '.join(map(str, shape))}): they are not its packed ones. Send those unpacked.",
            parameter="shape",
            received=list(packed.shape),
            allowed=["N", *shape],
        )
    by_patch = packed.reshape(len(packed), *patches, shape[0], _PATCH, _PATCH)
    return by_patch.transpose(0, 3, 1, 4, 2, 5).reshape(len(packed), *shape)


def unscaled(
    taken: np.ndarray,
    served: ServedModel,
    *,
    factor: float | None,
    shift: float | None,
    by_bundle: bool,
) -> np.ndarray:
    """Latents as the decoder takes them, of those that a diffusion model gives.

    Args:
        taken: The latents.
        served: The model.
        factor: They were multiplied by this; None for what the bundle says, or 1.
        shift: This was taken from them before; None for what the bundle says, or 0.
        by_bundle: Whether to take what is None from the bundle.
    """
    own = served.bundle.config.latent_scaling if by_bundle else None
    if own is not None:
        factor = own.scaling_factor if factor is None else factor
        shift = own.shift_factor if shift is None else shift
    with np.errstate(over="ignore"):
        plain = taken if factor is None else taken / np.float32(factor)
        return plain if shift is None else plain + np.float32(shift)


def scaled(z: np.ndarray, *, factor: float | None, shift: float | None) -> np.ndarray:
    """Latents as a diffusion model takes them, of the encoder's."""
    with np.errstate(over="ignore"):
        moved = z if shift is None else z - np.float32(shift)
        return moved if factor is None else moved * np.float32(factor)
