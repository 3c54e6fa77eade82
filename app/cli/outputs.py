"""Writes an operation's results to files of the form that their name says; it computes nothing."""

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from app.operations.parameters import Rendering
from app.operations.result import Answer
from app.operations.table import Operation
from app.wire.media_types import MEDIA_TYPES
from app.wire.rendering import render
from models.images import to_png, to_uint8
from vae_client.errors import CallError

TABLE_SUFFIXES = (".csv", ".parquet")
SUFFIXES = (*(f".{form}" for form in MEDIA_TYPES), *TABLE_SUFFIXES)


def check_output(output: Path | None, operation: Operation) -> None:
    """Refuse a name that says no form, before anything is computed.

    Raises:
        CallError: Says which there are.
    """
    if output is None or is_folder(output):
        if output is not None and "png" not in operation.formats:
            raise CallError(f"A folder is for images; `{operation.name}` gives none. Name a file.")
        return
    suffix = output.suffix.lower()
    images = "png" in operation.formats
    forms = [f".{form}" for form in operation.formats] + ([] if images else list(TABLE_SUFFIXES))
    if suffix not in forms:
        raise CallError(
            f"The output's suffix says its form; `{operation.name}` writes {', '.join(forms)}"
            f"{', or PNG files into a folder/' if images else ''}; received {str(output)!r}."
        )
    if suffix == ".parquet":
        _pyarrow()


def is_folder(output: Path) -> bool:
    """Whether a name means a folder: it is one, or has no suffix."""
    return output.is_dir() or output.suffix == ""


def write(
    output: Path | None,
    operation: Operation,
    fields: Mapping[str, np.ndarray],
    labels: Sequence[str],
    options: Mapping[str, Any],
) -> None:
    """Write results: a table on standard output when no file is named."""
    facts = {
        name: _fact(value, is_list=name in operation.shared)
        for name, value in fields.items()
        if value.ndim == 0 or name in operation.shared
    }
    columns = {name: value for name, value in fields.items() if name not in facts}
    rows = table(columns, labels, classes=facts.get("labels", ()))
    if output is None:
        sys.stdout.write(_csv(rows))
    elif is_folder(output):
        _write_pictures(output, columns["images"], labels)
    elif output.suffix.lower() == ".csv":
        output.write_text(_csv(rows), encoding="utf-8")
    elif output.suffix.lower() == ".parquet":
        pyarrow, parquet = _pyarrow()
        parquet.write_table(pyarrow.table(rows), output)
    else:
        output.write_bytes(_rendered(output, operation, columns, facts, options))


def _fact(value: np.ndarray, *, is_list: bool) -> Any:
    """What is said once: a number, a word, or a list, which is JSON where it holds objects."""
    plain = value.tolist()
    return json.loads(plain) if is_list and isinstance(plain, str) else plain


def _rendered(
    output: Path,
    operation: Operation,
    columns: Mapping[str, Any],
    facts: Mapping[str, Any],
    options: Mapping[str, Any],
) -> bytes:
    form = output.suffix.lower()[1:]
    held = dict(columns)
    envelope = dict(facts)
    if "label_used" in held:
        envelope["label_used"] = held.pop("label_used").tolist()
    elif "label_used" in envelope:
        envelope["label_used"] = None
    if "preprocessing" in held:
        envelope["preprocessing"] = [
            steps.split("; ") for steps in held.pop("preprocessing").tolist()
        ]
    chosen = {
        name: options[name] for name in Rendering.model_fields if options.get(name) is not None
    }
    return render(form, Answer(held), operation, Rendering(**chosen), envelope)


def table(
    columns: Mapping[str, np.ndarray], labels: Sequence[str], *, classes: Sequence[str] = ()
) -> dict[str, list[Any]]:
    """One row per item; several numbers are several columns, probabilities named by their class."""
    rows: dict[str, list[Any]] = {"file": list(labels)}
    for name, values in columns.items():
        flat = values.reshape(len(values), -1).T
        parts = classes if name == "probabilities" else range(len(flat))
        names = [name] if values.ndim == 1 else [f"{name}_{part}" for part in parts]
        rows.update(zip(names, map(_cells, flat), strict=True))
    return rows


def _cells(values: np.ndarray) -> list[Any]:
    """Plain values; what is not a number is no value."""
    missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)
    return [None if gone else value for value, gone in zip(values.tolist(), missing, strict=True)]


def _csv(rows: Mapping[str, Sequence[Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(rows)
    writer.writerows(zip(*rows.values(), strict=True))
    return buffer.getvalue()


def _write_pictures(folder: Path, images: np.ndarray, labels: Sequence[str]) -> None:
    """A PNG per item, named after its file; the item's number tells equal names apart."""
    folder.mkdir(parents=True, exist_ok=True)
    stems = [Path(label.split("[")[0]).stem for label in labels]
    for i, (image, stem) in enumerate(zip(to_uint8(images), stems, strict=True)):
        name = stem if stems.count(stem) == 1 else f"{stem}-{i:05d}"
        (folder / f"{name}.png").write_bytes(to_png(image))


def _pyarrow() -> tuple[Any, Any]:
    try:
        pyarrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise CallError(
            "Parquet needs pyarrow, which is not installed. `pip install pyarrow`, or write .csv."
        ) from error
    return pyarrow, parquet
