"""What is served at one moment, and the state of every version."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from app.serving.served_model import ServedModel

State = Literal["loading", "ready", "draining", "unloaded", "broken"]
"""`draining`: out of service, and held by requests that began before."""


@dataclass(frozen=True)
class BrokenBundle:
    """A bundle that cannot be served, and why."""

    name: str
    version: int | None
    reason: str


@dataclass(frozen=True)
class ModelState:
    """State of one version of a model; a replaced version has one for each of its bundles."""

    name: str
    version: int | None
    """None where a folder's name is no version."""
    state: State
    reason: str | None = None
    digest: str | None = None


@dataclass(frozen=True)
class Snapshot:
    """What is served at one moment: it is replaced as a whole, so that no reader sees half."""

    models: Mapping[str, Mapping[int, ServedModel]] = field(default_factory=dict)
    broken: tuple[BrokenBundle, ...] = ()
    waiting: Mapping[tuple[str, int], Literal["loading", "unloaded"]] = field(default_factory=dict)
    """Versions in the repository that are not served although they may be whole."""
    fault: str | None = None
    """Why the repository was not read to its end; None if it was."""

    def served(self) -> Iterator[ServedModel]:
        """Every version of every model, by name and version."""
        for _, versions in sorted(self.models.items()):
            yield from (served for _, served in sorted(versions.items()))

    def is_broken(self, name: str, version: int | None = None) -> bool:
        """Whether a model, or one version of it, has a broken bundle."""
        return any(
            bundle.name == name and version in (None, bundle.version) for bundle in self.broken
        )

    def waits(self, name: str, state: str, version: int | None = None) -> bool:
        """Whether a model, or one version of it, is loading or unloaded."""
        return any(
            known == state and place[0] == name and version in (None, place[1])
            for place, known in self.waiting.items()
        )

    def states(self) -> Iterator[ModelState]:
        """The state of every version but those that drain."""
        for served in self.served():
            yield ModelState(served.name, served.version, "ready", digest=served.bundle.digest)
        for (name, version), state in sorted(self.waiting.items()):
            yield ModelState(name, version, state)
        for bundle in self.broken:
            yield ModelState(bundle.name, bundle.version, "broken", bundle.reason)
