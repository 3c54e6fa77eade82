"""Reconstructions and how close they come: squared error and structural similarity (SSIM).

    z = E_q[z|x],  the picture is E[x|z], clipped to the scale 0..1
    squared error  mean of (x - picture)^2 over pixels and channels, both on the scale 0..1
    SSIM           mean over windows of (2 m_x m_y + c_1)(2 s_xy + c_2)
                                      / ((m_x^2 + m_y^2 + c_1)(s_x^2 + s_y^2 + c_2))

m, s^2 and s_xy are a window's weighted means, variances and covariance; c_1 = 0.01^2 and
c_2 = 0.03^2. Neither number is a likelihood.

Source: Wang, Bovik, Sheikh and Simoncelli 2004, IEEE Transactions on Image Processing 13(4),
    600-612.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from models.estimators.labels import guess_steps
from models.estimators.passes import posterior_steps
from models.estimators.steps import Pass, Steps
from models.vae.model import VAE

WINDOW = 11
SIGMA = 1.5
"""Side and standard deviation of the Gaussian window, in pixels: those of the source."""
_C1, _C2 = 0.01**2, 0.03**2

Images = Float[Tensor, "batch channel height width"]


class PictureErrors(NamedTuple):
    """How close each picture comes to its original."""

    squared_error: Float64[Tensor, " batch"]
    """Mean over pixels and channels, on the scale 0..1."""
    ssim: Float64[Tensor, " batch"]
    """1 for equal pictures, -1 at the least."""


@torch.no_grad()
def latent_steps(
    vae: VAE, x: Images, *, chunk_rows: int
) -> Steps[tuple[Tensor, Int64[Tensor, " batch"] | None]]:
    """The posterior mean of each image, and its most probable label where the model has labels."""
    y = None
    if vae.num_labels:
        log_q = yield from guess_steps(vae, x, chunk_rows=chunk_rows)
        y = log_q.argmax(-1)
    q: Any = yield from posterior_steps(vae, x, y)
    return q.mean, y


@torch.no_grad()
def reconstruction_steps(vae: VAE, x: Images, *, chunk_rows: int) -> Steps[tuple[Tensor, Tensor]]:
    """The posterior mean of each image and the mean of p(x|z) there, on the scale of x."""
    z, y = yield from latent_steps(vae, x, chunk_rows=chunk_rows)
    (picture,) = yield Pass(_decode, (vae,), (z, y))
    return z, picture


def _decode(vae: VAE, z: Tensor, y: Tensor | None) -> tuple[Tensor, ...]:
    return (vae.likelihood(z, y).mean,)


def picture_errors(x: Images, picture: Images, *, unit_scale: float) -> PictureErrors:
    """Squared error and SSIM of each picture, which is clipped to the scale 0..1 first.

    Args:
        x: Observations.
        picture: Reconstructions on the scale of x.
        unit_scale: x / unit_scale lies in 0..1; see `VAE.unit_scale`.
    """
    original = x.double() / unit_scale
    clipped = (picture.double() / unit_scale).clamp(0, 1)
    squared_error = (original - clipped).square().flatten(1).mean(1)
    return PictureErrors(squared_error, structural_similarity(original, clipped))


def structural_similarity(x: Images, y: Images) -> Float[Tensor, " batch"]:
    """SSIM of each pair of pictures on the scale 0..1, averaged over windows and channels.

    The windows are those that lie within the picture: of 11 x 11 pixels, or of the largest odd side
    that fits into a smaller picture, with the same standard deviation.

    Source: Wang et al. 2004, equation 13.
    """
    side = min(WINDOW, *x.shape[-2:])
    weights = _gaussian(side - 1 + side % 2)
    mean_x, mean_y = _blur(x, weights), _blur(y, weights)
    var_x = _blur(x * x, weights) - mean_x * mean_x
    var_y = _blur(y * y, weights) - mean_y * mean_y
    covariance = _blur(x * y, weights) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x * mean_x + mean_y * mean_y + _C1)
    structure = (2 * covariance + _C2) / (var_x + var_y + _C2)
    return (luminance * structure).flatten(1).mean(1)


def _gaussian(side: int) -> list[float]:
    distance = torch.arange(side, dtype=torch.float64) - side // 2
    weights = torch.exp(-0.5 * (distance / SIGMA).square())
    return (weights / weights.sum()).tolist()


def _blur(x: Tensor, weights: list[float]) -> Tensor:
    """Weighted means of the windows; sums of shifts, so that a row depends on itself alone."""
    for axis in (-1, -2):
        size = x.shape[axis] - len(weights) + 1
        total = torch.zeros_like(x.narrow(axis, 0, size))
        for i, weight in enumerate(weights):
            total += weight * x.narrow(axis, i, size)
        x = total
    return x
