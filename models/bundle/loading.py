"""The bundle: one folder that holds a trained model and everything said about it.

    <repository>/<model>/<version>/
        config.json  model.safetensors  parity.safetensors  evaluation.json  README.md  *.png
        manifest.json                     sha256 and size of every other file

docs/bundle-format.md is normative, `bundle_schema.py` says what the JSON files hold. Loading
verifies everything and never unpickles; this module trains, serves and downloads nothing.
"""

import hashlib
import os
import re
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from models.bundle.schema import (
    FILE_NAME,
    FORMAT_VERSION,
    BundleConfig,
    Evaluation,
    Manifest,
    ManifestEntry,
)
from models.config import Config, VAEConfig
from models.distributions.one_hot import OneHot
from models.distributions.point import Point
from models.errors import (
    BundleCorrupt,
    BundleNotFound,
    BundleVersionUnsupported,
    ConfigError,
    ShapeMismatch,
)
from models.noise import BatchNoise
from models.vae.model import VAE

PARITY_ITEMS = 8
PARITY_TOLERANCE = 1e-4
"""Largest |stored - computed| relative to 1 + the tensor's largest stored magnitude."""

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
PARITY = "parity.safetensors"
EVALUATION = "evaluation.json"
CARD = "README.md"
MANIFEST = "manifest.json"
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


def save_bundle(
    path: Path,
    *,
    vae: VAE,
    config: BundleConfig,
    evaluation: Evaluation,
    card: str,
    pictures: Mapping[str, bytes],
    parity_inputs: Tensor,
) -> None:
    """Write a bundle so that it is there completely or not at all.

    Args:
        path: `<repository>/<model>/<version>`; must not exist.
        vae: The trained model.
        config: What config.json will say.
        evaluation: What evaluation.json will say.
        card: The model card, Markdown.
        pictures: PNG files by name.
        parity_inputs: 8 observations, (8, channel, height, width), float32.

    Raises:
        FileExistsError: A released version is never overwritten.
        ConfigError: The config is another model's or another folder's, or a picture has a name that
            loading would refuse or that is another file's.
        ShapeMismatch: The parity inputs have another shape or type.
        OutOfSupport: The parity inputs have probability zero.
    """
    if path.exists():
        raise FileExistsError(
            f"A released bundle is never overwritten; {path} exists. Take the next version."
        )
    _check_config(path, vae, config)
    _check_pictures(pictures)
    _check_parity_inputs(vae, parity_inputs)
    vae = vae.cpu().float().eval()
    files = {
        CONFIG: _json(config),
        WEIGHTS: save_tensors({k: v.contiguous() for k, v in vae.state_dict().items()}),
        PARITY: save_tensors(parity_tensors(vae, parity_inputs)),
        EVALUATION: _json(evaluation),
        CARD: card.encode(),
        **pictures,
    }
    entries = {name: _entry(data) for name, data in sorted(files.items())}
    files[MANIFEST] = _json(Manifest(format_version=FORMAT_VERSION, files=entries))
    partial = path.with_name(f".{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name, data in files.items():
        (partial / name).write_bytes(data)
    partial.rename(path)


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


@torch.no_grad()
def parity_tensors(vae: VAE, x: Tensor) -> dict[str, Tensor]:
    """Inputs with their outputs: what the model must compute wherever it is loaded."""
    y = torch.arange(len(x), device=x.device) % vae.num_labels if vae.num_labels else None
    q = vae.posterior(x, y)
    noise = BatchNoise(0, len(x), "posterior").draw_for(q, 1, dtype=x.dtype).to(x.device)
    outputs = {"x": x, "noise": noise, "likelihood_mean": vae.likelihood(q.mean, y).mean}
    if not isinstance(q, OneHot):
        outputs["posterior_loc"] = q.loc
    if not isinstance(q, OneHot | Point):
        outputs["posterior_scale"] = q.scale
    if vae.has_density:
        outputs["log_w"] = vae.log_weights(x, noise, y, posterior=q)
    if vae.config.classifier is not None:
        outputs["label_logits"] = vae.label_logits(x)
    return {name: value.cpu().contiguous() for name, value in outputs.items()}


def _check_config(path: Path, vae: VAE, config: BundleConfig) -> None:
    if config.vae != vae.config:
        raise ConfigError(
            f"A bundle's config is its model's; received one of {config.vae} for {vae.config}. "
            "Take the model's own."
        )
    if (config.name, str(config.version)) != (path.parent.name, path.name):
        raise ConfigError(
            f"A bundle is written to <model>/<version> as its config says; received {path} for "
            f"{config.name}/{config.version}. Change one of them."
        )


def _check_pictures(pictures: Mapping[str, bytes]) -> None:
    for name in pictures:
        if not re.fullmatch(FILE_NAME, name) or len(name) > 128 or not name.endswith(".png"):
            raise ConfigError(
                f"A picture's name matches {FILE_NAME} and ends in .png, at most 128 characters; "
                f"received {name!r}. Rename it."
            )


def _check_parity_inputs(vae: VAE, x: Tensor) -> None:
    shape = (PARITY_ITEMS, *vae.image_shape)
    if x.dtype != torch.float32 or tuple(x.shape) != shape:
        raise ShapeMismatch(
            f"Parity inputs are float32 {shape}; received {x.dtype} {tuple(x.shape)}. Pass "
            f"{PARITY_ITEMS} observations of the model."
        )
    vae.check_support(x)


def _json(model: Config) -> bytes:
    return model.model_dump_json(indent=2).encode() + b"\n"


def _entry(data: bytes) -> ManifestEntry:
    return ManifestEntry(sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))


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
