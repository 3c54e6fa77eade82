"""Outputs of commands: files in the format of their suffix, folders of PNG files, CSV."""

import csv
import io
import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from app.operations.parameters import Rendering
from app.operations.result import Answer
from app.operations.table import Operation
from app.wire.rendering import render
from models.images import to_png, to_uint8
from vae_client.errors import CallError

TABLE_SUFFIXES = (".csv", ".parquet")


def check_output(output: Path | None, operation: Operation) -> None:
    """Check an output's format and folder, before anything is computed.

    Raises:
        CallError: The operation does not write that format, or its folder is missing, is a file or
            is not writable; says what to write instead.
    """
    if output is None:
        return
    images, suffix = "png" in operation.formats, output.suffix.lower()
    if is_folder(output):
        if not images:
            raise CallError(
                f"--out {output} is a folder, which holds images; {operation.name} gives none. "
                f"Name a file: --out {operation.name}.csv."
            )
        _check_place(output, makes_folders=True)
        return
    suffixes = [f".{form}" for form in operation.formats] + ([] if images else [*TABLE_SUFFIXES])
    if suffix not in suffixes:
        raise CallError(
            f"--out {output} ends in {suffix}; {operation.name} writes {', '.join(suffixes)}"
            f"{', or a folder of PNG files' if images else ''}. "
            f"Use --out {output.with_suffix('.png' if images else '.csv')}."
        )
    if suffix == ".parquet":
        _pyarrow()
    _check_place(output, makes_folders=False)


def _check_place(output: Path, *, makes_folders: bool) -> None:
    """Refuse an output that cannot be written where it is."""
    folders = [output, *output.parents] if makes_folders else list(output.parents)
    found = next(place for place in (*folders, Path()) if place.exists())
    if not found.is_dir():
        other = Path(f"{found}-images") if found == output else found.parent / output.name
        raise CallError(f"--out {output}: {found} is a file, not a folder. Use --out {other}.")
    if not makes_folders and found != output.parent:
        raise CallError(
            f"--out {output}: there is no folder {output.parent}. Make it first: mkdir -p "
            f"{shlex.quote(str(output.parent))}."
        )
    locked = next((p for p in (found, output) if p.exists() and not os.access(p, os.W_OK)), None)
    if locked is not None:
        raise CallError(
            f"--out {output}: {locked} is not writable. Write elsewhere: --out "
            f"{Path.home() / output.name}."
        )


def is_folder(output: Path) -> bool:
    """Whether a path means a folder: it is one, or has no suffix."""
    return output.is_dir() or output.suffix == ""


def write(
    output: Path | None,
    operation: Operation,
    fields: Mapping[str, np.ndarray],
    labels: Sequence[str],
    options: Mapping[str, Any],
) -> None:
    """Write results to a file or folder; without one, print CSV.

    Args:
        output: The file or folder.
        operation: Declares the fields.
        fields: Arrays by name, as npz holds them.
        labels: Names of the items.
        options: The command's options, for how images are written.
    """
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
    """The value of a field that items share: a number, a text, or a list, maybe of JSON objects."""
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
    """Columns of a table with a row per item; several numbers of one field are several columns.

    Probabilities are named by their class.
    """
    rows: dict[str, list[Any]] = {"file": list(labels)}
    for name, values in columns.items():
        flat = values.reshape(len(values), -1).T
        parts = classes if name == "probabilities" else range(len(flat))
        names = [name] if values.ndim == 1 else [f"{name}_{part}" for part in parts]
        rows.update(zip(names, map(_cells, flat), strict=True))
    return rows


def _cells(values: np.ndarray) -> list[Any]:
    """Plain values; NaN is None."""
    missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)
    return [None if gone else value for value, gone in zip(values.tolist(), missing, strict=True)]


def _csv(rows: Mapping[str, Sequence[Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(rows)
    writer.writerows(zip(*rows.values(), strict=True))
    return buffer.getvalue()


def _write_pictures(folder: Path, images: np.ndarray, labels: Sequence[str]) -> None:
    """Write a PNG per item, named after its file, and by its number where names are equal."""
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
            "A .parquet file needs pyarrow, which is not installed. Run pip install pyarrow, or "
            "write .csv."
        ) from error
    return pyarrow, parquet
