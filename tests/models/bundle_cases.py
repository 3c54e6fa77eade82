"""A tiny bundle, and the ways to change its files."""

import hashlib
import json

import pytest
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from models.bundle.loading import load_bundle
from models.bundle.saving import save_bundle
from models.bundle.schema import Baseline, BundleConfig, Estimate, Evaluation, Reference
from models.config import MLPConfig, NormalConfig
from models.errors import BundleCorrupt
from models.images.spec import ImageSpec
from models.vae import VAE
from models.vae_config import VAEConfig
from tests.provenance import make_provenance

PROVENANCE = make_provenance()
EVALUATION = Evaluation(
    dataset="squares",
    split="test",
    num_images=2,
    estimates=(
        Estimate(
            estimator="elbo",
            num_samples=10,
            n=2,
            seed=0,
            mean_nats=-3.5,
            standard_error_nats=0.25,
            bits_per_dim=0.75,
        ),
    ),
    rate_nats=1.0,
    distortion_nats=2.5,
    active_units=1,
    references=(Reference(estimator="elbo", num_samples=10, values_nats=(-4.0, -3.0)),),
    baselines=(Baseline(kind="histogram", n=2, bits_per_dim=1.5),),
)
TINY = VAEConfig(
    image_shape=(1, 2, 2),
    latent_shape=(1,),
    likelihood=NormalConfig(scale="fixed"),
    encoder=MLPConfig(hidden=()),
    decoder=MLPConfig(hidden=()),
)


def config_of(vae_config, *, name="tiny", version=1, image=None):
    channels, height, width = vae_config.image_shape
    return BundleConfig(
        name=name,
        version=version,
        vae=vae_config,
        image=image or ImageSpec(channels=channels, height=height, width=width, values="unit"),
        labels=tuple(map(str, range(vae_config.num_labels))) or ("square", "circle"),
        provenance=PROVENANCE,
    )


def tiny_vae():
    """A VAE with pinned weights."""
    vae = VAE(TINY)
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.copy_(torch.arange(parameter.numel()).reshape(parameter.shape) / 8 - 0.25)
    return vae.eval()


def inputs_of(vae):
    count = 8 * vae.config.num_dimensions
    return torch.linspace(0, 1, count).reshape(8, *vae.image_shape)


def save(path, vae, **fields):
    arguments = dict(
        config=fields.get("config") or config_of(vae.config),
        evaluation=EVALUATION,
        card="# Tiny\n",
        pictures={"samples.png": b"not really a picture"},
        parity_inputs=inputs_of(vae),
    )
    save_bundle(path, vae=vae, **{**arguments, **fields})


def remake_manifest(path):
    """Write a manifest that fits the changed files, as someone would who forges a bundle."""
    files = {
        p.name: {
            "sha256": hashlib.sha256(p.read_bytes()).hexdigest(),
            "size_bytes": p.stat().st_size,
        }
        for p in sorted(path.iterdir())
        if p.name != "manifest.json"
    }
    (path / "manifest.json").write_text(json.dumps({"format_version": 1, "files": files}))


def edit_json(path, name, change, *, remake=True):
    """Change one JSON file with a function of its content."""
    content = json.loads((path / name).read_text())
    change(content)
    (path / name).write_text(json.dumps(content))
    if remake:
        remake_manifest(path)


def edit_weights(path, change, *, name="model.safetensors"):
    """Change the tensors with a function of their dict, and make the manifest agree."""
    tensors = load_tensors((path / name).read_bytes())
    change(tensors)
    (path / name).write_bytes(save_tensors(tensors))
    remake_manifest(path)


def refused(path, *words, error=BundleCorrupt):
    """Loading is refused with a message that holds all these words."""
    with pytest.raises(error) as caught:
        load_bundle(path)
    for word in words:
        assert word in str(caught.value)
