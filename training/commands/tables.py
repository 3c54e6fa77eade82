"""Rows of one kind, such as those of a study, as a table on the console and as a CSV file."""

from collections.abc import Collection, Sequence
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
_FLEXIBLE_WIDTH = 16
"""Least room for words that run over several lines, with the space around them."""
_ENDLESS = 10_000
_CAPTIONS = {"error": "errors are one standard error", "_low_": "low to high covers with 95 %"}
"""What the table says below itself, by a part of a column's name."""


def say(text: str, console: Console) -> None:
    """Print text as it is; a narrow window wraps it, and no sign in it is markup."""
    console.print(text, soft_wrap=True, markup=False, highlight=False)


def wide_console() -> Console:
    """A console as wide as the window; in a file or a pipe wide enough for every column."""
    console = Console()
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    return console


def table_of(rows: Sequence[Any], *, without: Collection[str] = ()) -> Table:
    """Rows of one dataclass as a table with a column per field; words are on the left."""
    names = [field.name for field in fields(rows[0]) if field.name not in without]
    words = {name for name in names if all(isinstance(getattr(row, name), str) for row in rows)}
    said = [words for part, words in _CAPTIONS.items() if any(part in name for name in names)]
    table = Table(
        *(
            Column(name.replace("_", " "), justify="left" if name in words else "right")
            for name in names
        ),
        caption="; ".join(said),
        box=box.SIMPLE,
    )
    for row in rows:
        table.add_row(*(_cell(name, getattr(row, name)) for name in names))
    return table


def table_that_fits(
    rows: Sequence[Any], console: Console, *, least: Sequence[str], flexible: str
) -> Table:
    """Rows of one dataclass as a table no wider than the window.

    Args:
        rows: The rows.
        console: The window.
        least: Fields that are left out while the table is too wide, in this order; the caption
            names those that are.
        flexible: The field whose words may run over several lines; all others stay on one.
    """
    endless = console.options.update_width(_ENDLESS)
    for count in range(len(least) + 1):
        others = table_of(rows, without=[*least[:count], flexible])
        width = console.measure(others, options=endless).maximum + _FLEXIBLE_WIDTH
        if width <= console.width:
            break
    table = table_of(rows, without=least[:count])
    for column in table.columns:
        column.no_wrap = column.header != flexible
    if count > 0:
        names = ", ".join(name.replace("_", " ") for name in least[:count])
        table.caption = f"left out for want of width: {names}; --json has all"
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
