"""log p(x) itself, where the posterior is exact: every importance weight is then p(x)."""

from copy import deepcopy
from typing import cast
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor

from models.distributions.batch_noise import BatchNoise
from models.distributions.normals import DiagonalNormal
from models.errors import UnsupportedOperation
from models.noise import NoiseStream
from models.vae.model import VAE

EXACT_SPREAD_NATS = 0.01
"""Largest difference between log-weights of one picture with which a linear-Gaussian posterior
counts as exact; rounding the weights to float32 causes less than 1e-4."""


@torch.no_grad()
def exact_log_px(
    vae: VAE, x: Float[Tensor, "batch channel height width"]
) -> Float[Tensor, " batch"]:
    """log p(x) of each datum, nats: the one weight that every draw of an exact posterior has.

    Raises:
        UnsupportedOperation: The posterior is an approximation.
    """
    if not has_exact_posterior(vae):
        raise UnsupportedOperation(
            "estimator='exact' needs a model whose posterior is exact; this model's posterior is "
            "an approximation. Use estimator='iwae'.",
            parameter="estimator",
            received="exact",
            suggestion="iwae",
        )
    q = vae.posterior(x)
    z = q.mode  # where q is largest, log q is the least rounded
    log_px: Tensor = vae.log_joint(x, z) - q.log_prob(z)
    return log_px


@torch.no_grad()
def has_exact_posterior(vae: VAE) -> bool:
    """Whether q(z|x) is p(z|x), so that every importance weight is p(x).

    True of categorical latents, whose posterior is enumerated, and of linear-Gaussian models where
    log-weights of the model's own pictures, in float64, do not vary with the draw by more than
    `EXACT_SPREAD_NATS`.

    Source: Tipping and Bishop 1999, Journal of the Royal Statistical Society B 61(3).
    """
    config = vae.config
    if config.posterior.kind == "enumerated":
        return True
    networks = (config.encoder, config.decoder)
    linear = all(n is not None and n.kind == "mlp" and not n.hidden for n in networks)
    normal = config.likelihood.kind == "normal" and config.likelihood.scale in ("fixed", "learned")
    plain = config.prior.kind == "standard_normal" and not config.num_labels
    if not (linear and normal and plain and config.posterior.kind != "point"):
        return False
    known, stamp = _EXACT.get(vae), vae.stamp()
    if known is None or known[0] != stamp:
        known = _EXACT[vae] = stamp, _weights_are_constant(vae)
    return known[1]


_EXACT: "WeakKeyDictionary[VAE, tuple[list[tuple[int, int]], bool]]" = WeakKeyDictionary()
"""Each model's answer and the stamp of its weights then: finding it takes longer than a score."""


def _weights_are_constant(vae: VAE) -> bool:
    """Whether log-weights of pictures sampled from the model vary with the draw."""
    copy, count = deepcopy(vae).cpu().double().eval(), vae.num_latents + 2
    # log w is a quadratic function of picture and draw: constant here, constant everywhere.
    z = torch.from_numpy(NoiseStream(0, 0, "prior").normal(count, *vae.latent_shape))
    p = cast(DiagonalNormal, copy.likelihood(z))
    x = p.from_noise(torch.from_numpy(NoiseStream(0, 0, "likelihood").normal(*p.noise_shape())))
    noise = BatchNoise(0, count, "posterior")
    log_w = copy.log_weights(x, noise.draw(2 * count, vae.latent_shape, dtype=torch.float64))
    return bool((log_w.amax(0) - log_w.amin(0) < EXACT_SPREAD_NATS).all())
