"""The command of an operation, derived from its declaration: files in, files out.

Each sends requests, to a running service or to the app in this process.
"""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel

from app.cli.options import ApiKey, ModelRepository, Url, option
from app.cli.request_options import (
    DEFAULTS,
    AlarmOptions,
    RequestOptions,
    StreamOptions,
    TableOptions,
)
from app.operations.table import Operation

HIDDEN = ("format", "encoding", "first_item")
"""Parameters that a command sets itself, from the output's name and the batch size."""


def make_command(operation: Operation) -> Callable[..., None]:
    """Build the command line function of an operation from its declared parameters."""
    fixed = {
        "model": Annotated[
            str | None, typer.Option("--model", "-m", help="Model by name; absent: the default.")
        ],
        "out": Annotated[Path | None, typer.Option("--out", "-o", help=_output_help(operation))],
        "model_repository": ModelRepository,
        "url": Url,
        "api_key": ApiKey,
    }
    parameters = [keyword(name, annotation) for name, annotation in fixed.items()]
    declared: list[type[BaseModel]] = [
        RequestOptions,
        *([TableOptions] if operation.per_item else []),
        *([StreamOptions] if operation.streams else []),
        *([AlarmOptions] if operation.alarms else []),
    ]
    parameters += [
        option(n, field) for model in declared for n, field in model.model_fields.items()
    ]
    if operation.takes:
        inputs = Annotated[
            list[str], typer.Argument(help=_input_help(operation), metavar="FILES...")
        ]
        parameters.insert(0, keyword("files", inputs, inspect.Parameter.empty))
    parameters += [
        option(name, field, default=DEFAULTS.get(name))
        for name, field in operation.parameters.model_fields.items()
        if name not in HIDDEN
    ]

    def run(**values: Any) -> None:
        import asyncio  # help needs neither it nor an HTTP client

        from app.cli.run_operation import run_operation

        asyncio.run(run_operation(operation, values))

    name, examples = operation.name.replace("-", "_"), EXAMPLES[operation.name]
    return with_options(run, name, command_help(operation.summary, examples), parameters)


def with_options(
    run: Callable[..., None], name: str, words: str, parameters: Sequence[inspect.Parameter]
) -> Callable[..., None]:
    """A function of any keywords as one that declares them, for a command line."""
    run.__name__, run.__doc__ = name, words
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


def keyword(name: str, annotation: Any, default: Any = None) -> inspect.Parameter:
    """A parameter that is an option or an argument of a command line."""
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


def _output_help(operation: Operation) -> str:
    if "png" in operation.formats and not operation.per_item:
        forms = ", ".join(f".{form}" for form in operation.formats)
        return (
            f"File to write ({forms}), folder/ of PNGs, or - (standard output, npy). Default: "
            f"{operation.name}.png."
        )
    files = "File to write (.csv, .jsonl, .parquet, .json, .npy, .npz), or - (standard output"
    if operation.per_item:
        maps = ", or .png and folder/ for maps" if "png" in operation.formats else ""
        return f"{files}){maps}. Default: a short table on a terminal, CSV elsewhere."
    return f"{files}, npy). Default: CSV on standard output."


def _input_help(operation: Operation) -> str:
    kinds = "Pictures or arrays" if "images" in operation.takes else "Arrays"
    return f"{kinds} of {' or '.join(operation.takes)}: files, folders, globs, or - (stdin)."


EXAMPLES = {
    "encode": ["vae encode digit.png", "vae encode photos/ -o latents.npy"],
    "decode": ["vae decode latents.npy -o images.png"],
    "reconstruct": ["vae reconstruct photos/ -o reconstructions/"],
    "sample": [
        "vae sample --n 64 --seed 1 -o grid.png",
        "vae sample --n 4 -o - | vae encode - --json",
    ],
    "interpolate": ["vae interpolate a.png b.png --steps 16 -o between.webp"],
    "elbo": [
        "vae elbo photos/ --sort elbo_nats --top 10",
        "vae elbo photos/*.png --num-samples 100 --seed 1 -o scores.csv",
    ],
    "log-likelihood": [
        "vae log-likelihood digits.npy --num-samples 5000 --url http://host:8000",
        "vae log-likelihood digit.png --num-samples 10000 --stream",
    ],
    "anomaly": [
        "vae anomaly photos/ --alpha 0.01 --sort p_value --top 20",
        "vae anomaly photos/ --move-to odd/ --fail-on-anomaly",
        "vae anomaly part.png --map overlay -o where.png",
    ],
    "classify": ["vae classify photos/ --model NAME -o classes.csv"],
}


def command_help(summary: str, examples: Sequence[str]) -> str:
    """The help of a command: what it does, and examples."""
    lines = "\n".join(f"    {line}\n" for line in examples)
    return f"{summary}\n\nExamples:\n\n{lines}"
