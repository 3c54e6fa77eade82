"""The models of a repository by their configs: what each is and does, without its weights.

It imports no torch. Whether the weights are whole shows when they are loaded.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.operations.table import Need
from app.serving.capabilities import offered_operations, unmet_needs
from models.bundle.reading import read_description
from models.bundle.repository import Entry, Repository
from models.errors import BundleNotFound, VAEError, printable
from models.files import explain_os_error

PREFERRED_DEFAULT = "mnist"


@dataclass(frozen=True)
class ListedModel:
    """A version of a model as a list shows it."""

    name: str
    version: int | None
    """None where the folder's name is no version."""
    default: bool = False
    status: str = "found"
    """As the service says; of a folder: found, unloaded (by VAE_LOAD_MODELS) or broken."""
    reason: str | None = None
    """Why it is broken."""
    digest: str | None = None
    width: int | None = None
    height: int | None = None
    colour: bool | None = None
    latent_shape: Sequence[int] = ()
    likelihood: str | None = None
    operations: Sequence[str] = ()
    bits_per_dim: float | None = None
    """Of the held-out images, by the bound of the most images and then the most samples; None for
    a density, which has none."""


def choose_default(asked: str | None, names: Collection[str], *, complete: bool) -> str | None:
    """Name the model that answers by default: the one that is asked for, mnist, or the only one.

    Args:
        asked: What the operator named, if anything.
        names: The models that can answer.
        complete: Whether the names are all that there are, with no mnist that is broken.
    """
    if asked is not None:
        return asked
    if PREFERRED_DEFAULT in names:
        return PREFERRED_DEFAULT
    return next(iter(names)) if len(names) == 1 and complete else None


def list_bundles(
    folder: Path, *, default_model: str | None = None, load_models: Collection[str] = ()
) -> list[ListedModel]:
    """Every version of every model of a repository, broken ones with the reason.

    Args:
        folder: The repository.
        default_model: What the operator named as the default.
        load_models: Models that are loaded; none: all.

    Raises:
        BundleNotFound: The repository cannot be read, or holds no bundle.
    """
    check_holds_bundles(folder)
    listed = [_list(entry, folder) for entry in Repository(folder).entries()]
    if load_models:
        listed = [
            replace(one, status="unloaded")
            if one.status == "found" and one.name not in load_models
            else one
            for one in listed
        ]
    found = {one.name: one.version for one in listed if one.status == "found"}  # the highest, last
    lost = any(one.name == PREFERRED_DEFAULT and one.status != "found" for one in listed)
    name = choose_default(default_model, found, complete=not lost)
    versions = [one.version or 0 for one in listed if one.status == "found" and one.name == name]
    default = (name, max(versions, default=0))
    ordered = sorted(listed, key=lambda one: (one.status != "found", one.name, one.version or 0))
    return [replace(one, default=(one.name, one.version) == default) for one in ordered]


def check_holds_bundles(folder: Path) -> None:
    """Check that a repository holds anything that is meant as a bundle.

    Raises:
        BundleNotFound: It does not, or cannot be read; says how to put one in.
    """
    if not Repository(folder).entries():
        raise BundleNotFound(
            f"VAE_MODEL_REPOSITORY={folder} holds no bundles, <model>/<version>/. Export one into "
            f"it: vae-lab export runs/NAME --repository {folder}"
        )


def _list(entry: Entry, folder: Path) -> ListedModel:
    """What a folder holds, or why it holds no bundle, without the paths of this machine."""
    broken = ListedModel(entry.name, entry.version, status="broken")
    if entry.fault is not None:
        return replace(broken, reason=entry.fault)
    try:
        config, evaluation, digest, good_pictures = read_description(entry.path)
    except (VAEError, OSError) as error:
        words = explain_os_error(error) if isinstance(error, OSError) else str(error)
        return replace(broken, reason=printable(words.replace(str(folder), "<repository>")))
    # Options need an exact posterior and pages need other files, but no operation does.
    kept: tuple[Need, ...] = ("good_pictures",) if good_pictures else ()
    lacks = unmet_needs(config.vae, exact_posterior=False, kept=kept)
    return ListedModel(
        config.name,
        config.version,
        digest=digest,
        width=config.image.width,
        height=config.image.height,
        colour=config.image.channels == 3,
        latent_shape=config.vae.latent_shape,
        likelihood=config.vae.likelihood.kind,
        operations=[operation.name for operation in offered_operations(lacks)],
        bits_per_dim=best_bits_per_dim([one.model_dump() for one in evaluation.estimates]),
    )


def best_bits_per_dim(estimates: Sequence[dict[str, Any]]) -> float | None:
    """Bits per dim of the estimate of the most images, and of those the most samples."""
    if not estimates:
        return None
    best = max(estimates, key=lambda one: (one["n"], one["num_samples"]))
    bits: float | None = best["bits_per_dim"]
    return bits
