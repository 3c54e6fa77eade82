"""Loading of a bundle: the folder of a trained model, verified file by file, never unpickled.

    <repository>/<model>/<version>/
        config.json  model.safetensors  parity.safetensors  evaluation.json  README.md  *.png
        good_pictures.json                scores behind the operation `anomaly`; optional
        examples.json  map.json           held-out pictures for a page; optional
        manifest.json                     sha256 and size of every other file

docs/bundle-format.md is normative.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor

from models.bundle.examples import Examples
from models.bundle.good_pictures import GoodPictures
from models.bundle.latent_map import LatentMap
from models.bundle.optional_files import parse_examples, parse_good_pictures, parse_map
from models.bundle.parity import check_parity
from models.bundle.reading import describe, read_files
from models.bundle.schema import CONFIG, PARITY, WEIGHTS, BundleConfig, Evaluation
from models.errors import BundleCorrupt
from models.vae import VAE
from models.vae_config import VAEConfig


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle; the VAE is in eval mode, without gradients, float32."""

    path: Path
    config: BundleConfig
    evaluation: Evaluation
    vae: VAE
    digest: str
    """sha256 of manifest.json, hex; it changes when any byte of the bundle does."""
    good_pictures: GoodPictures | None = None
    """Scores of good pictures; None where the bundle has none."""
    examples: Examples | None = None
    """Held-out pictures; None where the bundle has none."""
    latent_map: LatentMap | None = None
    """Held-out pictures in a plane of the latent space; None where the bundle has none."""

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def version(self) -> int:
        return self.config.version


def load_bundle(path: Path, *, device: torch.device | str = "cpu") -> Bundle:
    """Verify a bundle and load it.

    Args:
        path: The version's folder.
        device: Where the weights go, and where parity is checked.

    Returns:
        The bundle.

    Raises:
        BundleNotFound: There is no such folder.
        BundleVersionUnsupported: The bundle has another format version.
        BundleCorrupt: A file is missing, damaged or does not match; the message names it.
    """
    files = read_files(path)
    config, evaluation, digest, _ = describe(path, files)
    good_pictures = parse_good_pictures(path, files, config)
    examples = parse_examples(path, files, config)
    weights = _read_tensors(path, WEIGHTS, files.pop(WEIGHTS))  # which may be large: not kept twice
    _check_weights(path, weights, _expected_tensors(path, config.vae))
    vae = VAE(config.vae)
    vae.load_state_dict(weights)
    vae.to(device).freeze()
    check_parity(path, vae, _read_tensors(path, PARITY, files[PARITY]))
    return Bundle(
        path=path,
        config=config,
        evaluation=evaluation,
        vae=vae,
        digest=digest,
        good_pictures=good_pictures,
        examples=examples,
        latent_map=parse_map(path, files, config),
    )


def _read_tensors(path: Path, name: str, raw: bytes) -> dict[str, Tensor]:
    try:
        return load_tensors(raw)
    except (SafetensorError, KeyError) as error:  # KeyError: a type that torch has not
        raise BundleCorrupt(f"{path / name} cannot be read as safetensors: {error}") from error


def _expected_tensors(path: Path, config: VAEConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the weights, made on the meta device: a huge config costs no memory."""
    try:
        with torch.device("meta"):
            return {name: tuple(t.shape) for name, t in VAE(config).state_dict().items()}
    except (OverflowError, RuntimeError, TypeError) as error:  # torch's, for sizes beyond 64 bits
        raise BundleCorrupt(
            f"{path / CONFIG}: the networks are too large to build: {error}"
        ) from error


def _check_weights(
    path: Path, tensors: dict[str, Tensor], expected: dict[str, tuple[int, ...]]
) -> None:
    if tensors.keys() != expected.keys():
        missing, extra = expected.keys() - tensors.keys(), tensors.keys() - expected.keys()
        raise BundleCorrupt(
            f"{path / WEIGHTS} does not hold the tensors of {CONFIG}: missing {sorted(missing)}, "
            f"extra {sorted(extra)}. Export the bundle again."
        )
    for name, tensor in tensors.items():
        if tensor.dtype != torch.float32 or tuple(tensor.shape) != expected[name]:
            raise BundleCorrupt(
                f"{path / WEIGHTS}: {name} is {tensor.dtype} {tuple(tensor.shape)}; it must be "
                f"torch.float32 {expected[name]}. Export the bundle again."
            )
        if not bool(tensor.isfinite().all()):
            raise BundleCorrupt(f"{path / WEIGHTS}: {name} is not finite. Train the model again.")
