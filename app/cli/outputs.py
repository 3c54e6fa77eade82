"""Outputs of commands: files in the format of their suffix, folders of PNG files, CSV."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from app.cli.terminal import print_whole
from app.operations.parameters import Rendering
from app.operations.result import Answer
from app.operations.table import Operation
from app.wire.rendering import render, to_json
from models.files import check_place, write_whole
from models.images import to_png, to_uint8
from models.warnings import Warned
from vae_client.errors import CallError

TABLE_SUFFIXES = (".csv", ".jsonl", ".parquet")
LONGEST_NAME = 120
"""Most characters of a name that a PNG takes from its input; file systems take 255 bytes."""


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
        check_place(output, flag="--out", is_folder=True)
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
    check_place(output, flag="--out")


_ROW = re.compile(r"(\[\d+\])?(#\d+)?$")
"""What follows a file's name in a label: the row of an array, the count of a name given twice."""


def is_folder(output: Path) -> bool:
    """Whether a path means a folder: it is one, or has no suffix."""
    return output.is_dir() or output.suffix == ""


def write(
    output: Path | None,
    operation: Operation,
    fields: Mapping[str, np.ndarray],
    labels: Sequence[str],
    options: Mapping[str, Any],
    *,
    warnings: Sequence[Warned] = (),
    named: bool = True,
) -> None:
    """Write results to a file or folder; without one, print CSV.

    Args:
        output: The file or folder.
        operation: Declares the fields.
        fields: Arrays by name, as npz holds them.
        labels: Names of the items.
        options: The command's options, for how images are written.
        warnings: What is doubtful about the items.
        named: Whether the labels are names of inputs, and are written into every form. What has no
            place for them (npy, pictures) gets a table of them beside it.
    """
    facts = {
        name: _fact(value, is_list=name in operation.shared)
        for name, value in fields.items()
        if value.ndim == 0 or name in operation.shared
    }
    columns = {name: value for name, value in fields.items() if name not in facts}
    if output is not None and is_folder(output):
        _write_pictures(output, columns["images"], labels)
        return
    suffix = "" if output is None else output.suffix.lower()
    if output is not None and suffix not in TABLE_SUFFIXES:
        answer = Answer(columns, warnings=warnings)
        content = _rendered(output, operation, answer, facts, options, labels if named else ())
        write_whole(output, content)
        if named and len(labels) > 1 and suffix not in (".json", ".npz"):
            write_whole(names_beside(output), _csv({"file": labels}).encode())
        return
    rows = table(columns, labels, classes=facts.get("labels", ()))
    if named:
        codes: list[list[str]] = [[] for _ in labels]
        for warned in warnings:
            for of_item in codes if warned.item is None else (codes[warned.item],):
                of_item.append(warned.code)
        rows["warnings"] = ["; ".join(of_item) for of_item in codes]
    if output is None:
        print_whole(_csv(rows))
    elif suffix == ".parquet":
        pyarrow, parquet = _pyarrow()
        buffer = io.BytesIO()
        parquet.write_table(pyarrow.table(rows), buffer)
        write_whole(output, buffer.getvalue())
    else:
        write_whole(output, (_csv if suffix == ".csv" else _jsonl)(rows).encode())


def names_beside(output: Path) -> Path:
    """The table of names of an output that has no place for them: z.npy has z.files.csv."""
    return output.with_name(f"{output.stem}.files.csv")


def _fact(value: np.ndarray, *, is_list: bool) -> Any:
    """The value of a field that items share: a number, a text, or a list, maybe of JSON objects."""
    plain = value.tolist()
    return json.loads(plain) if is_list and isinstance(plain, str) else plain


def _rendered(
    output: Path,
    operation: Operation,
    answer: Answer,
    facts: Mapping[str, Any],
    options: Mapping[str, Any],
    names: Sequence[str],
) -> bytes:
    form = output.suffix.lower()[1:]
    held = dict(answer.columns)
    if names and form in ("json", "npz"):
        per_row = form == "json" and operation.per_item
        held = {"file" if per_row else "files": list(names), **held}
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
    content = replace(answer, columns=held)
    return render(form, content, operation, Rendering(**chosen), envelope)


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


def _jsonl(rows: Mapping[str, Sequence[Any]]) -> str:
    lines = (dict(zip(rows, row, strict=True)) for row in zip(*rows.values(), strict=True))
    return "".join(f"{to_json(line).decode()}\n" for line in lines)


def _write_pictures(folder: Path, images: np.ndarray, labels: Sequence[str]) -> None:
    """Write a PNG per item, named after its file."""
    folder.mkdir(parents=True, exist_ok=True)
    for image, name in zip(to_uint8(images), picture_names(labels), strict=True):
        write_whole(folder / f"{name}.png", to_png(image))


def picture_names(labels: Sequence[str]) -> list[str]:
    """A file name for each item: its file's stem, where that is not the only one its path too.

    Rows of an array, and names that would still be equal, get their number.
    """
    paths = [Path(_ROW.sub("", label)) for label in labels]
    stems = Counter(path.stem.casefold() for path in paths)
    names = []
    for path in paths:
        alone = stems[path.stem.casefold()] == 1
        parts = (path.stem,) if alone else (*path.parent.parts, path.stem)
        name = "-".join(part for part in parts if part not in ("/", "..")).lstrip(".-") or "picture"
        names.append(name[-LONGEST_NAME:])
    counts = Counter(name.casefold() for name in names)
    taken = {name.casefold() for name in names if counts[name.casefold()] == 1}
    for i, name in enumerate(names):
        if counts[name.casefold()] > 1:
            one = f"{name}-{i:05d}"
            while one.casefold() in taken:
                one += "x"
            taken.add(one.casefold())
            names[i] = one
    return names


def _pyarrow() -> tuple[Any, Any]:
    try:
        pyarrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise CallError(
            "A .parquet file needs pyarrow, which is not installed. Run pip install pyarrow, or "
            "write .csv."
        ) from error
    return pyarrow, parquet
