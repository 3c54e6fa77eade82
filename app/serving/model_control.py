"""Where the operator's commands reach every worker, and where each worker says what it serves.

Workers share the folder that `VAE_CONTROL_DIR` names, which their supervisor makes; a process alone
needs none.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from app.serving.wishes import Action, Command, Target, Wishes

CONTROL_DIR_VARIABLE = "VAE_CONTROL_DIR"
COMMAND, REPORT = ".command", ".report"
KEPT_COMMANDS = 100
"""Newest commands that are kept although later ones cover them: a number whose file is gone could
be given twice."""


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
    """A board in a folder: a file for each command, by number, and one for each worker, by its own.

    Files appear whole. Two commands at once get two numbers, because the second link to a name
    fails.
    """

    def __init__(self, folder: Path, worker: int) -> None:
        """Open the board for a worker.

        Args:
            folder: That of the board.
            worker: A number that no other live worker has. When its worker has ended, somebody
                else closes its board before a later one may have it.
        """
        self.folder = folder
        self._report = folder / f"{worker}{REPORT}"
        self._partial = folder / f"{worker}.partial"
        self._known: tuple[list[str], Wishes] = ([], Wishes())

    def read(self) -> Wishes:
        """The wishes."""
        names = sorted(path.name for path in self.folder.glob(f"*{COMMAND}"))
        if names != self._known[0]:
            commands = {}
            for name in names:
                with suppress(FileNotFoundError):  # it is forgotten
                    model, version, action = json.loads((self.folder / name).read_bytes())
                    number = int(name.removesuffix(COMMAND))
                    commands[Target(model, version)] = Command(action, number)
            self._known = names, Wishes(commands)
        return self._known[1]

    def add(self, action: Action, target: Target) -> Wishes:
        """Add a command; the wishes with it."""
        partial = self._write([*target, action])
        try:
            while True:
                wishes = self.read().add(action, target)
                try:
                    os.link(partial, self._command(wishes.number))
                except FileExistsError:
                    continue
                self._forget(wishes)
                return wishes
        finally:
            partial.unlink()

    def _forget(self, wishes: Wishes) -> None:
        """Remove old commands that later ones cover."""
        kept = {command.number for command in wishes.commands.values()}
        for path in self.folder.glob(f"*{COMMAND}"):
            number = int(path.stem)
            if number not in kept and number < wishes.number - KEPT_COMMANDS:
                path.unlink(missing_ok=True)

    def report(self, report: Report) -> None:
        """Say what this worker has done."""
        partial = self._write([report.number, report.served])
        partial.replace(self._report)

    def reports(self) -> list[Report]:
        """What each living worker has done."""
        found = []
        for path in sorted(self.folder.glob(f"*{REPORT}")):
            with suppress(FileNotFoundError):  # its worker has ended
                found.append(Report(*json.loads(path.read_bytes())))
        return found

    def close(self) -> None:
        """Withdraw this worker's report."""
        self._report.unlink(missing_ok=True)

    def _command(self, number: int) -> Path:
        return self.folder / f"{number:012d}{COMMAND}"

    def _write(self, value: Any) -> Path:
        self._partial.write_text(json.dumps(value), encoding="utf-8")
        return self._partial


@contextmanager
def control_folder() -> Iterator[None]:
    """Make the folder of the board and name it in the environment; it is removed at the end."""
    os.environ[CONTROL_DIR_VARIABLE] = tempfile.mkdtemp(prefix="vae-control-")
    try:
        yield
    finally:
        remove_control_folder()


def remove_control_folder() -> None:
    """Remove the folder that the environment names."""
    shutil.rmtree(os.environ.pop(CONTROL_DIR_VARIABLE, ""), ignore_errors=True)


def open_board(worker: int) -> SharedBoard:
    """The board of a worker, by its number, in the folder that the environment names."""
    return SharedBoard(Path(os.environ[CONTROL_DIR_VARIABLE]), worker)
