"""The rows of a study as a table on the console, and as a CSV file."""

from collections.abc import Sequence
from csv import DictWriter
from dataclasses import asdict, fields
from io import StringIO
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Column, Table

from models.files import write_whole

_PIPED_WIDTH = 240
_CAPTIONS = {"error": "errors are one standard error", "_low_": "low to high covers with 95 %"}
"""What the table says below itself, by a part of a column's name."""


def wide_console() -> Console:
    """A console as wide as the window; in a file or a pipe wide enough for every column."""
    console = Console()
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    return console


def table_of(rows: Sequence[Any]) -> Table:
    """Rows of one study as a table with a column per field."""
    names = [field.name for field in fields(rows[0])]
    said = [words for part, words in _CAPTIONS.items() if any(part in name for name in names)]
    table = Table(
        *(Column(name.replace("_", " "), justify="right") for name in names),
        caption="; ".join(said),
        box=box.SIMPLE,
    )
    for row in rows:
        table.add_row(*(_cell(name, value) for name, value in asdict(row).items()))
    return table


def _cell(name: str, value: Any) -> str:
    from training.evaluation.table import format_optional  # imports torch

    if not isinstance(value, float):
        return str(value)
    return format_optional(value, ".3f" if name.endswith("_nats") else ".4g")


def write_csv(path: Path, rows: Sequence[Any]) -> None:
    """Write the rows of one study, unrounded, with a header."""
    text = StringIO(newline="")
    writer = DictWriter(text, [field.name for field in fields(rows[0])])
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    write_whole(path, text.getvalue().encode())
