"""The networks' passes inside an estimate: q(z|x), log p(x|z) and log-weights, in steps.

log_w = log p(x|z) + log p(z) - log q(z|x)
"""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from models.distributions.from_noise import FromNoise
from models.estimators.steps import Pass, Steps
from models.vae.model import VAE
from models.vae.networks import MIN_ROWS

_GRADIENT_ROWS = 8 * MIN_ROWS
"""Rows whose gradients are computed at once: every layer's output is kept for them.

Refining an image of mnist, K = 200, took 3.5, 3.4, 3.0, 2.4 and 2.6 s of a busy processor at 1, 2,
4, 8 and 16 times `MIN_ROWS`.
"""


def posterior_steps(vae: VAE, x: Tensor, y: Tensor | None) -> Steps[FromNoise]:
    """q(z|x) or q(z|x, y); the encoder is a pass."""
    (params,) = yield Pass(posterior_params, (vae,), (x, y))
    return vae.posterior_from(params, y)


def log_likelihood_steps(
    vae: VAE, z: Float[Tensor, "sample row ..."], x: Tensor, y: Tensor | None
) -> Steps[Float[Tensor, "sample row"]]:
    """log p(x|z) or log p(x|z, y), nats; the decoder is a pass."""
    log_px: Tensor
    (log_px,) = yield Pass(_log_likelihood, (vae,), _rows_of_draws(z, x, y), 2)
    return log_px


def pixel_log_likelihood_steps(
    vae: VAE, z: Float[Tensor, "sample row ..."], x: Tensor, y: Tensor | None
) -> Steps[tuple[Float[Tensor, "sample row"], Float[Tensor, "sample row height width"]]]:
    """The same, and what each pixel adds to it, its channels together."""
    log_px, by_pixel = yield Pass(_pixel_log_likelihood, (vae,), _rows_of_draws(z, x, y), 2)
    return log_px, by_pixel


def _rows_of_draws(z: Tensor, x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    samples = len(z)
    return z, x.expand(samples, *x.shape), None if y is None else y.expand(samples, *y.shape)


def log_weights_steps(
    vae: VAE,
    x: Float[Tensor, "batch channel height width"],
    noise: Float[Tensor, "sample batch ..."],
    y: Tensor | None,
    *,
    posterior: FromNoise,
) -> Steps[Float[Tensor, "sample batch"]]:
    """`VAE.log_weights` in steps, with the same arguments."""
    if vae.num_labels and y is None:
        rows, labels = vae.every_label(x)
        noise = noise.repeat(1, vae.num_labels, *[1] * (noise.ndim - 2))
        by_label = yield from log_weights_steps(vae, rows, noise, labels, posterior=posterior)
        return vae.sum_over_labels(by_label)
    z = posterior.from_noise(noise)
    log_px = yield from log_likelihood_steps(vae, z, x, y)
    log_w: Tensor = log_px + vae.prior(y).log_prob(z) - posterior.log_prob(z)
    return log_w


def posterior_params(vae: VAE, x: Tensor, y: Tensor | None) -> tuple[Tensor, ...]:
    """What q(z|x) is made of, row by row."""
    return (vae.posterior_params(x, y),)


def _log_likelihood(vae: VAE, z: Tensor, x: Tensor, y: Tensor | None) -> tuple[Tensor, ...]:
    return (_likelihood(vae, z, y).log_prob(x),)


def _pixel_log_likelihood(vae: VAE, z: Tensor, x: Tensor, y: Tensor | None) -> tuple[Tensor, ...]:
    likelihood = _likelihood(vae, z, y)
    return likelihood.log_prob(x), likelihood.pixel_log_prob(x)


def _likelihood(vae: VAE, z: Tensor, y: Tensor | None) -> FromNoise:
    if y is not None and y.ndim > 1:  # the same labels for every sample
        y = y[0]
    return vae.likelihood(z, y)


def slope_steps(
    vae: VAE, z: Float64[Tensor, "sample row latent"], x: Tensor, y: Tensor | None
) -> Steps[tuple[Tensor, Tensor]]:
    """log p(x, z) and its gradient in z, float64 on the CPU, (sample, row) and z's shape."""
    samples = len(z)
    labels = None if y is None else y.expand(samples, *y.shape)
    rows = z.to(x).contiguous(), x.expand(samples, *x.shape), labels
    log_joint, slope = yield Pass(_slope, (vae,), rows, 2)
    return log_joint.double().cpu(), slope.double().cpu()


def _slope(vae: VAE, z: Tensor, x: Tensor, y: Tensor | None) -> tuple[Tensor, ...]:
    lead = z.shape[:-1]
    count = lead.numel()
    latents, pictures = z.reshape(count, -1), x.reshape(count, *vae.image_shape)
    labels = None if y is None else y.reshape(count)
    blocks = [slice(at, at + _GRADIENT_ROWS) for at in range(0, count, _GRADIENT_ROWS)]
    found = [
        _slope_of_block(vae, latents[b], pictures[b], None if labels is None else labels[b])
        for b in blocks
    ]
    log_joint, slope = (torch.cat(parts) for parts in zip(*found, strict=True))
    return log_joint.reshape(lead), slope.reshape(z.shape)


def _slope_of_block(vae: VAE, z: Tensor, x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
    with torch.inference_mode(False), torch.enable_grad():
        # The products of the way back, too, take other kernels for the rows left over.
        latents, labels = _pad(z).requires_grad_(), None if y is None else _pad(y)
        log_joint = vae.log_joint(_pad(x), latents.unflatten(-1, vae.latent_shape), labels)
        (slope,) = torch.autograd.grad(log_joint.sum(), latents)
    return log_joint.detach()[: len(z)], slope[: len(z)]


def _pad(rows: Tensor) -> Tensor:
    """A copy with rows of zeros up to a multiple of `MIN_ROWS`."""
    return torch.cat([rows, rows.new_zeros(-len(rows) % MIN_ROWS, *rows.shape[1:])])
