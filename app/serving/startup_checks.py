"""Checks before any model is loaded: repository, default model, device, bounds."""

import os
from pathlib import Path

from models.bundle.repository import Repository
from models.errors import ConfigError, closest


def check_startup(repository: Path, default_model: str | None, device: str) -> None:
    """Check that the models' folder, the default model and the device exist.

    Raises:
        ConfigError: One of them does not; names the setting, its value and a fix.
    """
    check_repository(repository, default_model)
    _check_device(device)


def check_bounds(*, max_body_bytes: int, max_buffered_bytes: int) -> None:
    """Check that one body of the largest size has room among the bodies of all requests.

    Raises:
        ConfigError: It has not; names both settings, their values and a fix.
    """
    if max_buffered_bytes < max_body_bytes:
        raise ConfigError(
            f"VAE_MAX_BUFFERED_BYTES={max_buffered_bytes} is below "
            f"VAE_MAX_BODY_BYTES={max_body_bytes}: a body of that size is allowed and would always "
            f"be answered 503. Set VAE_MAX_BUFFERED_BYTES={max_body_bytes}, or more."
        )


def check_repository(folder: Path, wanted: str | None) -> None:
    """Check that the models' folder exists, and holds the default model.

    Raises:
        ConfigError: One of them does not; names the setting, its value and a fix.
    """
    if not os.path.isdir(folder):
        fault = "is not a folder" if os.path.exists(folder) else "does not exist"
        fault = "is a link that leads to no folder" if os.path.islink(folder) else fault
        raise ConfigError(
            f"VAE_MODEL_REPOSITORY={folder} {fault}. Set it to a folder of bundles, "
            "<model>/<version>/, or unset it for the models that come with this project."
        )
    names = sorted({entry.name for entry in Repository(folder).entries()})
    if wanted is not None and names and wanted not in names:
        meant = closest(wanted, names)
        hint = f"Did you mean {meant!r}? " if meant else ""
        raise ConfigError(
            f"VAE_DEFAULT_MODEL={wanted} names no model here. {hint}Available: {', '.join(names)}."
        )


def _check_device(name: str) -> None:
    import torch  # takes seconds; to check a repository needs none

    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(
            f"VAE_DEVICE={name} is not a torch device, such as cpu or cuda:0. Use VAE_DEVICE=cpu."
        ) from error
    try:
        torch.zeros(1, device=device).item()
    except Exception as error:  # RuntimeError, AssertionError, ImportError, ... by torch's build
        raise ConfigError(
            f"VAE_DEVICE={name} is not available on this machine. Use VAE_DEVICE=cpu."
        ) from error
