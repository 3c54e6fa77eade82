"""What is measured of each image to tell whether it is odd; `typicality.py` ranks it.

    bound             ELBO by NUM_SAMPLES draws, nats
    code length       length under a lossless code of fixed settings, nats (`code_length.py`)
    error             (x - E[x|z])^2 at z = E_q[z|x], on the scale 0..1: each pixel's mean over the
                      channels, their mean, and the largest mean of a window of an eighth of a side
    latents           E_q[z|x]
    regret            ELBO of a posterior refined for the image minus the encoder's; on request
    layers' ratio     see `layers.py`; of ladders
    sharpness         log of the squared second differences of neighbouring pixels over the first
                      ones: low of blurred pictures, high of noisy ones

Source of the sharpness: the modified Laplacian of Nayar and Nakagawa 1994, IEEE Transactions on
    Pattern Analysis and Machine Intelligence 16(8), 824-831, over the gradient, so that contrast
    and brightness cancel.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn.functional import avg_pool2d

from models.estimators.code_length import code_lengths
from models.estimators.elbo import elbo_steps
from models.estimators.layers import has_layers, layers_ratio_steps
from models.estimators.reconstruction import reconstruction_steps
from models.estimators.refined_posterior import refined_elbo_steps
from models.estimators.steps import CHUNK_ROWS, Draws, Steps, without_steps
from models.vae.model import VAE

NUM_SAMPLES = 16
"""Draws of each bound: what is left of its error is small beside the differences of images."""
_WINDOWS = 8
_MIN_WINDOW = 3
_FLAT = 1e-4
"""Squared difference of neighbours, on the scale 0..1, below which a picture counts as flat."""


class Measured(NamedTuple):
    """What was measured of each image; arrays are float64, (batch,) unless said."""

    elbo_nats: Float64[np.ndarray, " batch"]
    code_nats: Float64[np.ndarray, " batch"]
    error: Float64[np.ndarray, "batch height width"]
    reconstruction_error: Float64[np.ndarray, " batch"]
    residual_peak: Float64[np.ndarray, " batch"]
    latents: Float64[np.ndarray, "batch latent"]
    sharpness: Float64[np.ndarray, " batch"]
    likelihood_regret: Float64[np.ndarray, " batch"] | None = None
    layers_ratio: Float64[np.ndarray, " batch"] | None = None


@torch.no_grad()
def measure_steps(
    vae: VAE,
    x: Float[Tensor, "batch channel height width"],
    *,
    levels: int,
    seed: int,
    first_item: int = 0,
    num_samples: int = NUM_SAMPLES,
    chunk_rows: int = CHUNK_ROWS,
    with_regret: bool = False,
) -> Steps[Measured]:
    """Measure images in steps.

    Args:
        vae: The model, with an encoder and a likelihood, in eval mode.
        x: Observations.
        levels: Grey levels of its image spec.
        seed: Seed of the bounds' draws; image i uses item `first_item + i`.
        first_item: Position of the first image in the request or data set.
        num_samples: Draws of each bound.
        chunk_rows: Largest number of decoder rows of a pass; does not change the result.
        with_regret: Refine the posterior of each image, which costs far more than all the rest.

    Raises:
        InputError: Observations outside the support.
    """
    draws = Draws(num_samples=num_samples, seed=seed, first_item=first_item, chunk_rows=chunk_rows)
    if with_regret:
        refined = yield from refined_elbo_steps(vae, x, **draws)
        elbo_nats, regret = refined.amortised_elbo_nats, refined.amortisation_gap_nats
    else:
        elbo_nats, regret = (yield from elbo_steps(vae, x, **draws)).elbo_nats, None
    ratio = (yield from layers_ratio_steps(vae, x, **draws)) if has_layers(vae) else None
    z, picture = yield from reconstruction_steps(vae, x, chunk_rows=chunk_rows)
    seen = (x / vae.unit_scale).double().cpu()
    squared = (seen - (picture / vae.unit_scale).double().cpu().clamp(0, 1)).square()
    error = squared.mean(1)
    whole = (seen * (levels - 1)).round().to(torch.int64)
    return Measured(
        elbo_nats=_array(elbo_nats),
        code_nats=code_lengths(whole.numpy(), levels),
        error=error.numpy(),
        reconstruction_error=error.flatten(1).mean(1).numpy(),
        residual_peak=_peak(error).numpy(),
        latents=z.double().cpu().flatten(1).numpy(),
        sharpness=_sharpness(seen).numpy(),
        likelihood_regret=None if regret is None else _array(regret),
        layers_ratio=None if ratio is None else _array(ratio),
    )


measure = without_steps(measure_steps)
"""Measure images; `measure_steps` explains the arguments."""


def join_measured(parts: list[Measured]) -> Measured:
    """The measurements of consecutive parts as one."""
    joined: list[Any] = [
        None if columns[0] is None else np.concatenate(columns)
        for columns in zip(*parts, strict=True)
    ]
    return Measured(*joined)


def _array(values: Tensor | None) -> Float64[np.ndarray, " batch"]:
    assert values is not None  # of a model that has a likelihood
    return np.asarray(values.double().cpu().numpy())


def _peak(error: Float64[Tensor, "batch height width"]) -> Float64[Tensor, " batch"]:
    """Largest mean of a window."""
    height, width = error.shape[1:]
    sides = [min(side, max(_MIN_WINDOW, side // _WINDOWS)) for side in (height, width)]
    means: Tensor = avg_pool2d(error[:, None], sides, stride=1)
    return means.flatten(1).amax(1)


def _sharpness(x: Float64[Tensor, "batch channel height width"]) -> Float64[Tensor, " batch"]:
    first = _mean_square(x.diff(dim=-1)) + _mean_square(x.diff(dim=-2))
    second = _mean_square(x.diff(2, dim=-1)) + _mean_square(x.diff(2, dim=-2))
    return ((second + _FLAT) / (first + _FLAT)).log()


def _mean_square(x: Tensor) -> Tensor:
    """Mean over all but the first axis; 0 where pictures are too small to have differences."""
    flat = x.square().flatten(1)
    return flat.mean(1) if flat.shape[1] else flat.new_zeros(len(flat))
