"""Parity of a bundle: a loaded model must compute the outputs that were stored with it."""

from pathlib import Path

import torch
from torch import Tensor

from models.bundle.schema import PARITY
from models.distributions.batch_noise import BatchNoise
from models.errors import BundleCorrupt
from models.vae import VAE

PARITY_ITEMS = 8
"""Most inputs; a model whose single pass takes seconds may have fewer, one at least."""
PARITY_TOLERANCE = 1e-4
"""Largest |stored - computed|, relative to 1 + the tensor's largest stored magnitude."""


@torch.no_grad()
def parity_tensors(vae: VAE, x: Tensor) -> dict[str, Tensor]:
    """Inputs, and the outputs that the model computes of them."""
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


def are_parity_inputs(x: Tensor, vae: VAE) -> bool:
    """Whether x is 1 to 8 observations in float32."""
    allowed = [(count, *vae.image_shape) for count in range(1, PARITY_ITEMS + 1)]
    return x.dtype == torch.float32 and tuple(x.shape) in allowed


def check_parity(path: Path, vae: VAE, stored: dict[str, Tensor]) -> None:
    """Compare a loaded model's outputs with the stored ones.

    Raises:
        BundleCorrupt: The stored tensors are not this model's, or differ from what it computes.
    """
    x = stored.get("x")
    if x is None or not are_parity_inputs(x, vae):
        received = "missing" if x is None else f"{x.dtype} {tuple(x.shape)}"
        raise BundleCorrupt(
            f"{path / PARITY}: x is {received}; it must be torch.float32 "
            f"{(PARITY_ITEMS, *vae.image_shape)}, or of fewer items. Export the bundle again."
        )
    computed = parity_tensors(vae, x.to(next(vae.parameters()).device))
    if {n: (t.dtype, t.shape) for n, t in stored.items()} != {
        n: (t.dtype, t.shape) for n, t in computed.items()
    }:
        raise BundleCorrupt(
            f"{path / PARITY} holds {_describe(stored)}; this model computes "
            f"{_describe(computed)}. Export the bundle again."
        )
    for name, want in stored.items():
        limit = PARITY_TOLERANCE * (1 + float(want.abs().max()))
        worst = float((computed[name] - want).abs().max())
        if not worst <= limit:  # NaN too
            raise BundleCorrupt(
                f"{path / PARITY}: {name} differs by {worst:.3g} from what this machine computes; "
                f"the limit is {limit:.3g}. Use another device or torch build, or export the "
                "bundle again."
            )


def _describe(tensors: dict[str, Tensor]) -> str:
    return ", ".join(f"{name} {t.dtype} {tuple(t.shape)}" for name, t in sorted(tensors.items()))
