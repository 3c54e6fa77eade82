"""The `vae` commands, derived from the declarations: files in, files out.

Each command sends requests, to a running service or to the app in this process.
"""

import asyncio
import inspect
import secrets
from collections.abc import Callable, Mapping, Sequence
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

from app.api.keys import hash_key
from app.cli.local import open_client
from app.cli.options import option
from app.cli.outputs import check_output, write
from app.cli.refusals import FAILURES, message_of
from app.cli.server import export_flags
from app.cli.server import serve as run_server
from app.cli.startup import check_port, check_settings
from app.operations.table import OPERATIONS, Operation
from app.settings import Settings, load_settings
from models.images.axes import as_batch
from models.images.spec import ImageSpec
from vae_client.client import Client
from vae_client.sources import Source, find_files, open_sources, parts

app = typer.Typer(
    name="vae",
    help="Serve trained variational autoencoders, and use them on files.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
)
messages = Console(stderr=True)

FAILED = 1
HIDDEN = ("format", "encoding", "first_item")
"""Parameters that a command sets itself, from the output's name and the batch size."""
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


def main() -> None:
    """Run `vae`; a failure is one message and exit code 1."""
    try:
        app()
    except FAILURES as error:
        messages.print(f"[red]Error:[/red] {_plain(message_of(error))}", soft_wrap=True)
        raise SystemExit(FAILED) from error


def _plain(text: str) -> str:
    return text.replace("[", "\\[")


class RequestOptions(BaseModel):
    """Options of every command that sends requests."""

    version: Annotated[
        int | None, Field(ge=1, description="Version of the model; absent: the highest.")
    ] = None
    batch_size: Annotated[
        int, Field(ge=1, description="Largest number of items in one request.")
    ] = 32


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
        option(name, field)
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
    return f"{kinds} of {' or '.join(operation.takes)}: files, folders or globs."


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
    """Send the requests, show the progress, write the results."""
    output: Path | None = values.pop("out")
    if output is None and "png" in operation.formats:
        output = Path(f"{operation.name}.png")
    check_output(output, operation)
    files = find_files(values.pop("files")) if operation.takes else []
    batch_size = values.pop("batch_size") or RequestOptions().batch_size
    where = [values.pop(name) for name in ("url", "api_key", "model", "version")]
    asked = {name: value for name, value in values.items() if value is not None}
    given = {name: _text(value) for name, value in asked.items() if name not in RENDERED_HERE}
    if "seed" in operation.parameters.model_fields and "seed" not in given:
        given["seed"] = str(secrets.randbits(53))
    async with open_client(*where) as client:
        spec = ImageSpec(**(await client.describe())["image"])
        sources: list[Source | None] = [
            *open_sources(files, operation.name, operation.takes, partial(as_batch, spec=spec))
        ]
        labels, fields = await _all_parts(
            client, operation, given, sources or [None], batch_size=batch_size
        )
    write(output, operation, fields, labels, values)
    if output is not None:
        messages.print(f"Wrote {_plain(str(output))} ({len(labels)} items).", soft_wrap=True)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


async def _all_parts(
    client: Client,
    operation: Operation,
    given: Mapping[str, str],
    sources: list[Source | None],
    *,
    batch_size: int,
) -> tuple[list[str], dict[str, np.ndarray]]:
    """Labels and fields of all items, asked for in requests of at most `batch_size` items."""
    n = int(given.get("n", 16))
    counts = [len(source.labels) if source else n for source in sources]
    whole = operation.name == "interpolate"
    answers: list[dict[str, np.ndarray]] = []
    labels: list[str] = []
    with _progress() as progress:
        task = progress.add_task(operation.name, total=sum(counts), score="")
        for source, count in zip(sources, counts, strict=True):
            for part in parts(count, count if whole else batch_size):
                query = dict(given)
                if not whole:
                    query["first_item"] = str(len(labels))
                if source is None:
                    query["n"] = str(part.stop - part.start)
                answers.append(
                    await client.call(operation.method, operation.name, query, source, part)
                )
                labels += source.labels[part] if source else _numbers(part)
                progress.update(task, completed=len(labels), score=_score(answers))
    fields = join(answers, shared=operation.shared)
    return (labels if not whole else _numbers(slice(0, len(fields["images"])))), fields


def _numbers(part: slice) -> list[str]:
    return [f"{i:05d}" for i in range(part.start, part.stop)]


def join(
    answers: list[dict[str, np.ndarray]], *, shared: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """Join the fields of several answers along the items; `shared` ones are the first answer's."""
    return {
        name: first
        if first.ndim == 0 or name in shared
        else np.concatenate([answer[name] for answer in answers])
        for name, first in answers[0].items()
    }


def _score(answers: list[dict[str, np.ndarray]]) -> str:
    """The running mean of the scores, in nats, for the progress bar."""
    for name in ("estimate_nats", "elbo_nats"):
        if name in answers[0]:
            mean = np.nanmean(np.concatenate([answer[name] for answer in answers]))
            return f"mean {name} {mean:.2f}"
    return ""


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
    check_port(settings.host, settings.port)
    run_server(settings)


_flags = [option(name, field) for name, field in Settings.model_fields.items()]
serve.__signature__ = inspect.Signature(_flags)  # type: ignore[attr-defined]
serve.__annotations__ = {flag.name: flag.annotation for flag in _flags}
app.command()(serve)


@app.command()
def models(url: Url = None, api_key: ApiKey = None) -> None:
    """List the models, and why a broken one is not served.

    Examples:

        vae models

        vae models --url http://localhost:8000
    """

    async def listed() -> list[dict[str, Any]]:
        async with open_client(url, api_key, None, None) as client:
            return await client.models()

    table = Table("name", "version", "default", "status", "digest")
    for entry in asyncio.run(listed()):
        status = entry["status"] if entry["reason"] is None else f"broken: {entry['reason']}"
        default = "yes" if entry["default"] else ""
        digest = (entry["digest"] or "")[:12]
        version = str(entry["version"] or "")  # a folder that is no version has none
        table.add_row(_plain(entry["name"]), version, default, _plain(status), digest)
    Console().print(table)


@app.command("hash-key")
def hash_key_command(
    key: Annotated[
        str, typer.Option(prompt="API key", hide_input=True, help="API key; absent: asked for.")
    ],
) -> None:
    """Hash an API key for VAE_API_KEYS_SHA256.

    Examples:

        vae hash-key

        openssl rand -base64 32 | tee key | vae hash-key
    """
    typer.echo(hash_key(key))
