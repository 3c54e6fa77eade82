"""The operations' passes: functions of rows, each of whose results depends on its own row alone.

Rows of several requests go through them together, so that they take nothing of one request but its
rows; a row of noise belongs to its item. They take rows from the host and give results to it: one
copy each way for all requests that share a pass. `models.estimators.passes` has those inside a
score.
"""

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from app.compute import recordings
from app.serving.served_model import ServedModel
from models.distributions.kl import has_analytic_kl, kl_divergence
from models.estimators.reconstruction import picture_errors
from models.estimators.steps import Rows
from models.vae.model import VAE

Outputs = tuple[np.ndarray | None, ...]


@torch.inference_mode()
def encode_rows(vae: VAE, has_scale: bool, x: Rows, y: Rows, noise: Rows) -> Outputs:
    """q(z|x): its mean, standard deviation, KL to the prior in nats, and draws (row, sample, ...).

    Args:
        vae: The model.
        has_scale: Whether the posterior has a standard deviation.
        x: (row, channel, height, width).
        y: Labels, (row,).
        noise: Of the draws, (row, sample, ...).
    """
    images, labels, normals = _on_device(vae, x, y, noise)
    pictures = cast(Tensor, images)
    if normals is None:
        return _on_host(*recordings.run(_encoded, vae, has_scale, rows=pictures, y=labels), None)
    q: Any = vae.posterior(pictures, labels)
    samples = q.from_noise(normals.transpose(0, 1)).transpose(0, 1)
    return _on_host(*_described(vae, has_scale, q, labels), samples)


@torch.inference_mode()
def decode_rows(vae: VAE, output: str, z: Rows, y: Rows, noise: Rows) -> Outputs:
    """p(x|z): its mean, logits, or a draw by the noise."""
    latents, labels, drawn_by = _on_device(vae, z, y, noise)
    return _on_host(_decoded(vae, output, cast(Tensor, latents), labels, drawn_by))


@torch.inference_mode()
def reconstruct_rows(
    vae: VAE, output: str, with_error: bool, x: Rows, y: Rows, noise: Rows
) -> Outputs:
    """The posterior's mean, p(x|z) there as `decode_rows` gives it, and its `picture_errors`."""
    images, labels, drawn_by = _on_device(vae, x, y, noise)
    original = cast(Tensor, images)
    z: Tensor = vae.posterior(original, labels).mean
    decoded = _decoded(vae, output, z, labels, drawn_by)
    if not with_error:
        return _on_host(z, decoded, None, None)
    errors = picture_errors(original, decoded, unit_scale=vae.unit_scale)
    return _on_host(z, decoded, *(error.float() for error in errors))


@torch.inference_mode()
def sample_rows(
    vae: VAE, output: str, temperature: float, z_noise: Rows, y: Rows, noise: Rows
) -> Outputs:
    """Latents from the prior, and p(x|z) there as `decode_rows` gives it."""
    normals, labels, drawn_by = _on_device(vae, z_noise, y, noise)
    z = vae.prior(labels).from_noise(cast(Tensor, normals), temperature=temperature)
    return _on_host(z, _decoded(vae, output, z, labels, drawn_by))


def record_passes(served: ServedModel) -> None:
    """Record what most passes are made of: q(z|x) without draws, and the mean of p(x|z).

    A network that takes rows one by one is large: Python's part of its time is none.
    """
    vae = served.vae
    if vae.least_rows == 1:
        return
    if "encoder" not in served.lacks:
        has_scale = "posterior" in served.capabilities
        recordings.record(_encoded, vae, has_scale, shape=vae.image_shape)
    recordings.record(_decoded_mean, vae, shape=tuple(vae.latent_shape))


def _encoded(vae: VAE, has_scale: bool, x: Tensor, y: Tensor | None) -> recordings.Results:
    return _described(vae, has_scale, vae.posterior(x, y), y)


def _described(vae: VAE, has_scale: bool, q: Any, y: Tensor | None) -> recordings.Results:
    """q(z|x)'s mean, and, of one that has a scale, that and the KL to the prior, if any."""
    std = kl = None
    if has_scale:
        std = q.scale
        if vae.config.prior.kind != "none" and has_analytic_kl(q, prior := vae.prior(y)):
            kl = kl_divergence(q, prior).double()
    return q.mean, std, kl


def _decoded_mean(vae: VAE, z: Tensor, y: Tensor | None) -> recordings.Results:
    return (cast(Any, vae.likelihood(z, y)).mean,)


def _decoded(vae: VAE, output: str, z: Tensor, y: Tensor | None, noise: Tensor | None) -> Tensor:
    if output != "logits" and noise is None:
        return cast(Tensor, recordings.run(_decoded_mean, vae, rows=z, y=y)[0])
    likelihood: Any = vae.likelihood(z, y)
    if output == "logits":
        return cast(Tensor, likelihood.logits)
    return cast(Tensor, likelihood.from_noise(noise))


def _on_device(vae: VAE, *rows: Rows) -> list[Tensor | None]:
    """Rows where the network is."""
    device = vae.device
    return [None if row is None else to_device(row, device) for row in rows]


def to_device(rows: Tensor | np.ndarray, device: torch.device) -> Tensor:
    """Rows on a device; a GPU copies them while the processor goes on."""
    tensor = torch.from_numpy(rows) if isinstance(rows, np.ndarray) else rows
    if tensor.device == device:
        return tensor
    tensor = tensor.pin_memory() if device.type == "cuda" else tensor
    return tensor.to(device, non_blocking=True)


def _on_host(*results: Tensor | None) -> Outputs:
    return tuple(None if result is None else result.cpu().numpy() for result in results)
