"""A bundle's next version with some other files: nothing is trained, all others are copied."""

import os
from collections.abc import Mapping
from pathlib import Path

from models.bundle.reading import read_files
from models.bundle.repository import Repository
from models.bundle.saving import save_files, to_json
from models.bundle.schema import CONFIG, MANIFEST, BundleConfig


def write_next_version(
    bundle: Path,
    config: BundleConfig,
    changed: Mapping[str, bytes],
    *,
    repository: Path | None = None,
    version: int | None = None,
) -> Path:
    """Write a bundle with other files as its next version.

    Args:
        bundle: The bundle's folder.
        config: Its config.
        changed: Content of the files that differ, by name.
        repository: Where to write it; the bundle's own repository by default.
        version: Its version; the next free one by default.

    Returns:
        The new bundle's folder.

    Raises:
        BundleError: The bundle cannot be read.
        FileExistsError: The version exists.
    """
    repository = repository or Path(os.path.relpath(bundle.resolve().parent.parent))
    version = version or Repository(repository).next_version(config.name)
    files = read_files(bundle)
    del files[MANIFEST]
    files[CONFIG] = to_json(config.model_copy(update={"version": version}))
    target = repository / config.name / str(version)
    save_files(target, {**files, **changed})
    return target
