"""The `vae` commands, derived from the declarations: files in, files out.

Each command sends requests, to a running service or to the app in this process.
"""

import asyncio
import inspect
import secrets
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from pydantic import BaseModel, Field
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from app.api.keys import hash_key
from app.cli.connection import open_client
from app.cli.flags import as_flags
from app.cli.inputs import Inputs, find_inputs, open_inputs
from app.cli.options import option
from app.cli.outputs import check_output, write
from app.cli.refusals import FAILURES, message_of
from app.cli.sending import Rows, Sender, all_failed, in_words, join, mean_score, numbers
from app.cli.server import export_flags
from app.cli.server import serve as run_server
from app.cli.terminal import messages, say
from app.main import check_settings
from app.operations.latents import are_latents, explain_latents
from app.operations.table import OPERATIONS, Operation
from app.settings import Settings, load_settings
from models.errors import printable
from models.files import prepare_streams
from models.images.axes import as_batch, axes_warnings
from models.images.spec import ImageSpec
from vae_client.errors import CallError
from vae_client.sources import ReadArrays

app = typer.Typer(
    name="vae",
    help="Serve trained variational autoencoders, and use them on files.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
)

FAILED = 1
SHOWN = 20
"""Most files that are named as left out."""
HIDDEN = ("format", "encoding", "first_item")
"""Parameters that a command sets itself, from the output's name and the batch size."""
DEFAULTS = {"check": True}
"""Defaults of commands that are not those of the service."""
RENDERED_HERE = ("dtype", "columns")
"""Parameters of the written file; a command asks for npz and writes the file itself."""

Url = Annotated[
    str | None,
    typer.Option(
        help="URL of a running service, such as http://localhost:8000; absent: in this process.",
        envvar="VAE_URL",
    ),
]
ApiKey = Annotated[str | None, typer.Option(help="API key of the service.", envvar="VAE_API_KEY")]
ModelRepository = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the bundles, as <model>/<version>/; absent: VAE_MODEL_REPOSITORY, or the "
        "shipped models. Not with --url."
    ),
]


def main() -> None:
    """Run `vae`; a failure is one message and exit code 1."""
    prepare_streams()
    try:
        app()
    except FAILURES as error:
        say(message_of(error), head="Error: ")
        raise SystemExit(FAILED) from error


class RequestOptions(BaseModel):
    """Options of every command that sends requests."""

    version: Annotated[
        int | None, Field(ge=1, description="Version of the model; absent: the highest.")
    ] = None
    batch_size: Annotated[
        int, Field(ge=1, description="Largest number of items in one request.")
    ] = 32
    strict: Annotated[
        bool | None,
        Field(
            description="Stop at the first input that cannot be read, and write nothing; else the "
            "others are written, and the exit code is 1."
        ),
    ] = None


def command(operation: Operation) -> Callable[..., None]:
    """Build the command line function of an operation from its declared parameters."""
    fixed = {
        "model": Annotated[
            str | None, typer.Option("--model", "-m", help="Model by name; absent: the default.")
        ],
        "out": Annotated[
            Path | None,
            typer.Option("--out", "-o", help=_output_help(operation)),
        ],
        "model_repository": ModelRepository,
        "url": Url,
        "api_key": ApiKey,
    }
    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in fixed.items()
    ]
    parameters += [option(name, field) for name, field in RequestOptions.model_fields.items()]
    if operation.takes:
        inputs = Annotated[
            list[str], typer.Argument(help=_input_help(operation), metavar="FILES...")
        ]
        parameters.insert(
            0, inspect.Parameter("files", inspect.Parameter.KEYWORD_ONLY, annotation=inputs)
        )
    parameters += [
        option(name, field, default=DEFAULTS.get(name))
        for name, field in operation.parameters.model_fields.items()
        if name not in HIDDEN
    ]

    def run(**values: Any) -> None:
        asyncio.run(_run(operation, values))

    run.__name__ = operation.name.replace("-", "_")
    run.__doc__ = _command_help(operation)
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


def _output_help(operation: Operation) -> str:
    if "png" in operation.formats:
        forms = ", ".join(f".{form}" for form in operation.formats)
        return f"File to write ({forms}), or folder/ of PNGs. Default: {operation.name}.png."
    return "File to write (.csv, .parquet, .json, .npy, .npz). Default: CSV on standard output."


def _input_help(operation: Operation) -> str:
    kinds = "Pictures or arrays" if "images" in operation.takes else "Arrays"
    return f"{kinds} of {' or '.join(operation.takes)}: files, folders, globs, or - (stdin)."


EXAMPLES = {
    "encode": ["vae encode digit.png", "vae encode photos/ -o latents.npy"],
    "decode": ["vae decode latents.npy -o images.png"],
    "reconstruct": ["vae reconstruct photos/ -o reconstructions/"],
    "sample": ["vae sample --n 64 --seed 1 -o grid.png", "vae sample --n 1000 -o samples.npy"],
    "interpolate": ["vae interpolate a.png b.png --steps 16 -o between.webp"],
    "elbo": ["vae elbo photos/*.png --num-samples 100 --seed 1 -o scores.csv"],
    "log-likelihood": ["vae log-likelihood digits.npy --num-samples 5000 --url http://host:8000"],
    "classify": ["vae classify photos/ --model NAME -o classes.csv"],
}


def _command_help(operation: Operation) -> str:
    examples = "\n".join(f"    {line}\n" for line in EXAMPLES[operation.name])
    return f"{operation.summary}\n\nExamples:\n\n{examples}"


