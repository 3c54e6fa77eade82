"""The bundle that the service and its peers serve: an MLP 784-200-200-50 and its decoder.

Weights are random: they change no time. The same weights go into an .npz for the peers.
"""

from pathlib import Path

import numpy as np
import torch

from models.bundle.saving import save_bundle
from models.bundle.schema import BundleConfig, Evaluation, Provenance
from models.config import BernoulliConfig, MLPConfig
from models.images.spec import ImageSpec
from models.vae import VAE
from models.vae_config import VAEConfig

NAME = "mlp"
LATENTS = 50
HIDDEN = MLPConfig(hidden=(200, 200))
IMAGE = ImageSpec(channels=1, height=28, width=28, levels=2, binarization="threshold")
CONFIG = VAEConfig(
    image_shape=(1, 28, 28),
    latent_shape=(LATENTS,),
    likelihood=BernoulliConfig(),
    encoder=HIDDEN,
    decoder=HIDDEN,
)


def write_bundle(repository: Path, version: int = 1) -> Path:
    """Write the bundle into a model repository; return the peers' weights."""
    with torch.random.fork_rng():
        torch.manual_seed(version)
        vae = VAE(CONFIG).eval().requires_grad_(False)
        pixels = torch.randint(0, 2, (8, *IMAGE.shape)).float()
    save_bundle(
        repository / NAME / str(version),
        vae=vae,
        config=BundleConfig(
            name=NAME, version=version, vae=CONFIG, image=IMAGE, provenance=_provenance()
        ),
        evaluation=_no_evaluation(),
        card="# Random weights of the benchmarks\n",
        pictures={},
        parity_inputs=pixels,
    )
    weights = repository.parent / "weights.npz"
    np.savez(weights, **_layers(vae))  # type: ignore[arg-type]
    return weights


def _layers(vae: VAE) -> dict[str, np.ndarray]:
    """Weights and biases by `<encoder or decoder>.<index>.<weight or bias>`."""
    found: dict[str, np.ndarray] = {}
    for name, network in (("encoder", vae.encoder), ("decoder", vae.decoder)):
        dense = [layer for layer in network.modules() if isinstance(layer, torch.nn.Linear)]
        for index, layer in enumerate(dense):
            found[f"{name}.{index}.weight"] = layer.weight.numpy()
            found[f"{name}.{index}.bias"] = layer.bias.numpy()
    return found


def _provenance() -> Provenance:
    return Provenance(
        recipe="",
        seed=0,
        code_version="0",
        dataset="none",
        dataset_sha256="0" * 64,
        created_at="2026-01-01T00:00:00Z",
        training_seconds=0,
        epochs=0,
        hardware="none",
        torch_version=torch.__version__,
    )


def _no_evaluation() -> Evaluation:
    return Evaluation(dataset="none", split="test", num_images=0, estimates=(), active_units=0)
