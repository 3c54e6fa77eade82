"""How the last start of a run ended, noted in its folder.

runs/<name>/end.json   when it ended, and why; absent while it goes on, and after SIGKILL
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from training.errors import Diverged
from training.recipes.text import read_text
from training.runs.folder import replace

END = "end.json"


def record_end(run_dir: Path, error: BaseException | None) -> None:
    """Note that a start has ended, by an error or without one.

    Raises:
        RunError: The disk is full or cannot be written to.
    """
    end = {
        "ended_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "diverged": isinstance(error, Diverged),
        "why": "" if error is None else str(error) or type(error).__name__,
    }
    replace(run_dir / END, json.dumps(end, indent=2).encode() + b"\n")


def forget_end(run_dir: Path) -> None:
    """Remove the note of an earlier start's end: a new one goes on."""
    (run_dir / END).unlink(missing_ok=True)


def read_end(run_dir: Path) -> dict[str, Any] | None:
    """The note of the last start's end; None where there is none."""
    path = run_dir / END
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(read_text(path))
    return found
