"""Stored inputs and outputs of a bundle: a loaded model must compute what it computed before."""

from pathlib import Path

import torch
from torch import Tensor

from models.bundle.schema import PARITY
from models.distributions.batch_noise import BatchNoise
from models.errors import BundleCorrupt
from models.vae.model import VAE

PARITY_ITEMS = 8
PARITY_TOLERANCE = 1e-4
"""Largest |stored - computed| relative to 1 + the tensor's largest stored magnitude."""


@torch.no_grad()
def parity_tensors(vae: VAE, x: Tensor) -> dict[str, Tensor]:
    """Inputs with their outputs: what the model must compute wherever it is loaded."""
    y = torch.arange(len(x), device=x.device) % vae.num_labels if vae.num_labels else None
    q = vae.posterior(x, y)
    noise = BatchNoise(0, len(x), "posterior").draw_for(q, 1, dtype=x.dtype).to(x.device)
    outputs = {"x": x, "noise": noise, "likelihood_mean": vae.likelihood(q.mean, y).mean}
    parameters = [name for name in ("loc", "scale") if hasattr(q, name)]
    outputs |= {f"posterior_{name}": getattr(q, name) for name in parameters}
    if vae.has_density:
        outputs["log_w"] = vae.log_weights(x, noise, y, posterior=q)
    if vae.config.classifier is not None:
        outputs["label_logits"] = vae.label_logits(x)
    return {name: value.cpu().contiguous() for name, value in outputs.items()}


def _check_parity(path: Path, vae: VAE, stored: dict[str, Tensor]) -> None:
    x = stored.get("x")
    shape = (PARITY_ITEMS, *vae.image_shape)
    if x is None or x.dtype != torch.float32 or x.shape != shape:
        received = None if x is None else (x.dtype, tuple(x.shape))
        raise BundleCorrupt(
            f"{path / PARITY} holds the inputs x, float32 {shape}; received {received}. Export the "
            "bundle again."
        )
    computed = parity_tensors(vae, x.to(next(vae.parameters()).device))
    if {n: (t.dtype, t.shape) for n, t in stored.items()} != {
        n: (t.dtype, t.shape) for n, t in computed.items()
    }:
        raise BundleCorrupt(
            f"{path / PARITY} holds {sorted(computed)}, float32, in this model's shapes; received "
            f"{ {n: (t.dtype, tuple(t.shape)) for n, t in stored.items()} }. Export it again."
        )
    for name, want in stored.items():
        limit = PARITY_TOLERANCE * (1 + float(want.abs().max()))
        worst = float((computed[name] - want).abs().max())
        if not worst <= limit:  # NaN too
            raise BundleCorrupt(
                f"The model computes what it computed when it was exported; {path / PARITY}: "
                f"{name} differs by {worst:.3g}, more than {limit:.3g}. Use another device or "
                "torch build."
            )
