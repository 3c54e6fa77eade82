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
    """A board in a folder: a file for each command, by number, and one for each worker.

    Files appear whole. Two commands at once get two numbers, because the second link to a name
    fails.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
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
        partial.replace(self.folder / f"{os.getpid()}{REPORT}")

    def reports(self) -> list[Report]:
        """What each living worker has done; the file of a dead one is removed."""
        found = []
        for path in sorted(self.folder.glob(f"*{REPORT}")):
            if _is_alive(int(path.stem)):
                with suppress(FileNotFoundError):
                    found.append(Report(*json.loads(path.read_bytes())))
            else:
                path.unlink(missing_ok=True)
        return found

    def close(self) -> None:
        """Withdraw this worker's report."""
        (self.folder / f"{os.getpid()}{REPORT}").unlink(missing_ok=True)

    def _command(self, number: int) -> Path:
        return self.folder / f"{number:012d}{COMMAND}"

    def _write(self, value: Any) -> Path:
        partial = self.folder / f"{os.getpid()}.partial"
        partial.write_text(json.dumps(value), encoding="utf-8")
        return partial


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


def open_board() -> Board:
    """The board that this process's workers share, or one of its own."""
    folder = os.environ.get(CONTROL_DIR_VARIABLE, "").strip()
    return SharedBoard(Path(folder)) if folder else OwnBoard()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:  # there is none, or it is another user's, which has its number now
        return False
    return True
