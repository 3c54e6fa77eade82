"""The bundle: one folder that holds a trained model and everything said about it.

    <repository>/<model>/<version>/
        config.json  model.safetensors  parity.safetensors  evaluation.json  README.md  *.png
        manifest.json                     sha256 and size of every other file

docs/bundle-format.md is normative. Loading verifies everything and never unpickles; this module
trains nothing, serves nothing and downloads nothing.
"""

import hashlib
import os
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import torch
from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from models.categorical import OneHot
from models.config import Config, ImageSpec, Name, VAEConfig, check_fit
from models.errors import BundleCorrupt, BundleNotFound, BundleVersionUnsupported
from models.noise import BatchNoise
from models.point import Point
from models.vae import VAE

FORMAT_VERSION = 1
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
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=128)]


class Provenance(Config):
    """Where the weights come from: enough to train them again."""

    recipe: str
    """The resolved recipe, TOML."""
    seed: NonNegativeInt
    code_version: str
    dataset: str
    dataset_sha256: Sha256
    """Of the data set's content, as `training/datasets.py` hashes it."""
    created_at: str
    """UTC, ISO 8601."""
    training_seconds: Annotated[float, Field(ge=0)]
    epochs: Annotated[float, Field(ge=0)]
    """Passes over the training set behind the exported weights."""
    hardware: str
    torch_version: str


class BundleConfig(Config):
    """config.json."""

    format_version: Literal[1] = 1
    name: Name
    version: PositiveInt
    vae: VAEConfig
    image: ImageSpec
    labels: tuple[str, ...] = ()
    """Names of the data set's classes, in the order of their indices; empty when it has none."""
    provenance: Provenance

    @model_validator(mode="after")
    def _parts_fit(self) -> "BundleConfig":
        check_fit(self.vae, self.image)
        return self


class Estimate(Config):
    """One number about the test set, and all that is needed to get it again."""

    estimator: Literal["elbo", "iwae", "prior"]
    num_samples: PositiveInt
    """Draws per image, K."""
    n: PositiveInt
    """Images: all of the split, or a seeded random subset when fewer."""
    seed: NonNegativeInt
    mean_nats: float
    standard_error_nats: float
    """Over images: sd / sqrt(n)."""
    monte_carlo_error_nats: float | None = None
    """Standard error of the mean that comes from the draws alone."""
    bits_per_dim: float | None = None
    """None for a density."""


class Reference(Config):
    """Per-image scores of held-out data, ascending: what percentiles are taken among."""

    estimator: Literal["elbo", "iwae", "prior"]
    num_samples: PositiveInt
    values_nats: tuple[float, ...]

    @model_validator(mode="after")
    def _ascending(self) -> "Reference":
        if list(self.values_nats) != sorted(self.values_nats):
            raise ValueError("Reference values ascend; received them unsorted. Sort them.")
        return self


class Evaluation(Config):
    """evaluation.json: the model on held-out data."""

    dataset: str
    split: str
    num_images: NonNegativeInt
    estimates: tuple[Estimate, ...]
    rate_nats: float
    distortion_nats: float
    active_units: NonNegativeInt
    kl_per_dimension_nats: tuple[float, ...] = ()
    """Data mean of each latent dimension's KL, in the latent's C order."""
    references: tuple[Reference, ...] = ()


class ManifestEntry(Config):
    """Checksum and size of one file."""

    sha256: Sha256
    size_bytes: NonNegativeInt


class Manifest(Config):
    """manifest.json: every other file of the folder, by name."""

    format_version: int
    files: dict[FileName, ManifestEntry]


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
    """
    if path.exists():
        raise FileExistsError(
            f"A released bundle is never overwritten; {path} exists. Take the next version."
        )
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


class Repository:
    """A folder of `<model>/<version>` folders."""

    def __init__(self, path: Path) -> None:
        """Nothing is read until it is asked for."""
        self.path = path

    def names(self) -> list[str]:
        """Models that have at least one version, sorted."""
        return [name for name in _folders(self.path) if self.versions(name)]

    def versions(self, name: str) -> list[int]:
        """Versions of a model, ascending; empty when there is none."""
        found = (folder for folder in _folders(self.path / name) if _is_version(folder))
        return sorted(int(folder) for folder in found)

    def path_of(self, name: str, version: int | None = None) -> Path:
        """Folder of a model's version, the highest unless one is asked for.

        Raises:
            BundleNotFound: Says which models or versions there are.
        """
        if name not in self.names():
            raise BundleNotFound(
                f"A model is a folder of {self.path} with a version in it; received {name!r}, "
                f"there are {self.names()}. Ask for one of them."
            )
        versions = self.versions(name)
        chosen = versions[-1] if version is None else version
        if chosen not in versions:
            raise BundleNotFound(
                f"A version is a folder of {self.path / name}; received {chosen}, there are "
                f"{versions}. Ask for one of them."
            )
        return self.path / name / str(chosen)

    def next_version(self, name: str) -> int:
        """One more than the highest version, or 1."""
        return max(self.versions(name), default=0) + 1


def _folders(path: Path) -> list[str]:
    if not path.is_dir():
        return []
    return sorted(p.name for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))


def _is_version(name: str) -> bool:
    return name.isascii() and name.isdigit() and not name.startswith("0")


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
