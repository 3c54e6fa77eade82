"""A run's checkpoints: written whole, with the one before kept; they hold all that resuming needs.

checkpoint.pt            the newest
checkpoint.previous.pt   the one before, for when the newest is damaged
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
    """Write a checkpoint, and keep the one before.

    Raises:
        RunError: The disk is full or cannot be written to; what was there is whole.
    """
    buffer = BytesIO()
    torch.save(state, buffer)
    replace(run_dir / CHECKPOINT, buffer.getvalue(), keep=run_dir / PREVIOUS)


def restore_checkpoint(
    run_dir: Path, *, device: torch.device, console: Console
) -> dict[str, Any] | None:
    """Read the newest checkpoint that is whole; None where the run has none yet.

    A damaged one is replaced by the one before, and the console says so.

    Raises:
        RunError: There are checkpoints, and every one is damaged.
    """
    damaged = []
    for path in (run_dir / CHECKPOINT, run_dir / PREVIOUS):
        if not path.exists():
            continue
        try:
            state = _read(path, device)
        except Exception as error:  # unpickling damaged bytes may raise anything
            damaged.append(f"{path.name} ({error})")
            continue
        if path.name == PREVIOUS:
            # What is damaged must not become the one before of the next checkpoint.
            path.replace(run_dir / CHECKPOINT)
            found = f"{', '.join(damaged)} is damaged" if damaged else f"{CHECKPOINT} is not there"
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
            f"A run goes on from a whole checkpoint; received in {run_dir}: {', '.join(damaged)}. "
            "Put a copy of one of them back, or train anew in another folder."
        )
    return None


def _read(path: Path, device: torch.device) -> dict[str, Any]:
    with ZipFile(path) as archive:  # torch's format; its own reader checks no sums
        if (member := archive.testzip()) is not None:
            raise BadZipFile(f"the sum of {member} is another one")
    state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    return state
