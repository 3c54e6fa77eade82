"""One operation on files: inputs are read, requests sent, progress shown, results written."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from app.cli.alarms import ANOMALOUS, find_anomalous, move_files
from app.cli.connection import open_client
from app.cli.flags import as_flags
from app.cli.inputs import Inputs, find_inputs, open_inputs
from app.cli.outputs import Results, write
from app.cli.request_options import DEFAULTS, AlarmOptions, RequestOptions, TableOptions
from app.cli.score_table import check_sort
from app.cli.sending import Rows, Sender, all_failed, in_words, mean_score, numbers
from app.cli.target import choose_target
from app.cli.terminal import messages, print_whole, say, say_always
from app.operations.latents import are_latents, explain_latents
from app.operations.table import Operation
from app.wire.rendering import to_json
from models.errors import printable
from models.images.axes import as_batch, axes_warnings
from models.images.spec import ImageSpec
from vae_client.answers import join
from vae_client.errors import CallError
from vae_client.sources import ReadArrays

SHOWN = 20
"""Most files that are named as left out."""
RENDERED_HERE = ("dtype", "columns")
"""Parameters of the written file; a command asks for npz and writes the file itself."""


async def run_operation(operation: Operation, values: dict[str, Any]) -> None:
    """Send the requests, show the progress, write the results, name what could not be read.

    Args:
        operation: What is asked for.
        values: Those of the command's arguments and options, by name; None where not given.

    Raises:
        CallError: Something could not be read or was refused.
    """
    messages.quiet = bool(values.pop("quiet"))
    full, sort, top = (values.pop(name, None) for name in TableOptions.model_fields)
    is_streamed = bool(values.pop("stream", None))
    as_json = bool(values.pop("as_json")) or (is_streamed and values["out"] is None)
    alarms = {name: values.pop(name, None) for name in AlarmOptions.model_fields}
    target = choose_target(values.pop("out"), operation, as_json=as_json, full=bool(full))
    if operation.alarms and target.form in ("png", "folder"):
        values["map"] = "error" if values["map"] == "error" else "overlay"
    if sort is not None:
        check_sort(sort, operation)
    strict = bool(values.pop("strict")) or operation.exact_items is not None
    batch_size = values.pop("batch_size") or RequestOptions().batch_size
    where = [values.pop(n) for n in ("url", "api_key", "model", "version", "model_repository")]
    inputs = Inputs()
    if operation.takes:
        files, output = values.pop("files"), target.path
        inputs = find_inputs(files, operation.takes, operation=operation.name, output=output)
        if inputs.failed and (strict or not inputs.files):
            raise all_failed(inputs.failed)
    async with open_client(*where) as client:
        with show_progress() as progress:
            rows = await _rows(
                Sender(
                    client,
                    operation,
                    _parameters(operation, values),
                    strict=strict,
                    tell=_print_line if is_streamed else None,
                ),
                inputs,
                progress,
                batch_size=batch_size,
            )
    rows.failed[:0] = inputs.failed
    if not rows.answers:
        raise all_failed(rows.failed)
    fields = join(rows.answers, shared=operation.shared)
    labels, named = rows.labels, bool(operation.takes)
    warn_of(rows)
    if operation.exact_items is not None:
        labels, named = numbers(0, len(fields["images"])), False
    results = Results(fields, labels, rows.warnings)
    odd = find_anomalous(fields, labels) if operation.alarms else []
    if sort is not None or top is not None:
        results = results.ranked(operation, sort, top)
    write(target, operation, results, values, named=named)
    written = len(results.labels)
    if operation.alarms:
        say(f"{len(odd):,} of {len(labels):,} are anomalous at alpha={fields['alpha']:g}.")
        move_files(odd, alarms["move_to"])
    report(target.path, len(labels), inputs.left_out, rows.failed, written=written)
    if odd and alarms["fail_on_anomaly"]:
        raise typer.Exit(ANOMALOUS)


def _parameters(operation: Operation, values: Mapping[str, Any]) -> dict[str, str]:
    """The parameters of a request; what a command fills in is among them."""
    given = {
        name: as_text(value)
        for name, value in values.items()
        if value is not None and name not in RENDERED_HERE
    }
    if "seed" in operation.parameters.model_fields and "seed" not in given:
        given["seed"] = str(secrets.randbits(53))
    for name in DEFAULTS.keys() & operation.parameters.model_fields.keys():
        given.setdefault(name, as_text(DEFAULTS[name]))
    return given


async def _rows(sender: Sender, inputs: Inputs, progress: Progress, *, batch_size: int) -> Rows:
    """Labels and answers of all items, asked for in requests of at most `batch_size` items."""
    operation, rows = sender.operation, Rows()
    model = await sender.client.describe()
    n = int(sender.parameters.get("n", 16))
    read = array_reader(model)
    sources = open_inputs(inputs, operation.name, operation.takes, read, strict=sender.strict)
    total = sum(map(len, sources)) if operation.takes else n
    if operation.exact_items is not None and (total != operation.exact_items or len(sources) > 1):
        raise CallError(
            f"{operation.name} takes {operation.exact_items} pictures, or an array of as many "
            f"rows; {total} items in {len(inputs.files)} files are named. Name two: "
            f"vae {operation.name} a.png b.png"
        )
    task = progress.add_task(operation.name, total=total, score="")

    def show(rows: Rows) -> None:
        progress.update(task, completed=rows.count, score=mean_score(rows.answers))

    sender = replace(sender, progress=show)
    if not operation.takes:
        await sender.draw(n, rows, batch_size=batch_size)
    for source in sources:
        if operation.exact_items is None:
            await sender.send(source, rows, batch_size=batch_size)
        else:
            await sender.send_whole(source, rows)
    return rows


def _print_line(line: Mapping[str, Any]) -> None:
    """Print a running estimate."""
    print_whole(f"{to_json(line).decode()}\n")


def array_reader(model: Mapping[str, Any]) -> Callable[[str], ReadArrays]:
    """From a file's name, how its arrays are read for a model, as the service describes it."""
    spec, latent_shape = ImageSpec(**model["image"]), tuple(model["latent_shape"])
    return partial(_read_arrays, spec=spec, latent_shape=latent_shape)


