"""The bundle: one folder that holds a trained model and everything said about it.

    <repository>/<model>/<version>/
        config.json  model.safetensors  parity.safetensors  evaluation.json  README.md  *.png
        manifest.json                     sha256 and size of every other file

docs/bundle-format.md is normative, `bundle_schema.py` says what the JSON files hold. Loading
verifies everything and never unpickles; this module trains, serves and downloads nothing.
"""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor

from models.bundle.parity import _check_parity
from models.bundle.schema import (
    CARD,
    CONFIG,
    EVALUATION,
    FORMAT_VERSION,
    MANIFEST,
    PARITY,
    WEIGHTS,
    BundleConfig,
    Evaluation,
    Manifest,
)
from models.config import VAEConfig
from models.errors import (
    BundleCorrupt,
    BundleNotFound,
    BundleVersionUnsupported,
)
from models.vae.model import VAE

_REQUIRED = (CONFIG, WEIGHTS, PARITY, EVALUATION, CARD)

T = TypeVar("T", bound=BaseModel)


class _Head(BaseModel):
    """What every version of the format begins with; whatever else it has is let through."""

    format_version: int


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle; the VAE is in eval mode, without gradients, float32."""

    path: Path
    config: BundleConfig
    evaluation: Evaluation
    vae: VAE
    digest: str
    """sha256 of manifest.json, hex: it changes when any byte of the bundle does."""

    @property
    def name(self) -> str:
        """The model's name."""
        return self.config.name

    @property
    def version(self) -> int:
        """The model's version."""
        return self.config.version


def load_bundle(path: Path, *, device: torch.device | str = "cpu") -> Bundle:
    """Verify a bundle and load it.

    Args:
        path: The version's folder.
        device: Where the weights go. Parity is checked there.

    Returns:
        The bundle.

    Raises:
        BundleNotFound: There is no such folder.
        BundleVersionUnsupported: Another format version.
        BundleCorrupt: Any other fault; says the file and what is wrong with it.
    """
    files, digest = _read_verified(path)
    config = _parse_versioned(path, CONFIG, files[CONFIG], BundleConfig)
    evaluation = _parse(path, EVALUATION, files[EVALUATION], Evaluation)
    if (config.name, str(config.version)) != (path.parent.name, path.name):
        raise BundleCorrupt(
            f"A bundle lies at <model>/<version> as its config says; {path} holds "
            f"{config.name}/{config.version}. Move it there."
        )
    weights = _read_tensors(path, WEIGHTS, files[WEIGHTS])
    _check_weights(path, weights, _expected_tensors(path, config.vae))
    vae = VAE(config.vae)
    vae.load_state_dict(weights)
    vae.to(device).freeze()
    _check_parity(path, vae, _read_tensors(path, PARITY, files[PARITY]))
    return Bundle(path=path, config=config, evaluation=evaluation, vae=vae, digest=digest)


def _read_verified(path: Path) -> tuple[dict[str, bytes], str]:
    """Every file's bytes, checked against the manifest, and the manifest's digest."""
    if not path.is_dir():
        raise BundleNotFound(f"A bundle is a folder; there is none at {path}. Check the path.")
    present = {entry.name: entry for entry in os.scandir(path)}
    for name, entry in present.items():
        if not stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
            raise BundleCorrupt(
                f"A bundle holds plain files only; {path / name} is a link or a folder. Copy the "
                "bundle's files themselves."
            )
    if MANIFEST not in present:
        raise BundleCorrupt(f"A bundle has a {MANIFEST}; {path} has none. Export it again.")
    raw = (path / MANIFEST).read_bytes()
    manifest = _parse_versioned(path, MANIFEST, raw, Manifest)
    if missing := sorted({*manifest.files, *_REQUIRED} - present.keys()):
        raise BundleCorrupt(f"{path} lacks {missing}. Copy the whole bundle again.")
    if extra := sorted(present.keys() - manifest.files.keys() - {MANIFEST}):
        raise BundleCorrupt(
            f"{path} has files that its manifest does not list: {extra}. Remove them."
        )
    files = {}
    for name, listed in manifest.files.items():
        if present[name].stat().st_size != listed.size_bytes:
            raise BundleCorrupt(
                f"{path / name} has another size than its manifest says. Copy it again."
            )
        files[name] = (path / name).read_bytes()
        if hashlib.sha256(files[name]).hexdigest() != listed.sha256:
            raise BundleCorrupt(
                f"{path / name} has another sha256 than its manifest says. Copy it again."
            )
    return files, hashlib.sha256(raw).hexdigest()


def _parse_versioned(path: Path, name: str, raw: bytes, model: type[T]) -> T:
    """Look at the format version before the fields that only it defines."""
    head = _parse(path, name, raw, _Head)
    if head.format_version != FORMAT_VERSION:
        raise BundleVersionUnsupported(
            f"This code reads bundles of format version {FORMAT_VERSION}; {path / name} has "
            f"{head.format_version}. Upgrade the service, or export the model again."
        )
    return _parse(path, name, raw, model)


def _parse(path: Path, name: str, raw: bytes, model: type[T]) -> T:
    try:
        return model.model_validate_json(raw, strict=True)
    except ValidationError as error:
        raise BundleCorrupt(f"{path / name} is not what the format says: {error}") from error


def _read_tensors(path: Path, name: str, raw: bytes) -> dict[str, Tensor]:
    try:
        return load_tensors(raw)
    except (SafetensorError, KeyError) as error:  # KeyError: a type that torch has not
        raise BundleCorrupt(f"{path / name} is no safetensors file: {error}") from error


def _expected_tensors(path: Path, config: VAEConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the weights; on the meta device a monstrous config costs no memory."""
    try:
        with torch.device("meta"):
            return {name: tuple(t.shape) for name, t in VAE(config).state_dict().items()}
    except (OverflowError, RuntimeError, TypeError) as error:  # torch's, for sizes beyond 64 bits
        raise BundleCorrupt(
            f"{path / CONFIG} names a network larger than any memory: {error}"
        ) from error


def _check_weights(
    path: Path, tensors: dict[str, Tensor], expected: dict[str, tuple[int, ...]]
) -> None:
    if tensors.keys() != expected.keys():
        missing, extra = expected.keys() - tensors.keys(), tensors.keys() - expected.keys()
        raise BundleCorrupt(
            f"{path / WEIGHTS} holds the tensors that its config names; missing {sorted(missing)}, "
            f"extra {sorted(extra)}."
        )
    for name, tensor in tensors.items():
        if tensor.dtype != torch.float32 or tuple(tensor.shape) != expected[name]:
            raise BundleCorrupt(
                f"{path / WEIGHTS}: {name} is float32 {expected[name]}; received "
                f"{tensor.dtype} {tuple(tensor.shape)}."
            )
        if not bool(tensor.isfinite().all()):
            raise BundleCorrupt(f"{path / WEIGHTS}: {name} is not finite. Train the model again.")
