"""Import of an `AutoencoderKL` that diffusers saved, as a bundle that `vae serve` serves."""

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import torch

from models import __version__
from models.bundle.diffusers import Imported, read_diffusers
from models.bundle.repository import Repository
from models.bundle.saving import save_bundle
from models.bundle.schema import BundleConfig, Evaluation, Provenance
from models.files import check_place
from training.export.export import checked_name, exists_error
from training.recipes.name import recipe_name

_UNKNOWN = "unknown"
"""The data set: a folder of diffusers does not say what its model was trained on."""


class ImportedBundle(NamedTuple):
    """A bundle that was written, and what its owner should know."""

    path: Path
    decoding_cost: float
    """Cost units of one decoding: millions of multiply-accumulates."""
    notes: tuple[str, ...]


def import_diffusers(
    folder: Path,
    *,
    repository: Path,
    name: str | None = None,
    version: int | None = None,
    height: int | None = None,
    width: int | None = None,
) -> ImportedBundle:
    """Write a diffusers `AutoencoderKL` as a bundle.

    Args:
        folder: The model's folder, or a pipeline's that has it as `vae/`.
        repository: Folder of `<model>/<version>` folders.
        name: Name of the model; the folder's by default.
        version: Version of the model; the next free one by default.
        height: Height of its pictures, in pixels; the config's `sample_size` by default.
        width: Their width, likewise.

    Raises:
        BundleError: The folder lacks a file, or one cannot be read.
        ConfigError: The model has parts that are not built here; or the name is not allowed, the
            version exists or cannot be written.
    """
    name = recipe_name(str(folder)) if name is None else checked_name(name)
    version = version or Repository(repository).next_version(name)
    target = repository / name / str(version)
    if target.exists():
        raise exists_error(target)
    check_place(target, flag="--repository", is_folder=True)
    found = read_diffusers(folder, height=height, width=width)
    config = BundleConfig(
        name=name,
        version=version,
        vae=found.vae.config,
        image=found.image,
        latent_scaling=found.latent_scaling,
        provenance=_provenance(found),
    )
    cost = found.vae.decoder_macs() / 1e6
    picture = torch.rand(1, *found.vae.image_shape, generator=torch.Generator().manual_seed(0))
    save_bundle(
        target,
        vae=found.vae,
        config=config,
        evaluation=_EVALUATION,
        card=_card(config, found, cost),
        pictures={},
        parity_inputs=picture,
    )
    return ImportedBundle(target, cost, tuple(_notes(found)))


_EVALUATION = Evaluation(dataset=_UNKNOWN, split="none", num_images=0, estimates=(), active_units=0)
"""Nothing is measured: a model without likelihood and prior has no score."""


def _provenance(found: Imported) -> Provenance:
    return Provenance(
        recipe=f'imported_from = "diffusers {found.weights_file.name}"\n',
        seed=0,
        code_version=__version__,
        dataset=_UNKNOWN,
        dataset_sha256=found.weights_sha256,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        training_seconds=0.0,
        epochs=0.0,
        hardware=_UNKNOWN,
        torch_version=torch.__version__,
    )


def _notes(found: Imported) -> list[str]:
    if not found.has_latent_moments:
        return []
    return [
        "The config's latents_mean and latents_std are not kept: the service takes the latents as "
        "they are, or scaled by scaling_factor and shift_factor."
    ]


def _card(config: BundleConfig, found: Imported, cost: float) -> str:
    channels, height, width = config.vae.image_shape
    colour = "colour" if channels == 3 else "grey"
    scaling = found.latent_scaling
    parameters = sum(parameter.numel() for parameter in found.vae.parameters())
    return f"""# {config.name}, version {config.version}

The autoencoder of a latent diffusion model (Rombach et al. 2022, arXiv:2112.10752), imported from
diffusers' `AutoencoderKL`, for {colour} images of {width} x {height} pixels.
It encodes a picture as a latent of shape {list(config.vae.latent_shape)}, and decodes a latent.

It has {parameters:,} parameters. A decoding takes {cost:,.0f} million multiply-accumulates.
What it was trained on, and its licence, are those of the model that it was imported from.

A diffusion model takes (z - {scaling.shift_factor:g}) * {scaling.scaling_factor:g} for a latent z.

## Use

```
MODEL=http://localhost:8000/v1/models/{config.name}
curl -F images=@picture.png "$MODEL/reconstruct?format=png" -o back.png
```

`diffusers.utils.remote_utils.remote_decode` takes `$MODEL/remote/decode` as its endpoint.

## Limits

It has no likelihood and no prior of its own: it draws no samples and scores no pictures.
Nothing was measured here. Pictures of another size are resized to {width} x {height}.

The weights are those of `{found.weights_file.name}`, sha256 `{found.weights_sha256}`.
"""