def _read_arrays(name: str, *, spec: ImageSpec, latent_shape: tuple[int, ...]) -> ReadArrays:
    """How arrays of a file are read; says where the axes of pictures are in doubt."""

    def images(array: np.ndarray) -> np.ndarray:
        batch = as_batch(array, spec)
        for warned in axes_warnings(array.shape, spec):
            say(f"Warning: {name}: {warned.message}")
        return batch

    def latents(array: np.ndarray) -> np.ndarray:
        if found := explain_latents(array.shape, latent_shape):
            raise ValueError(found[0])
        return array

    return ReadArrays(images, latents, lambda array: are_latents(array.shape, latent_shape))


def warn_of(rows: Rows) -> None:
    """Say what is doubtful about the items."""
    for warned in rows.warnings[:SHOWN]:
        name = "" if warned.item is None else f"{rows.labels[warned.item]}: "
        say(f"Warning: {name}{as_flags(warned.message)}")
    if len(rows.warnings) > SHOWN:
        say(f"Warning: {len(rows.warnings) - SHOWN:,} more; tables and JSON have all of them.")


def report(
    output: Path | None,
    count: int,
    left_out: Sequence[tuple[str, str]],
    failed: Sequence[tuple[str, str]],
    *,
    written: int,
) -> None:
    """Say what was written and what was left out.

    Args:
        output: The file or folder; None for standard output.
        count: Items that have an answer.
        left_out: Names and reasons of what is no input.
        failed: Names and reasons of inputs without an answer.
        written: Items that were written, which may be the first ones alone.

    Raises:
        CallError: An input could not be read; all others were written.
    """
    for name, reason in left_out[:SHOWN]:
        say(f"Left out: {name}: {reason}")
    if len(left_out) > SHOWN:
        say(f"Left out: {len(left_out) - SHOWN:,} more.")
    for name, reason in failed:
        say_always(f"Failed: {in_words(name, reason)}")
    counts = [f"{written:,} {'item' if written == 1 else 'items'}"]
    counts += [f"{len(left_out):,} left out"] if left_out else []
    counts += [f"{len(failed):,} failed"] if failed else []
    if output is not None:
        say(f"Wrote {printable(str(output))} ({', '.join(counts)}).")
    elif len(counts) > 1:
        say(f"{', '.join(counts)}.")
    if failed:
        raise CallError(
            f"{len(failed):,} of {len(failed) + count:,} items could not be read; the other "
            f"{count:,} were written. Use --strict to stop at the first."
        )


def as_text(value: Any) -> str:
    """A parameter's value as a query has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def show_progress() -> Progress:
    """A bar on standard error that goes away at the end."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[score]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=messages,
        transient=True,
    )
