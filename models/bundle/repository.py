"""A folder of bundles: its models, their versions and their paths, by the names of folders."""

from pathlib import Path

from models.errors import BundleNotFound, closest


class Repository:
    """A folder of `<model>/<version>` folders."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        """Models that have at least one version, sorted."""
        return [name for name in _folders(self.path) if self.versions(name)]

    def versions(self, name: str) -> list[int]:
        """Versions of a model, ascending; empty if there are none."""
        found = (folder for folder in _folders(self.path / name) if _is_version(folder))
        return sorted(int(folder) for folder in found)

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


def _folders(path: Path) -> list[str]:
    if not path.is_dir():
        return []
    return sorted(p.name for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))


def _is_version(name: str) -> bool:
    return name.isascii() and name.isdigit() and not name.startswith("0")
