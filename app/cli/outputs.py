"""Outputs of commands: files in the format of their suffix, folders of PNG files, tables."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from app.cli.score_table import order_of, short_table
from app.cli.target import TABLES, Target, load_pyarrow
from app.cli.terminal import print_whole
from app.operations.parameters import Rendering
from app.operations.result import Answer
from app.operations.table import Operation
from app.wire.rendering import render, to_json
from models.files import write_whole
from models.images import to_png, to_uint8
from models.warnings import Warned
from vae_client.tables import table

LONGEST_NAME = 120
"""Most characters of a name that a PNG takes from its input; file systems take 255 bytes."""


_ROW = re.compile(r"(\[\d+\])?(#\d+)?$")
"""What follows a file's name in a label: the row of an array, the count of a name given twice."""


class Results(NamedTuple):
    """What a command computed."""

    fields: Mapping[str, np.ndarray]
    """Arrays by name, as npz holds them."""
    labels: Sequence[str]
    """Names of the items."""
    warnings: Sequence[Warned] = ()
    """What is doubtful about the items."""

    def ranked(self, operation: Operation, sort: str | None, top: int | None) -> "Results":
        """The items in the order of a column, or the first of them."""
        facts, columns = split_fields(self.fields, operation)
        rows = table(columns, self.labels, classes=facts.get("labels", ()))
        order = order_of(rows, sort, top)
        place = {item: i for i, item in enumerate(order)}
        return Results(
            {**self.fields, **{name: values[order] for name, values in columns.items()}},
            [self.labels[i] for i in order],
            [
                warned if warned.item is None else replace(warned, item=place[warned.item])
                for warned in self.warnings
                if warned.item is None or warned.item in place
            ],
        )


def write(
    target: Target,
    operation: Operation,
    results: Results,
    options: Mapping[str, Any],
    *,
    named: bool = True,
) -> None:
    """Write results to a file or folder, or on standard output.

    Args:
        target: Where to, and in which form.
        operation: Declares the fields.
        results: What was computed.
        options: The command's options, for how images are written.
        named: Whether the labels are names of inputs, and are written into every form. What has no
            place for them (npy, pictures) gets a table of them beside it, if it is a file.
    """
    fields, labels, warnings = results
    facts, columns = split_fields(fields, operation)
    output, form = target
    if form == "folder":
        assert output is not None  # a folder is none of standard output's forms
        _write_pictures(output, columns[operation.pictures], labels)
        return
    if form not in TABLES:
        answer = Answer(columns, warnings=warnings)
        content = _rendered(form, operation, answer, facts, options, labels if named else ())
        is_printed = form == "json" and output is None
        _put(output, f"{content.decode()}\n" if is_printed else content)
        if output is not None and named and len(labels) > 1 and form not in ("json", "npz"):
            write_whole(names_beside(output), _csv({"file": labels}).encode())
        return
    rows = table(columns, labels, classes=facts.get("labels", ()))
    if named:
        codes: list[list[str]] = [[] for _ in labels]
        for warned in warnings:
            for of_item in codes if warned.item is None else (codes[warned.item],):
                of_item.append(warned.code)
        rows["warnings"] = ["; ".join(of_item) for of_item in codes]
    if form == "short":
        print_whole(short_table(rows, operation))
    elif form == "parquet":
        pyarrow, parquet = load_pyarrow()
        buffer = io.BytesIO()
        parquet.write_table(pyarrow.table(rows), buffer)
        _put(output, buffer.getvalue())
    else:
        _put(output, (_csv if form == "csv" else _jsonl)(rows))


def _put(output: Path | None, content: str | bytes) -> None:
    """Write a file, or on standard output."""
    if output is None:
        print_whole(content)
    else:
        write_whole(output, content.encode() if isinstance(content, str) else content)


def split_fields(
    fields: Mapping[str, np.ndarray], operation: Operation
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What all items share, as plain values, and the columns with an entry for each item."""
    facts = {
        name: _fact(value, is_list=name in operation.shared)
        for name, value in fields.items()
        if value.ndim == 0 or name in operation.shared
    }
    return facts, {name: value for name, value in fields.items() if name not in facts}


def names_beside(output: Path) -> Path:
    """The table of names of an output that has no place for them: z.npy has z.files.csv."""
    return output.with_name(f"{output.stem}.files.csv")


def _fact(value: np.ndarray, *, is_list: bool) -> Any:
    """The value of a field that items share: a number, a text, or a list, maybe of JSON objects."""
    plain = value.tolist()
    return json.loads(plain) if is_list and isinstance(plain, str) else plain


def _rendered(
    form: str,
    operation: Operation,
    answer: Answer,
    facts: Mapping[str, Any],
    options: Mapping[str, Any],
    names: Sequence[str],
) -> bytes:
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
