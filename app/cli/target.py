"""Where the result of a command goes, and in which form: a file, a folder, standard output."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from app.operations.table import Operation
from models.files import check_place
from vae_client.errors import CallError

STDOUT = "-"
TABLE_SUFFIXES = (".csv", ".jsonl", ".parquet")
TABLES = ("short", "csv", "jsonl", "parquet")
"""Forms with a row for each item; "short" has the columns that a person reads first."""


class Target(NamedTuple):
    """Where a result goes, and its form: a suffix without its dot, "folder", or "short"."""

    path: Path | None
    """None for standard output."""
    form: str


def choose_target(
    out: Path | None, operation: Operation, *, as_json: bool = False, full: bool = False
) -> Target:
    """Choose where a result goes, and check it before anything is computed.

    Args:
        out: What `--out` names.
        operation: Whose result.
        as_json: Whether JSON is asked for, which standard output gets.
        full: Whether a terminal gets every column of a table too.

    Raises:
        CallError: The operation does not write that format, or its folder is missing, is a file or
            is not writable; says what to write instead.
    """
    is_standard = out is not None and str(out) == STDOUT
    if as_json and not is_standard and out is not None and out.suffix.lower() != ".json":
        raise CallError(
            f"--json prints on standard output, and --out {out} is a file. Use --out "
            f"{out.with_suffix('.json')}."
        )
    if out is not None and not is_standard:
        return _file(out, operation)
    if as_json:
        return Target(None, "json")
    if "png" in operation.formats and not operation.per_item and out is None:
        return _file(Path(f"{operation.name}.png"), operation)
    if is_standard and not operation.per_item:
        return _rows_for_the_next_command(operation)
    short = operation.per_item and out is None and not full and sys.stdout.isatty()
    return Target(None, "short" if short else "csv")


def _rows_for_the_next_command(operation: Operation) -> Target:
    """An array on standard output, which no terminal shows."""
    if sys.stdout.isatty():
        form = "png" if "png" in operation.formats else "csv"
        raise CallError(
            f"--out - writes an array (npy), and standard output is a terminal. Name a file: --out "
            f"{operation.name}.{form}."
        )
    return Target(None, "npy")


def _file(output: Path, operation: Operation) -> Target:
    images, suffix = "png" in operation.formats, output.suffix.lower()
    if is_folder(output):
        if not images:
            raise CallError(
                f"--out {output} is a folder, which holds images; {operation.name} gives none. "
                f"Name a file: --out {operation.name}.csv."
            )
        check_place(output, flag="--out", is_folder=True)
        return Target(output, "folder")
    tables = TABLE_SUFFIXES if operation.per_item or not images else ()
    suffixes = [f".{form}" for form in operation.formats] + [*tables]
    if suffix not in suffixes:
        raise CallError(
            f"--out {output} ends in {suffix}; {operation.name} writes {', '.join(suffixes)}"
            f"{', or a folder of PNG files' if images else ''}. "
            f"Use --out {output.with_suffix('.png' if images else '.csv')}."
        )
    if suffix == ".parquet":
        load_pyarrow()
    check_place(output, flag="--out")
    return Target(output, suffix[1:])


def is_folder(output: Path) -> bool:
    """Whether a path means a folder: it is one, or has no suffix."""
    return output.is_dir() or output.suffix == ""


def load_pyarrow() -> tuple[Any, Any]:
    """The libraries that write .parquet files.

    Raises:
        CallError: They are not installed.
    """
    try:
        pyarrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise CallError(
            "A .parquet file needs pyarrow, which is not installed. Run pip install pyarrow, or "
            "write .csv."
        ) from error
    return pyarrow, parquet
