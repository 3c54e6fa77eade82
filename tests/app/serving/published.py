"""A loader that follows a repository, and what it published."""

from pathlib import Path

from app.serving.loading import Loader
from app.serving.snapshot import Snapshot
from app.serving.wishes import Target


class Service:
    """A loader and the snapshots that it published."""

    def __init__(self, repository: Path, **options: object) -> None:
        self.loader = Loader(repository, **options)  # type: ignore[arg-type]
        self.seen: list[Snapshot] = []
        self.loader.load(self.seen.append)

    def poll(self, times: int = 1) -> None:
        for _ in range(times):
            self.loader.sync(self.seen.append, settled=True)

    def command(self, *targets: Target) -> None:
        self.loader.sync(self.seen.append, targets=targets)

    @property
    def now(self) -> Snapshot:
        return self.seen[-1]

    @property
    def versions(self) -> dict[str, list[int]]:
        return {name: list(versions) for name, versions in self.now.models.items()}

    @property
    def states(self) -> set[tuple[str, int | None, str]]:
        return {(known.name, known.version, known.state) for known in self.now.states()}
