"""The `vae` commands, derived from the declarations: files in, files out.

Each command sends requests, to a running service or to the app in this process.
"""

import asyncio
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.api.keys import hash_key
from app.cli.connection import open_client
from app.cli.options import option
from app.cli.refusals import FAILURES, message_of
from app.cli.run_operation import DEFAULTS, RequestOptions, run_operation
from app.cli.server import export_flags
from app.cli.server import serve as run_server
from app.cli.terminal import say
from app.main import check_settings
from app.operations.table import OPERATIONS, Operation
from app.settings import Settings, load_settings
from models.errors import printable
from models.files import prepare_streams
from vae_client.errors import CallError

app = typer.Typer(
    name="vae",
    help="Serve trained variational autoencoders, and use them on files.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
)

FAILED = 1
HIDDEN = ("format", "encoding", "first_item")
"""Parameters that a command sets itself, from the output's name and the batch size."""
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
        asyncio.run(run_operation(operation, values))

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
