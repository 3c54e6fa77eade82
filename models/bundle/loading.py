"""Loading of a bundle: the folder of a trained model, verified file by file, never unpickled.

    <repository>/<model>/<version>/
        config.json  model.safetensors  parity.safetensors  evaluation.json  README.md  *.png
        manifest.json                     sha256 and size of every other file

docs/bundle-format.md is normative.
"""

import codecs
import hashlib
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

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
from models.errors import (
    BundleCorrupt,
    BundleNotFound,
    BundleVersionUnsupported,
    describe_invalid,
    printable,
)
from models.vae import VAE
from models.vae_config import VAEConfig

MAX_JSON_BYTES = 64 * 2**20
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
        is_link = path.is_symlink() or path.parent.is_symlink()
        fix = f"Move it to {path.parent.parent / config.name / str(config.version)}"
        raise BundleCorrupt(
            f"{path} {'is a link; it ' if is_link else ''}holds the bundle "
            f"{config.name}/{config.version}. {'Remove the link' if is_link else fix}."
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
    with os.scandir(path) as entries:
        present = {entry.name: entry for entry in entries}
    if MANIFEST not in present:  # said first: the entries of what is no bundle are not named
        raise BundleCorrupt(f"{path} has no {MANIFEST}. Export the bundle again.")
    _check_plain(path, present[MANIFEST])
    _check_json_size(path, present[MANIFEST])
    raw = (path / MANIFEST).read_bytes()
    manifest = _parse_versioned(path, MANIFEST, raw, Manifest)
    for entry in present.values():
        _check_plain(path, entry)
    if missing := sorted({*manifest.files, *_REQUIRED} - present.keys()):
        raise BundleCorrupt(f"{path} lacks {', '.join(missing)}. Copy the whole bundle again.")
    if extra := sorted(present.keys() - manifest.files.keys() - {MANIFEST}):
        raise BundleCorrupt(
            f"{path} holds {', '.join(map(printable, extra))}, which {MANIFEST} does not list. "
            "Remove them."
        )
    files = {}
    for name in (CONFIG, EVALUATION):
        _check_json_size(path, present[name])
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


def _check_plain(path: Path, entry: os.DirEntry[str]) -> None:
    """Refuse a link, a folder, or what would block its reader, such as a pipe."""
    if stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
        return
    kind = "a folder" if entry.is_dir(follow_symlinks=False) else "a device, a pipe or a socket"
    kind = "a link" if entry.is_symlink() else kind
    raise BundleCorrupt(
        f"{path / printable(entry.name)} is {kind}; a bundle holds plain files only. Replace it by "
        "the file itself."
    )


def _check_json_size(path: Path, entry: os.DirEntry[str]) -> None:
    if (size := entry.stat().st_size) > MAX_JSON_BYTES:
        raise BundleCorrupt(
            f"{path / entry.name} has a size of {size} bytes, over the limit of {MAX_JSON_BYTES}. "
            "Export the bundle again."
        )


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
    raw = raw.removeprefix(codecs.BOM_UTF8)
    try:
        json.loads(raw.decode(), object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise BundleCorrupt(
            f"{path / name} is not JSON as bundles have it: {error}. Export the bundle again."
        ) from error
    try:
        return model.model_validate_json(raw, strict=True)
    except ValidationError as error:
        raise BundleCorrupt(f"{path / name}: {describe_invalid(error)}") from error


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice[:60]!r} stands twice in one object")
    return found


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
