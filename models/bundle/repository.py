"""A folder of bundles: its models, their versions and their paths, by the names of folders."""

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from models.bundle.schema import MANIFEST
from models.config import MAX_VERSION, NAME
from models.errors import BundleNotFound, closest, printable

VERSION = re.compile(r"[1-9][0-9]*")
_NUMBER = re.compile(r"[+-]?[\d_]+(\.\d*)?")


@dataclass(frozen=True)
class Entry:
    """A folder of a repository: of a bundle, or one that is none and why."""

    name: str
    """The model's, printable."""
    version: int | None
    """None where the folder's name is no version."""
    path: Path
    fault: str | None = None
    """Why no bundle can be loaded from the folder; None where one may be."""


class Repository:
    """A folder of `<model>/<version>` folders."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self) -> list[Entry]:
        """Every version's folder, and every other folder with the reason why it is none.

        Names that begin with a dot, and plain files, are left out.

        Raises:
            BundleNotFound: The repository is missing, no folder or not readable.
        """
        try:
            models = _scan(self.path)
        except OSError as error:
            raise BundleNotFound(
                f"The model repository {self.path} cannot be read: {error.strerror}. Set "
                "VAE_MODEL_REPOSITORY to a folder of bundles, <model>/<version>/."
            ) from error
        return [entry for model in models for entry in _entries_of(model)]

    def names(self) -> list[str]:
        """Models that have at least one version, sorted."""
        return sorted({entry.name for entry in self._bundles()})

    def versions(self, name: str) -> list[int]:
        """Versions of a model, ascending; empty if there are none."""
        found = (entry.version for entry in self._bundles() if entry.name == name)
        return sorted(version for version in found if version is not None)

    def _bundles(self) -> list[Entry]:
        """The folders that may hold a bundle; none where there is no repository."""
        if not self.path.is_dir():
            return []
        return [entry for entry in self.entries() if entry.fault is None]

    def path_of(self, name: str, version: int | None = None) -> Path:
        """Folder of a model's version; of the highest one if none is given.

        Raises:
            BundleNotFound: There is no such model or version; the message lists them.
        """
        if name not in (names := self.names()):
            best = closest(name, names)
            hint = f" Did you mean {best!r}?" if best else ""
            raise BundleNotFound(
                f"There is no model {name!r} in {self.path}.{hint} Available: "
                f"{', '.join(names) or 'none'}.",
                parameter="model",
                received=name,
                allowed=names,
                suggestion=best,
            )
        versions = self.versions(name)
        chosen = versions[-1] if version is None else version
        if chosen not in versions:
            raise BundleNotFound(
                f"{name} has no version {chosen} in {self.path}. Available: "
                f"{', '.join(map(str, versions))}.",
                parameter="version",
                received=chosen,
                allowed=versions,
            )
        return self.path / name / str(chosen)

    def next_version(self, name: str) -> int:
        """One more than the highest version, or 1."""
        return max(self.versions(name), default=0) + 1


def _scan(path: Path) -> list[os.DirEntry[str]]:
    """What a folder holds, sorted; without the names that begin with a dot."""
    with os.scandir(path) as found:
        return sorted((e for e in found if not e.name.startswith(".")), key=lambda e: e.name)


def _entries_of(model: os.DirEntry[str]) -> Iterator[Entry]:
    """The entries of a model's folder: its versions, or the one reason why it has none."""
    name, path = printable(model.name), Path(model.path)
    fault = _not_a_folder(model)
    if fault is None and not stat.S_ISDIR(model.stat().st_mode):
        return
    if fault is None and not re.fullmatch(NAME, model.name):
        fault = (
            f"The folder's name '{name}' is no model's. Rename it: a-z, 0-9, - and _, at most 64 "
            "characters."
        )
    try:
        inside = _scan(path) if fault is None else []
    except OSError as error:
        fault = f"The folder {name} cannot be read: {error.strerror}. Check its permissions."
    if fault is not None:
        yield Entry(name, None, path, fault)
        return
    versions = [entry for folder in inside for entry in _version(name, folder)]
    if not versions:
        holds = any(entry.name == MANIFEST for entry in inside)
        what = "is a bundle without a version's folder" if holds else "holds no version's folder"
        fix = f"Move its files to {name}/1/" if holds else f"Put a bundle into {name}/1/"
        yield Entry(name, None, path, f"The folder {name} {what}. {fix}.")
    yield from versions


def _version(name: str, folder: os.DirEntry[str]) -> Iterator[Entry]:
    """The entry of a version's folder; nothing for a plain file."""
    path, shown = Path(folder.path), f"{name}/{printable(folder.name)}"
    is_version = VERSION.fullmatch(folder.name) is not None
    fault = _not_a_folder(folder)
    if fault is None and not stat.S_ISDIR(folder.stat().st_mode):
        if is_version:
            yield Entry(name, None, path, f"{shown} is a file; a version is a folder. Remove it.")
        return
    if fault is None and not (is_version and int(folder.name) <= MAX_VERSION):
        meant = _NUMBER.fullmatch(folder.name)
        kind = "is written otherwise than versions are" if meant else "is no version"
        fault = (
            f"The folder {shown} {kind}. Rename it to a whole number from 1 to {MAX_VERSION}, "
            "without leading zeros."
        )
    version = int(folder.name) if is_version and fault is None else None
    yield Entry(name, version, path, fault)


def _not_a_folder(entry: os.DirEntry[str]) -> str | None:
    """Why an entry cannot even be looked at: a link to nowhere or in a circle, no permission."""
    try:
        entry.stat()
    except OSError as error:
        what = "link" if entry.is_symlink() else "entry"
        return (
            f"The {what} {printable(entry.name)} cannot be followed: {error.strerror}. Replace it "
            "by the folder itself."
        )
    return None
