"""Write a bundle, so that it is there completely or not at all."""

import hashlib
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save as save_tensors
from torch import Tensor

from models.bundle.parity import PARITY_ITEMS, parity_tensors
from models.bundle.schema import (
    CARD,
    CONFIG,
    EVALUATION,
    FILE_NAME,
    FORMAT_VERSION,
    MANIFEST,
    PARITY,
    WEIGHTS,
    BundleConfig,
    Evaluation,
    Manifest,
    ManifestEntry,
)
from models.config import Config
from models.errors import ConfigError, ShapeMismatch
from models.vae.model import VAE


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