async def _run(operation: Operation, values: dict[str, Any]) -> None:
    """Send the requests, show the progress, write the results, name what could not be read."""
    output: Path | None = values.pop("out")
    if output is None and "png" in operation.formats:
        output = Path(f"{operation.name}.png")
    check_output(output, operation)
    strict = bool(values.pop("strict")) or operation.exact_items is not None
    batch_size = values.pop("batch_size") or RequestOptions().batch_size
    where = [values.pop(n) for n in ("url", "api_key", "model", "version", "model_repository")]
    inputs = Inputs()
    if operation.takes:
        files = values.pop("files")
        inputs = find_inputs(files, operation.takes, operation=operation.name, output=output)
        if inputs.failed and (strict or not inputs.files):
            raise all_failed(inputs.failed)
    asked = {name: value for name, value in values.items() if value is not None}
    given = {name: _text(value) for name, value in asked.items() if name not in RENDERED_HERE}
    if "seed" in operation.parameters.model_fields and "seed" not in given:
        given["seed"] = str(secrets.randbits(53))
    for name in DEFAULTS.keys() & operation.parameters.model_fields.keys():
        given.setdefault(name, _text(DEFAULTS[name]))
    async with open_client(*where) as client:
        with _progress() as progress:
            rows = await _rows(
                Sender(client, operation, given, strict=strict),
                inputs,
                progress,
                batch_size=batch_size,
            )
    rows.failed[:0] = inputs.failed
    if not rows.answers:
        raise all_failed(rows.failed)
    fields = join(rows.answers, shared=operation.shared)
    labels, named = rows.labels, bool(operation.takes)
    _warn(rows)
    if operation.exact_items is not None:
        labels, named = numbers(0, len(fields["images"])), False
    write(output, operation, fields, labels, values, warnings=rows.warnings, named=named)
    _report(output, len(labels), inputs.left_out, rows.failed)


async def _rows(sender: Sender, inputs: Inputs, progress: Progress, *, batch_size: int) -> Rows:
    """Labels and answers of all items, asked for in requests of at most `batch_size` items."""
    operation, rows = sender.operation, Rows()
    model = await sender.client.describe()
    n = int(sender.parameters.get("n", 16))
    read = partial(
        _read_arrays,
        spec=ImageSpec(**model["image"]),
        latent_shape=tuple(model["latent_shape"]),
    )
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


def _warn(rows: Rows) -> None:
    for warned in rows.warnings[:SHOWN]:
        name = "" if warned.item is None else f"{rows.labels[warned.item]}: "
        say(f"Warning: {name}{as_flags(warned.message)}")
    if len(rows.warnings) > SHOWN:
        say(f"Warning: {len(rows.warnings) - SHOWN:,} more; tables and JSON have all of them.")


def _report(
    output: Path | None,
    count: int,
    left_out: Sequence[tuple[str, str]],
    failed: Sequence[tuple[str, str]],
) -> None:
    """Say what was written and what was left out.

    Raises:
        CallError: An input could not be read; all others were written.
    """
    for name, reason in left_out[:SHOWN]:
        say(f"Left out: {name}: {reason}")
    if len(left_out) > SHOWN:
        say(f"Left out: {len(left_out) - SHOWN:,} more.")
    for name, reason in failed:
        say(f"Failed: {in_words(name, reason)}")
    if output is not None:
        say(f"Wrote {printable(str(output))} ({count} items).")
    if failed:
        raise CallError(
            f"{len(failed):,} of {len(failed) + count:,} items could not be read; the other "
            f"{count:,} were written. Use --strict to stop at the first."
        )


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _progress() -> Progress:
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


for _operation in OPERATIONS.values():
    app.command(_operation.name)(command(_operation))


def serve(**flags: Any) -> None:
    """Serve the models of a repository over HTTP, at http://127.0.0.1:8000 by default.

    Examples:

        vae serve

        vae serve --model-repository /models --port 9000
    """
    export_flags(flags)
    settings = load_settings()
    check_settings(settings)
    run_server(settings)


_flags = [option(name, field) for name, field in Settings.model_fields.items()]
serve.__signature__ = inspect.Signature(_flags)  # type: ignore[attr-defined]
serve.__annotations__ = {flag.name: flag.annotation for flag in _flags}
app.command()(serve)


@app.command()
def models(
    model_repository: ModelRepository = None, url: Url = None, api_key: ApiKey = None
) -> None:
    """List the models, and why a broken one is not served.

    Examples:

        vae models

        vae models --model-repository my-models

        vae models --url http://localhost:8000
    """

    async def listed() -> list[dict[str, Any]]:
        async with open_client(url, api_key, None, None, model_repository) as client:
            return await client.models()

    table = Table("name", "version", "default", "status", "digest")
    for entry in asyncio.run(listed()):
        status = entry["status"] if entry["reason"] is None else f"broken: {entry['reason']}"
        default = "yes" if entry["default"] else ""
        digest = (entry["digest"] or "")[:12]
        version = str(entry["version"] or "")  # a folder that is no version has none
        cells = (entry["name"], version, default, status, digest)
        table.add_row(*(Text(printable(cell)) for cell in cells))
    Console().print(table)


@app.command("hash-key")
def hash_key_command(
    key: Annotated[
        str | None, typer.Option(help="Key; absent: asked for, or read from standard input.")
    ] = None,
) -> None:
    """Hash a key for VAE_API_KEYS_SHA256 or VAE_ADMIN_KEYS_SHA256.

    Examples:

        vae hash-key

        openssl rand -base64 32 | tee key | vae hash-key
    """
    if key is None and sys.stdin.isatty():
        key = typer.prompt("Key", hide_input=True, err=True)
    key = (sys.stdin.readline() if key is None else key).strip()
    if not key:
        raise CallError("The key is empty. Make one: openssl rand -base64 32 | tee key.")
    typer.echo(hash_key(key))
