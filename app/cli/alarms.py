"""What `vae anomaly` does with anomalous pictures: it moves their files, and fails."""

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from app.cli.terminal import say, say_always
from models.errors import printable
from models.files import explain_os_error

ANOMALOUS = 3
"""Exit code of `--fail-on-anomaly` where a picture is anomalous."""
_COUNT = re.compile(r"#\d+$")
"""The count of a name that was given twice."""


def find_anomalous(fields: Mapping[str, np.ndarray], labels: Sequence[str]) -> list[str]:
    """Labels of the anomalous items."""
    return [labels[item] for item in np.flatnonzero(fields["is_anomalous"]).tolist()]


def move_files(labels: Sequence[str], folder: str | None) -> None:
    """Move the files of these items, and say what could not be moved; no file is overwritten.

    Args:
        labels: The items. Rows of arrays are no files, and stay.
        folder: Where to; None moves nothing.
    """
    if folder is None:
        return
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    moved = 0
    for name in dict.fromkeys(_COUNT.sub("", label) for label in labels):
        reason = _move(Path(name), target)
        moved += reason is None
        if reason is not None:
            say_always(f"Not moved: {printable(name)}: {reason}")
    say(f"Moved {moved:,} {'file' if moved == 1 else 'files'} to {printable(folder)}.")


def _move(source: Path, folder: Path) -> str | None:
    """Why a file was not moved; None if it was."""
    target = folder / source.name
    if not source.is_file():
        return "it is no file, but a row of an array or standard input."
    if target.exists():
        return f"{printable(str(target))} exists."
    try:
        shutil.move(source, target)
    except OSError as error:
        return f"{explain_os_error(error)}."
    return None
