"""Loading of a bundle: the folder of a trained model, verified file by file, never unpickled.

    <repository>/<model>/<version>/
        config.json  model.safetensors  parity.safetensors  evaluation.json  README.md  *.png
        manifest.json                     sha256 and size of every other file

docs/bundle-format.md is normative.
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

from models.bundle.parity import check_parity
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
    describe_invalid,
)
from models.vae import VAE

_REQUIRED = (CONFIG, WEIGHTS, PARITY, EVALUATION, CARD)

T = TypeVar("T", bound=BaseModel)


class _Head(BaseModel):
    """The field that every version of the format has."""

    format_version: int


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle; the VAE is in eval mode, without gradients, float32."""

    path: Path
    config: BundleConfig
    evaluation: Evaluation
    vae: VAE
    digest: str
    """sha256 of manifest.json, hex; it changes when any byte of the bundle does."""

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
    files, digest = _read_verified(path)
    config = _parse_versioned(path, CONFIG, files[CONFIG], BundleConfig)
    evaluation = _parse(path, EVALUATION, files[EVALUATION], Evaluation)
    if (config.name, str(config.version)) != (path.parent.name, path.name):
        raise BundleCorrupt(
            f"{path} holds the bundle {config.name}/{config.version}. Move it to "
            f"{path.parent.parent / config.name / str(config.version)}."
        )
    weights = _read_tensors(path, WEIGHTS, files[WEIGHTS])
    _check_weights(path, weights, _expected_tensors(path, config.vae))
    vae = VAE(config.vae)
    vae.load_state_dict(weights)
    vae.to(device).freeze()
    check_parity(path, vae, _read_tensors(path, PARITY, files[PARITY]))
    return Bundle(path=path, config=config, evaluation=evaluation, vae=vae, digest=digest)


def _read_verified(path: Path) -> tuple[dict[str, bytes], str]:
    """Every file's bytes, checked against the manifest, and the manifest's digest."""
    if not path.is_dir():
        raise BundleNotFound(f"There is no bundle folder {path}. Check the path.")
    present = {entry.name: entry for entry in os.scandir(path)}
    for name, entry in present.items():
        if not stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
            raise BundleCorrupt(
                f"{path / name} is a link or a folder; a bundle holds plain files only. Replace it "
                "by the file itself."
            )
    if MANIFEST not in present:
        raise BundleCorrupt(f"{path} has no {MANIFEST}. Export the bundle again.")
    raw = (path / MANIFEST).read_bytes()
    manifest = _parse_versioned(path, MANIFEST, raw, Manifest)
    if missing := sorted({*manifest.files, *_REQUIRED} - present.keys()):
        raise BundleCorrupt(f"{path} lacks {', '.join(missing)}. Copy the whole bundle again.")
    if extra := sorted(present.keys() - manifest.files.keys() - {MANIFEST}):
        raise BundleCorrupt(
            f"{path} holds {', '.join(extra)}, which {MANIFEST} does not list. Remove them."
        )
    files = {}
    for name, listed in manifest.files.items():
        if (size := present[name].stat().st_size) != listed.size_bytes:
            raise BundleCorrupt(
                f"{path / name} has a size of {size} bytes; {MANIFEST} lists {listed.size_bytes}. "
                "Copy the file again."
            )
        files[name] = (path / name).read_bytes()
        if hashlib.sha256(files[name]).hexdigest() != listed.sha256:
            raise BundleCorrupt(
                f"{path / name} has another sha256 than {MANIFEST} lists. Copy the file again."
            )
    return files, hashlib.sha256(raw).hexdigest()


def _parse_versioned(path: Path, name: str, raw: bytes, model: type[T]) -> T:
    """Parse a file whose format version is checked before its other fields."""
    head = _parse(path, name, raw, _Head)
    if head.format_version != FORMAT_VERSION:
        raise BundleVersionUnsupported(
            f"{path / name} has format version {head.format_version}; this version of vae-serve "
            f"reads {FORMAT_VERSION}. Upgrade it, or export the model again.",
            received=head.format_version,
            allowed=[FORMAT_VERSION],
        )
    return _parse(path, name, raw, model)


def _parse(path: Path, name: str, raw: bytes, model: type[T]) -> T:
    try:
        return model.model_validate_json(raw, strict=True)
    except ValidationError as error:
        raise BundleCorrupt(f"{path / name}: {describe_invalid(error)}") from error


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
