"""Where the operator's commands reach every worker, and where each worker says what it serves.

Workers share the folder that `VAE_CONTROL_DIR` names, which their supervisor makes; a process alone
needs none.
"""

import fcntl
import json
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from app.serving.wishes import Action, Target, Wishes

CONTROL_DIR_VARIABLE = "VAE_CONTROL_DIR"
WISHES = "wishes.json"
LOCK = "lock"
log = logging.getLogger("app.registry")


@dataclass(frozen=True)
class Report:
    """What a worker has done: the number of its newest command, and what it serves since."""

    number: int
    served: Mapping[str, list[int]]

    def agrees(self, target: Target, versions: list[int]) -> bool:
        """Whether the versions of a target that the worker serves are these."""
        known = self.served.get(target.name, [])
        return [version for version in known if target.covers(target.name, version)] == versions


class Board(Protocol):
    """Keeps the wishes, and the reports of the workers."""

    def read(self) -> Wishes:
        """The wishes."""

    def add(self, action: Action, target: Target) -> Wishes:
        """Add a command; the wishes with it."""

    def report(self, report: Report) -> None:
        """Say what this worker has done."""

    def reports(self) -> list[Report]:
        """What each living worker has done."""

    def close(self) -> None:
        """Withdraw this worker's report."""


class OwnBoard:
    """The board of a process alone."""

    def __init__(self) -> None:
        self._wishes = Wishes()
        self._reports: list[Report] = []

    def read(self) -> Wishes:
        """The wishes."""
        return self._wishes

    def add(self, action: Action, target: Target) -> Wishes:
        """Add a command; the wishes with it."""
        self._wishes = self._wishes.add(action, target)
        return self._wishes

    def report(self, report: Report) -> None:
        """Say what this process has done."""
        self._reports = [report]

    def reports(self) -> list[Report]:
        """What this process has done."""
        return self._reports

    def close(self) -> None:
        """Nobody else reads the report."""


class SharedBoard:
    """A board in a folder: files that are replaced whole, and one that is locked for commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: tuple[Any, Wishes] = (None, Wishes())

    def read(self) -> Wishes:
        """The wishes; those of the last reading where the file cannot be read."""
        path = self.folder / WISHES
        try:
            found = path.stat()
            mark = found.st_ino, found.st_mtime_ns, found.st_size
            if mark != self._known[0]:
                self._known = mark, Wishes.from_json(json.loads(path.read_bytes()))
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError) as error:
            log.error("commands not read", extra={"fields": {"error": str(error)}})
        return self._known[1]

    def add(self, action: Action, target: Target) -> Wishes:
        """Add a command; the wishes with it."""
        with (self.folder / LOCK).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # until it is closed
            wishes = self.read().add(action, target)
            self._replace(WISHES, wishes.as_json())
        return wishes

    def report(self, report: Report) -> None:
        """Say what this worker has done."""
        self._replace(f"{os.getpid()}.report", [report.number, report.served])

    def reports(self) -> list[Report]:
        """What each living worker has done; the file of a dead one is removed."""
        found = []
        for path in sorted(self.folder.glob("*.report")):
            with suppress(OSError):
                if not _is_alive(int(path.stem)):
                    path.unlink()
                    continue
                found.append(Report(*json.loads(path.read_bytes())))
        return found

    def close(self) -> None:
        """Withdraw this worker's report."""
        (self.folder / f"{os.getpid()}.report").unlink(missing_ok=True)

    def _replace(self, name: str, value: Any) -> None:
        partial = self.folder / f"{name}.{os.getpid()}.partial"
        partial.write_text(json.dumps(value), encoding="utf-8")
        partial.replace(self.folder / name)


def open_board() -> Board:
    """The board that this process's workers share, or one of its own."""
    folder = os.environ.get(CONTROL_DIR_VARIABLE, "").strip()
    return SharedBoard(Path(folder)) if folder else OwnBoard()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
