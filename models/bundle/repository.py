"""A folder of bundles: which models and versions there are, and where.

It looks at names only and reads no bundle (`bundle.py`).
"""

from pathlib import Path

from models.errors import BundleNotFound


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
