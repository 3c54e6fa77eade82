"""The operations' passes: functions of rows, each of whose results depends on its own row alone.

Rows of several requests go through them together, so that they take nothing of one request but its
rows; a row of noise belongs to its item. `models.estimators.passes` has those inside a score.
"""

from typing import Any

from torch import Tensor

from models.distributions.kl import has_analytic_kl, kl_divergence
from models.vae.model import VAE

Outputs = tuple[Tensor | None, ...]


def encode_rows(
    vae: VAE, has_scale: bool, x: Tensor, y: Tensor | None, noise: Tensor | None
) -> Outputs:
    """q(z|x): its mean, standard deviation, KL to the prior in nats, and draws (row, sample, ...).

    Args:
        vae: The model.
        has_scale: Whether the posterior has a standard deviation.
        x: (row, channel, height, width).
        y: Labels, (row,).
        noise: Of the draws, (row, sample, ...).
    """
    q: Any = vae.posterior(x, y)
    std = kl = samples = None
    if has_scale:
        std, prior = q.scale, vae.prior(y)
        if has_analytic_kl(q, prior):
            kl = kl_divergence(q, prior).double()
    if noise is not None:
        samples = q.from_noise(noise.transpose(0, 1)).transpose(0, 1)
    return q.mean, std, kl, samples


def decode_rows(
    vae: VAE, output: str, z: Tensor, y: Tensor | None, noise: Tensor | None
) -> Outputs:
    """p(x|z): its mean, logits, or a draw by the noise."""
    likelihood: Any = vae.likelihood(z, y)
    if output == "logits":
        return (likelihood.logits,)
    return (likelihood.mean if noise is None else likelihood.from_noise(noise),)


def reconstruct_rows(
    vae: VAE, output: str, x: Tensor, y: Tensor | None, noise: Tensor | None
) -> Outputs:
    """The posterior's mean, and p(x|z) there as `decode_rows` gives it."""
    z: Tensor = vae.posterior(x, y).mean
    return (z, *decode_rows(vae, output, z, y, noise))


def sample_rows(
    vae: VAE,
    output: str,
    temperature: float,
    z_noise: Tensor,
    y: Tensor | None,
    noise: Tensor | None,
) -> Outputs:
    """Latents from the prior, and p(x|z) there as `decode_rows` gives it."""
    z = vae.prior(y).from_noise(z_noise, temperature=temperature)
    return (z, *decode_rows(vae, output, z, y, noise))
