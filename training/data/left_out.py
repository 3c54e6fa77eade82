"""The files of a folder that are not in its data set: a table for the screen, a list for a file."""

import csv
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.markup import escape
from rich.table import Column, Table

from training.data.file_split import SkippedFile

LEFT_OUT = "left-out.csv"
"""Name of the list in a run's folder."""
SHOWN = 20
"""Files that the table has at most."""


def left_out_table(skipped: Sequence[SkippedFile]) -> Table:
    """The first twenty files left out, and the reason of each."""
    more = f", the first {SHOWN}" if len(skipped) > SHOWN else ""
    noun = "file" if len(skipped) == 1 else "files"
    title = f"Left out: {len(skipped):,} {noun}{more}"
    table = Table(
        Column("file", overflow="fold"), "reason", box=box.SIMPLE, title=title, title_justify="left"
    )
    for one in skipped[:SHOWN]:
        table.add_row(escape(one.path), escape(one.reason))
    return table


def write_left_out(folder: Path, skipped: Sequence[SkippedFile]) -> str:
    """Write every file left out and its reason as CSV; returns the sentence that says where."""
    path = folder / LEFT_OUT
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("file", "reason"))
        writer.writerows((one.path, one.reason) for one in skipped)
    noun = "file" if len(skipped) == 1 else "files"
    return f"Left out: {len(skipped):,} {noun}, each listed with its reason in {path}."
