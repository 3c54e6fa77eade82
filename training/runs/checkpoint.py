"""Checkpoints of a run: all that resuming needs, written in one step, with one backup.

checkpoint.pt            the newest
checkpoint.previous.pt   its predecessor, used when the newest is damaged
"""

from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch
from rich.console import Console

from training.errors import RunError
from training.runs.folder import replace

CHECKPOINT, PREVIOUS = "checkpoint.pt", "checkpoint.previous.pt"


def save_checkpoint(run_dir: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint, and keep the last one as its backup.

    Raises:
        RunError: The disk is full or cannot be written to; the last checkpoint is as it was.
    """
    buffer = BytesIO()
    torch.save(state, buffer)
    replace(run_dir / CHECKPOINT, buffer.getvalue(), keep=run_dir / PREVIOUS)


def restore_checkpoint(run_dir: Path, *, console: Console) -> dict[str, Any] | None:
    """Read the newest undamaged checkpoint into memory; None if the run has none yet.

    The backup replaces a damaged checkpoint, and the console says so.

    Raises:
        RunError: There are checkpoints, and each is damaged.
    """
    damaged = []
    for path in (run_dir / CHECKPOINT, run_dir / PREVIOUS):
        if not path.exists():
            continue
        try:
            state = _read(path)
        except Exception as error:  # unpickling damaged bytes may raise anything
            damaged.append(f"{path.name} ({error})")
            continue
        if path.name == PREVIOUS:
            # Otherwise the next save would keep the damaged file as its backup.
            path.replace(run_dir / CHECKPOINT)
            found = f"{damaged[0]} is damaged" if damaged else f"{CHECKPOINT} is missing"
            console.print(
                f"Warning: {found}; going on from the checkpoint before it, of step "
                f"{state['done']['step']}.",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
        return state
    if damaged:
        raise RunError(
            f"Every checkpoint in {run_dir} is damaged: {', '.join(damaged)}. Restore one from a "
            "copy, or train anew in another folder with --run-dir."
        )
    return None


def _read(path: Path) -> dict[str, Any]:
    with ZipFile(path) as archive:  # torch's format; its own reader verifies no checksums
        if (member := archive.testzip()) is not None:
            raise BadZipFile(f"the checksum of {member} is wrong")
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state
