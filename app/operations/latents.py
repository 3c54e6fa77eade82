"""Arrays of latents, told by their shape alone."""

from math import prod

Shape = tuple[int, ...]


def explain_latents(shape: Shape, latent_shape: Shape) -> tuple[str, str | None] | None:
    """What is wrong with the shape of latents, and an expression that mends it; None if nothing.

    Args:
        shape: The array's.
        latent_shape: That of one latent.
    """
    if shape[1:] == latent_shape and len(shape) == 1 + len(latent_shape):
        return None
    sides = ", ".join(map(str, latent_shape))
    fix, suggestion = "Send what encode or sample gives.", None
    rows = len(shape) == 2 and shape[1] == prod(latent_shape)
    flat = len(shape) == 1 and shape[0] > 0 and shape[0] % prod(latent_shape) == 0
    if (
        rows
        or flat
        or _without_ones(latent_shape) in (_without_ones(shape), _without_ones(shape[1:]))
    ):
        suggestion = f"latents.reshape(-1, {sides})"
        fix = f"Send {suggestion}."
    elif shape[:-1] == latent_shape:
        suggestion = "numpy.moveaxis(latents, -1, 0)"
        fix = f"If the batch is last, send {suggestion}."
    elif len(latent_shape) == 3 and shape[1:] == (*latent_shape[1:], latent_shape[0]):
        suggestion = "numpy.moveaxis(latents, -1, 1)"
        fix = f"If the channels are last, send {suggestion}."
    return f"latents have the shape {shape}; this model takes (N, {sides}). {fix}", suggestion


def are_latents(shape: Shape, latent_shape: Shape) -> bool:
    """Whether an array that may hold pictures holds latents, also with axes of 1 or batch last."""
    axes, own = _without_ones(shape), _without_ones(latent_shape)
    is_other = bool(own) and own in (axes, axes[1:], axes[:-1])
    return shape[1:] == latent_shape or is_other


def _without_ones(shape: Shape) -> Shape:
    return tuple(n for n in shape if n != 1)
