"""The short table of scores that a person reads on a terminal, and the order of its rows."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from rich import box
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from app.operations.table import Operation
from models.errors import closest, printable
from vae_client.errors import CallError

ERROR = "standard_error_nats"
"""The column whose number stands behind the sign +- of a score."""


def short_table(rows: Mapping[str, Sequence[Any]], operation: Operation) -> str:
    """The columns that matter most: file, score with its error or label, percentile, notes.

    Args:
        rows: The columns of the whole table.
        operation: Whose rows they are.
    """
    console = Console()
    sign = "±" if console.encoding.startswith("utf") else "+-"
    columns = {"file": list(rows["file"])} | _results(rows, operation.primary[0], sign)
    if "percentile" in rows:
        columns["percentile"] = [_number(value, ".1f") for value in rows["percentile"]]
    notes = _notes(rows)
    if any(notes):
        columns["note"] = notes
    table = Table(
        *(
            Column(name, justify="left" if name in ("file", "label", "by", "note") else "right")
            for name in columns
        ),
        box=box.SIMPLE,
        caption="--full shows every column",
    )
    for cells in zip(*columns.values(), strict=True):
        table.add_row(*(Text(printable(cell)) for cell in cells))
    with console.capture() as printed:
        console.print(table)
    return printed.get()


def _results(rows: Mapping[str, Sequence[Any]], primary: str, sign: str) -> dict[str, list[str]]:
    """The score of each row with its standard error, or its label with its probability."""
    if "is_anomalous" in rows:
        return {
            "p value": [_number(value, ".3g") for value in rows[primary]],
            "anomalous": ["yes" if odd else "" for odd in rows["is_anomalous"]],
            "by": [name.replace("_", " ") for name in rows["decided_by"]],
        }
    if primary in rows:
        errors = rows.get(ERROR, [None] * len(rows[primary]))
        cells = [
            _number(value, ".2f") + ("" if error is None else f" {sign} {error:.2f}")
            for value, error in zip(rows[primary], errors, strict=True)
        ]
        return {primary.removesuffix("_nats").replace("_", " ") + " (nats)": cells}
    shares = [name for name in rows if name.startswith(f"{primary}_")]
    best = [max(row) for row in zip(*(rows[name] for name in shares), strict=True)]
    return {"label": list(rows["label"]), "probability": [f"{share:.3f}" for share in best]}


def _notes(rows: Mapping[str, Sequence[Any]]) -> list[str]:
    """What is doubtful about each row: its warnings, its weights, a tolerance that is not met."""
    notes = list(rows.get("warnings", [""] * len(rows["file"])))
    for i, regular in enumerate(rows.get("weights_look_regular", ())):
        if regular is False:
            notes[i] = "; ".join(filter(None, ("irregular weights", notes[i])))
        elif rows.get("tolerance_met", [None] * len(notes))[i] is False:
            notes[i] = "; ".join(filter(None, ("tolerance not met", notes[i])))
    return notes


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def check_sort(sort: str | None, operation: Operation) -> None:
    """Refuse to sort by what is no column of one value, before anything is computed.

    Raises:
        CallError: It is none; says the closest.
    """
    name = (sort or "file").removeprefix("-")
    (row,) = get_args(operation.answer.model_fields["results"].annotation)
    columns = ["file", *(n for n, f in row.model_fields.items() if not _is_list(f.annotation))]
    if name not in columns:
        meant = closest(name, columns) or operation.primary[0]
        meant = meant if meant in columns else columns[0]
        raise CallError(
            f"--sort {name} is no column. Allowed: {', '.join(columns)}. Use --sort {meant}."
        )


def _is_list(annotation: Any) -> bool:
    return "list" in str(annotation)


def order_of(rows: Mapping[str, Sequence[Any]], sort: str | None, top: int | None) -> list[int]:
    """Indices of the rows to show, in order; those without a value come last."""
    count = len(rows["file"])
    order = list(range(count))
    if sort is not None:
        values = rows.get(sort.removeprefix("-"), [None] * count)
        known = [i for i in order if values[i] is not None]
        known.sort(key=lambda i: values[i], reverse=sort.startswith("-"))
        order = known + [i for i in order if values[i] is None]
    return order[:top]
