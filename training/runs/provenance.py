"""The command, code, libraries and machine of each start of a run.

runs/<name>/starts.jsonl   one line per start, resumed ones included
"""

import platform
import shlex
import sys
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import torch

from models import __version__
from training.runs.folder import append_line, read_lines, read_state
from training.runs.hardware import hardware

STARTS = "starts.jsonl"
_ROOT = Path(__file__).resolve().parents[2]


def record_start(run_dir: Path, *, step: int, dataset_sha256: str, device: torch.device) -> None:
    """Append a start or a resumption at a step to starts.jsonl.

    Raises:
        RunError: The disk is full or cannot be written to.
    """
    append_line(
        run_dir / STARTS,
        {
            "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "step": step,
            "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            "code_version": __version__,
            "code_sha256": code_sha256(_ROOT),
            "git_commit": git_commit(_ROOT),
            "dataset_sha256": dataset_sha256,
            "hardware": hardware(device),
            "threads": torch.get_num_threads(),
            "platform": platform.platform(),
            "python_version": platform.python_version(),
            "packages": installed_packages(),
        },
    )


def read_starts(run_dir: Path) -> list[dict[str, Any]]:
    """The starts of a run, as `record_start` wrote them, the first one first."""
    return read_lines(run_dir / STARTS)


def recorded_data(run_dir: Path) -> str | None:
    """The digest of the data that a run was last started on; None where no start is noted."""
    digest: str | None = read_state(run_dir).get("dataset_sha256")
    for start in read_starts(run_dir):
        digest = start.get("dataset_sha256", digest)
    return digest


def code_sha256(root: Path) -> str:
    """Digest of every module of models/ and training/: it shows edits that are not committed."""
    digest = sha256()
    for package in ("models", "training"):
        for path in sorted((root / package).rglob("*.py")):
            digest.update(f"{path.relative_to(root).as_posix()}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


@cache
def installed_packages() -> dict[str, str]:
    """The version of every installed package, by name; read once in a process."""
    found = {package.name: package.version for package in distributions()}
    return dict(sorted(found.items()))


def git_commit(root: Path) -> str | None:
    """The commit of a checkout, read without git; None where there is no checkout."""
    folder = root / ".git"
    try:
        if folder.is_file():  # a linked worktree or a submodule
            folder = root / folder.read_text().removeprefix("gitdir:").strip()
        head = (folder / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head
        shared = folder / "commondir"
        if shared.is_file():
            folder = folder / shared.read_text().strip()
        name = head.removeprefix("ref: ")
        if (folder / name).is_file():
            return (folder / name).read_text().strip()
        packed = (line.split() for line in (folder / "packed-refs").read_text().splitlines())
        return next((words[0] for words in packed if words[1:] == [name]), None)
    except OSError:
        return None
