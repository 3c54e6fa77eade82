"""Saving of a bundle: completely or not at all."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save as save_tensors
from torch import Tensor

from models.bundle.examples import EXAMPLES, Examples
from models.bundle.good_pictures import GOOD_PICTURES, GoodPictures
from models.bundle.latent_map import MAP, LatentMap
from models.bundle.parity import PARITY_ITEMS, are_parity_inputs, parity_tensors
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
from models.files import new_folder
from models.vae import VAE
from models.vae_config import VAEConfig


def save_bundle(
    path: Path,
    *,
    vae: VAE,
    config: BundleConfig,
    evaluation: Evaluation,
    card: str,
    pictures: Mapping[str, bytes],
    parity_inputs: Tensor,
    good_pictures: GoodPictures | None = None,
    examples: Examples | None = None,
    latent_map: LatentMap | None = None,
) -> None:
    """Write a bundle completely or not at all.

    Args:
        path: `<repository>/<model>/<version>`; must not exist.
        vae: The trained model.
        config: Content of config.json.
        evaluation: Content of evaluation.json.
        card: The model card, Markdown.
        pictures: PNG files by name.
        parity_inputs: 8 observations, (8, channel, height, width), float32; fewer of a model
            whose single pass takes seconds.
        good_pictures: Scores of good pictures, for the operation `anomaly`.
        examples: Held-out pictures that a page can show.
        latent_map: The same in a plane of the latent space.

    Raises:
        FileExistsError: The version exists already.
        ConfigError: The config is not this model's or this folder's, or a picture's name is not
            that of a PNG file.
        ShapeMismatch: The parity inputs have a wrong shape or type.
        OutOfSupport: The parity inputs lie outside the likelihood's support.
    """
    if path.exists():
        raise _exists_error(path)
    _check_config(path, vae, config)
    _check_pictures(pictures)
    _check_parity_inputs(vae, parity_inputs)
    vae = vae.cpu().float().eval()
    files = {
        CONFIG: to_json(config),
        WEIGHTS: save_tensors({k: v.contiguous() for k, v in vae.state_dict().items()}),
        PARITY: save_tensors(parity_tensors(vae, parity_inputs)),
        EVALUATION: to_json(evaluation),
        CARD: card.encode(),
        **pictures,
    }
    files |= optional_files(good_pictures=good_pictures, examples=examples, latent_map=latent_map)
    save_files(path, files)


def optional_files(
    *,
    good_pictures: GoodPictures | None = None,
    examples: Examples | None = None,
    latent_map: LatentMap | None = None,
) -> dict[str, bytes]:
    """Content of the files that a bundle may have, by name; None has no file."""
    found: dict[str, bytes] = {}
    if good_pictures is not None:
        found[GOOD_PICTURES] = to_json_lines(good_pictures)
    if examples is not None:
        found[EXAMPLES] = to_json(examples)
    if latent_map is not None:
        found[MAP] = to_json(latent_map, indent=None)
    return found


def save_files(path: Path, files: Mapping[str, bytes]) -> None:
    """Write a bundle's files and their manifest, completely or not at all.

    Args:
        path: `<repository>/<model>/<version>`; must not exist.
        files: Content by name, without the manifest.

    Raises:
        FileExistsError: The version exists already.
    """
    entries = {name: _entry(data) for name, data in sorted(files.items())}
    manifest = to_json(Manifest(format_version=FORMAT_VERSION, files=entries))
    try:
        with new_folder(path) as partial:
            for name, data in {**files, MANIFEST: manifest}.items():
                (partial / name).write_bytes(data)
    except FileExistsError as error:
        raise _exists_error(path) from error


def _exists_error(path: Path) -> FileExistsError:
    return FileExistsError(
        f"{path} exists; a released bundle is never overwritten. Export the next version."
    )


def _check_config(path: Path, vae: VAE, config: BundleConfig) -> None:
    if config.vae != vae.config:
        raise ConfigError(
            f"config.vae is not the model's config: {_differences(config.vae, vae.config)}. Set "
            "config.vae = vae.config.",
            parameter="config.vae",
        )
    if (config.name, str(config.version)) != (path.parent.name, path.name):
        raise ConfigError(
            f"{path} does not fit the config, which says {config.name}/{config.version}. Save to "
            f"{path.parent.parent / config.name / str(config.version)}.",
            parameter="path",
        )


def _differences(received: VAEConfig, own: VAEConfig) -> str:
    names = [n for n in VAEConfig.model_fields if getattr(received, n) != getattr(own, n)]
    return ", ".join(f"{n} = {getattr(received, n)}, not {getattr(own, n)}" for n in names)


def _check_pictures(pictures: Mapping[str, bytes]) -> None:
    for name in pictures:
        if not re.fullmatch(FILE_NAME, name) or len(name) > 128 or not name.endswith(".png"):
            raise ConfigError(
                f"The picture's name {name!r} is not allowed: it must match {FILE_NAME}, end in "
                ".png and have at most 128 characters. Rename it, for instance to 'samples.png'.",
                parameter="pictures",
                received=name[:200],
                suggestion="samples.png",
            )


def _check_parity_inputs(vae: VAE, x: Tensor) -> None:
    if not are_parity_inputs(x, vae):
        raise ShapeMismatch(
            f"parity_inputs is {x.dtype} {tuple(x.shape)}; it must be torch.float32 "
            f"{(PARITY_ITEMS, *vae.image_shape)}, or of fewer items. Pass {PARITY_ITEMS} "
            "observations.",
            parameter="parity_inputs",
        )
    vae.check_support(x)


def to_json(model: Config, *, indent: int | None = 2) -> bytes:
    """A JSON file of a bundle; without an indent on one line."""
    return model.model_dump_json(indent=indent).encode() + b"\n"


def to_json_lines(model: Config) -> bytes:
    """A JSON file of a bundle with a line for each field, whose numbers are many."""
    lines = (
        f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in model.model_dump().items()
    )
    return "\n".join(["{", ",\n".join(lines), "}", ""]).encode()


def _entry(data: bytes) -> ManifestEntry:
    return ManifestEntry(sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
