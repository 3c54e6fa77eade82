"""The command `vae-lab`: its commands, of which the one that is asked for is imported.

Each command reads its arguments, calls one function of this package, and prints what it returns.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from itertools import zip_longest
from typing import Any

import typer

from models.command_line import (
    FAILED,
    Command,
    asked_command,
    make_program,
    say_failure,
)
from models.errors import VAEError
from models.files import explain_os_error, prepare_streams
from models.memory import keep_freed_memory
from training.errors import Interrupted


def _of(module: str, name: str) -> Callable[[], Any]:
    """Imports a command from a module of this folder."""
    return partial(_load, f"training.commands.{module}", name)


def _load(module: str, name: str) -> Any:
    return getattr(import_module(module), name)


COMMANDS = (
    Command(
        "train",
        "Train the model of a recipe, or a model chosen for a data set.",
        _of("train", "train"),
    ),
    Command(
        "sweep",
        "Train a recipe many times with other values, and write the recipe of the best trial.",
        _of("sweep", "sweep"),
    ),
    Command(
        "runs",
        "List the runs of a folder: state, epochs, best bound, and what was made of them.",
        _of("report", "runs"),
    ),
    Command(
        "report",
        "Write a run's page, report.html: curves, pictures, latents, scores, recipe and origin.",
        _of("report", "report"),
    ),
    Command(
        "compare",
        "Compare models by paired differences of their bounds on the same images and seed.",
        _of("scoring", "compare"),
    ),
    Command(
        "compare-runs",
        "Compare runs side by side: bounds with errors, sizes, time, and differences of recipes.",
        _of("scoring", "compare_runs"),
    ),
    Command(
        "evaluate",
        "Score the test split: ELBO, IWAE bounds, rate, distortion, reconstructions, embeddings.",
        _of("scoring", "evaluate"),
    ),
    Command(
        "export",
        "Export a run as a bundle that `vae serve` serves; evaluate it first if that is not done.",
        _of("scoring", "export"),
    ),
    Command(
        "import-diffusers",
        "Make a bundle of an AutoencoderKL that diffusers saved as safetensors.",
        _of("import_diffusers", "import_diffusers"),
    ),
    Command(
        "calibrate",
        "Write a bundle's next version, whose anomaly p-values are among your good pictures.",
        _of("anomaly", "calibrate"),
    ),
    Command(
        "illustrate",
        "Write a bundle's next version, with held-out pictures and a map of their latents.",
        _of("illustrate", "illustrate"),
    ),
    Command(
        "export-onnx",
        "Write a bundle's encoder and decoder as ONNX files, held against its stored outputs.",
        _of("other_runtimes", "export_onnx"),
    ),
    Command(
        "export-mlflow",
        "Write a bundle as an MLflow model, whose predict gives latents or ELBOs.",
        _of("other_runtimes", "export_mlflow"),
    ),
    Command(
        "push",
        "Add a bundle to a repository of the Hugging Face Hub, with a card that the Hub reads.",
        _of("hub", "push"),
    ),
    Command(
        "pull",
        "Get a bundle of the Hugging Face Hub, verify it, and put it into a model repository.",
        _of("hub", "pull"),
    ),
    Command(
        "ood",
        "Measure how well a bundle's anomaly scores tell odd pictures from good ones.",
        _of("anomaly", "ood"),
    ),
    Command(
        "batch",
        "Score, encode or sample many items into Parquet files, by many workers.",
        partial(_load, "deploy.batch.command", "batch"),
    ),
    Command(
        "datasets",
        "List the known data sets: shape, splits, licence, and whether their files are there.",
        _of("datasets", "app"),
    ),
    Command(
        "plot",
        "Draw figures of trained models (folders of runs or bundles), and print their numbers.",
        _of("plot", "app"),
    ),
)

_MLFLOW_NAMES = ("default", "databricks", "databricks-uc")
"""What `--mlflow` may name beside URIs with a colon."""


def make_app(asked: str | None = None) -> typer.Typer:
    """The command line; of the commands, the one that is asked for is imported, by default all."""
    return make_program(
        "vae-lab", "Train, evaluate and export variational autoencoders.", COMMANDS, asked
    )


def with_mlflow_uri(words: Sequence[str]) -> list[str]:
    """A command line whose `--mlflow` has a value: `default` unless a URI, with a colon, follows.

    Typer knows no option whose value may be left out.
    """
    found: list[str] = []
    for word, following in zip_longest(words, words[1:], fillvalue=""):
        found.append(word)
        if word == "--mlflow" and ":" not in following and following not in _MLFLOW_NAMES:
            found.append(_MLFLOW_NAMES[0])
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; an error of this project or of a file is one message and exit code 1.

    After a signal, the exit code is 128 plus its number.
    """
    prepare_streams()
    keep_freed_memory()
    words = with_mlflow_uri(sys.argv[1:] if arguments is None else arguments)
    try:
        make_app(asked_command(words))(args=words)
    except Interrupted as error:
        _stop(error, exit_code=error.exit_code)
    except VAEError as error:
        _stop(error, exit_code=FAILED)
    except OSError as error:
        _stop(explain_os_error(error), exit_code=FAILED)


def _stop(error: object, *, exit_code: int) -> None:
    """Print an error, and exit."""
    say_failure(str(error))
    sys.exit(exit_code)
