"""The command `vae-lab`: train and sweep, list, show, score and export runs, show data.

Each command reads its arguments, calls one function of this package, and prints what it returns.
"""

import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from models.errors import ConfigError, VAEError, printable
from models.files import check_place, explain_os_error, prepare_streams
from training.commands import datasets, plot, sweep
from training.commands.options import (
    DataDir,
    Device,
    Download,
    ElboSamples,
    IwaeSamples,
    Mlflow,
    Seed,
    Subset,
    SubsetSamples,
    can_be_written,
    known_precision,
    positive_minutes,
    within,
)
from training.commands.report import renew_report, report, runs
from training.commands.runs import load_same_data, refuse_run, say_unfinished
from training.commands.tables import wide_console
from training.errors import Interrupted
from training.recipes.file import load_recipe
from training.recipes.find import find_recipe

if TYPE_CHECKING:
    from training.data.datasets import Dataset
    from training.evaluation.evaluate import EvaluationSettings
    from training.recipes.recipe import Recipe


app = typer.Typer(
    name="vae-lab",
    help="Train, evaluate and export variational autoencoders.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(datasets.app, name="datasets")
app.add_typer(plot.app, name="plot")
app.command()(sweep.sweep)
app.command()(runs)
app.command()(report)


@app.command()
def train(
    source: Annotated[
        str,
        typer.Argument(
            help="A recipe: its file, or the name of a shipped one. Or a data set: its name, or "
            "the path of a folder of pictures, an .npz or an .npy; a recipe is chosen for it."
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change one entry of the recipe, as in --set seed=2."),
    ] = None,
    run_dir: Annotated[
        Path | None,
        typer.Option(
            callback=can_be_written("--run-dir", is_folder=True),
            help="Folder of the run; runs/<name> otherwise.",
        ),
    ] = None,
    data_dir: DataDir = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue from the run's last checkpoint.")
    ] = False,
    device: Device = "auto",
    precision: Annotated[
        str | None,
        typer.Option(
            callback=known_precision,
            help="Number format: 32-true, bf16-mixed or 64-true; else the recipe's.",
        ),
    ] = None,
    labels_per_class: Annotated[
        int | None,
        typer.Option(
            callback=within("--labels-per-class", 0),
            help="Training labels kept of each class, for the objective m2; 0 for all.",
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            callback=positive_minutes,
            help="Plan a new run, by timing its first steps, that ends its schedule within so "
            "many minutes; its epochs are the recipe's at most.",
        ),
    ] = None,
    limit_minutes: Annotated[
        float | None,
        typer.Option(
            callback=within("--limit-minutes", 0),
            help="Write a checkpoint and stop after so many minutes, wherever the schedule is.",
        ),
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option(help="Write TensorBoard curves and pictures into the run's folder.")
    ] = True,
    mlflow: Mlflow = None,
    download: Download = False,
) -> None:
    """Train the model of a recipe, or a model chosen for a data set.

    Example: vae-lab train digits
    """
    started = time.monotonic()
    from training.commands.planning import continue_plan, make_plan
    from training.data.datasets import load
    from training.fit.mlflow import find_uri
    from training.fit.train import train as run_training
    from training.report.page import REPORT
    from training.runs.folder import BEST, RECIPE
    from training.runs.hardware import find_device

    changes = overrides or []
    flags = {"training.precision": precision, "dataset.labels_per_class": labels_per_class}
    changes += [f"{key}={value}" for key, value in flags.items() if value is not None]
    console, comments = Console(), None
    device = find_device(device)
    refuse_run(source)
    path, folder, dataset = _find(
        source, changes, run_dir=run_dir, resume=resume, data_dir=data_dir, console=console
    )
    if path is None:
        dataset = load(source, data_dir=data_dir, download=download, console=console)
        resolved, comments = _choose(dataset, source, changes, device=device, console=console)
    else:
        resolved = load_recipe(path, overrides=changes)
        if download and dataset is None:
            dataset = load(resolved.dataset.name, data_dir=data_dir, download=True, console=console)
    folder = folder or Path("runs") / resolved.name
    if resume and not (folder / RECIPE).is_file():
        typer.echo(f"There is no run to resume in {folder}; training starts at step 0.")
    check_place(folder, flag="--run-dir", is_folder=True)
    data, planned = None, None
    if resume:
        resolved, planned = continue_plan(resolved, folder, minutes=minutes, console=console)
    if minutes is not None and planned is None:
        made = make_plan(
            resolved,
            minutes=minutes,
            started=started,
            run_dir=folder,
            data_dir=data_dir,
            dataset=dataset,
            device=device,
            console=console,
            tensorboard=tensorboard,
        )
        resolved, data, planned = made.recipe, made.data, made.planned
        comments = comments or {}
        comments["training"] = [*comments.get("training", []), made.said]
    done = run_training(
        resolved,
        run_dir=folder,
        data_dir=data_dir,
        resume=resume,
        device=device,
        console=console,
        comments=comments,
        dataset=dataset,
        data=data,
        planned=planned,
        limit_seconds=math.inf if limit_minutes is None else limit_minutes * 60,
        tensorboard=tensorboard,
        mlflow=mlflow and find_uri(mlflow),
        report=True,
    )
    if done.stopped_because:
        typer.echo(f"The run is over: {done.stopped_because}.")
        if (report_file := folder / REPORT).is_file():
            typer.echo(f"The report is {report_file}.")
        typer.echo(f"The run is in {folder}. Next: vae-lab evaluate {quote(str(folder))}")
    else:
        typer.echo(f"The run in {folder} is at step {done.step}. Continue it with --resume.")
        if (folder / BEST).is_file():
            typer.echo(f"Its best weights so far: vae-lab export {quote(str(folder))}")


def _find(
    source: str,
    changes: list[str],
    *,
    run_dir: Path | None,
    resume: bool,
    data_dir: Path | None,
    console: Console,
) -> tuple[Path | None, Path | None, "Dataset | None"]:
    """The recipe's file (none for a data set that has none yet), the run's folder, and the data.

    Raises:
        ConfigError: The source is unknown, or the folder holds the run of other data.
    """
    from training.recipes.name import recipe_name
    from training.recipes.overrides import apply_overrides
    from training.runs.claim import is_begun, refuse_taken
    from training.runs.folder import RECIPE

    path = find_recipe(source, data_dir=data_dir)
    if path is not None:
        return path, run_dir, None
    name = apply_overrides({}, changes).get("name", recipe_name(source))
    folder = run_dir or Path("runs") / str(name)
    if resume and (folder / RECIPE).is_file() and is_begun(folder):
        dataset = load_same_data(source, folder, data_dir=data_dir, console=console)
        return folder / RECIPE, folder, dataset
    if not resume:
        refuse_taken(folder, source)
    return None, folder, None


def _choose(
    dataset: "Dataset", source: str, changes: list[str], *, device: str, console: Console
) -> tuple["Recipe", dict[str, list[str]]]:
    """Choose a recipe and print the reasons; returns both, the reasons as comments by table."""
    from training.recipes.choose import choose_recipe

    chosen = choose_recipe(dataset, source=source, overrides=changes, device=device)
    comments = {table: [str(reason) for reason in why] for table, why in chosen.reasons.items()}
    console.print(f"Recipe for the {dataset.statistics.count:,} training pictures of {source}:")
    for line in (line for lines in comments.values() for line in lines):
        console.print(f"- {line}", soft_wrap=True, markup=False, highlight=False)
    return chosen.recipe, comments


@app.command()
def compare_runs(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs.")],
) -> None:
    """Compare runs side by side: bounds with errors, sizes, time, and differences of recipes.

    Example: vae-lab compare-runs runs/digits runs/mnist
    """
    from training.evaluation.compare import compare_runs as compare

    wide_console().print(compare(runs))


@app.command()
def evaluate(
    source: Annotated[Path, typer.Argument(help="Folder of a run or of a bundle.")],
    data_dir: DataDir = None,
    device: Device = "auto",
    seed: Seed = 0,
    elbo_samples: ElboSamples = 100,
    iwae_samples: IwaeSamples = 100,
    subset: Subset = 1000,
    subset_samples: SubsetSamples = None,
) -> None:
    """Score the test split: ELBO, IWAE bounds, rate and distortion, with standard errors.

    Example: vae-lab evaluate runs/digits
    """
    from training.evaluation.table import format_evaluation
    from training.evaluation.trained import load_trained_model
    from training.runs.hardware import find_device

    console, device = Console(), find_device(device)
    say_unfinished(source)
    evaluation = load_trained_model(source, data_dir=data_dir).evaluate(
        settings=_settings(seed, elbo_samples, iwae_samples, subset, subset_samples),
        device=device,
        console=console,
    )
    console.print(format_evaluation(evaluation))
    renew_report(source)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    repository: Annotated[Path, typer.Option(help="Folder of <model>/<version> folders.")] = Path(
        "models/pretrained"
    ),
    name: Annotated[
        str | None, typer.Option(help="Name of the model; the recipe's otherwise.")
    ] = None,
    version: Annotated[
        str, typer.Option(help="Version: a number, or next for the highest plus one.")
    ] = ("next"),
    data_dir: DataDir = None,
    device: Device = "auto",
    seed: Seed = 0,
    elbo_samples: ElboSamples = 100,
    iwae_samples: IwaeSamples = 100,
    subset: Subset = 1000,
    subset_samples: SubsetSamples = None,
) -> None:
    """Export a run as a bundle that `vae serve` serves; evaluate it first if that is not done.

    Example: vae-lab export runs/digits --repository models/pretrained
    """
    from training.evaluation.stored import find_evaluation
    from training.evaluation.table import format_evaluation
    from training.export.export import export_run
    from training.runs.hardware import find_device

    console = Console()
    say_unfinished(run)
    settings = _settings(seed, elbo_samples, iwae_samples, subset, subset_samples)
    path = export_run(
        run,
        repository=repository,
        name=name,
        version=_version(version),
        data_dir=data_dir,
        settings=settings,
        device=find_device(device),
        console=console,
    )
    evaluation = find_evaluation(run, settings=settings)
    if evaluation is not None:
        console.print(format_evaluation(evaluation))
    renew_report(run)
    typer.echo(f"The bundle is {path}.")


def _version(version: str) -> int | None:
    if version == "next":
        return None
    if version.isascii() and version.isdigit() and int(version) > 0:
        return int(version)
    raise ConfigError(
        f"--version {version} is not allowed. Allowed: a positive number, or next. "
        "Take --version next.",
        parameter="version",
        received=version,
        suggestion="next",
    )


def _settings(
    seed: int, elbo_samples: int, iwae_samples: int, subset: int, subset_samples: list[int] | None
) -> "EvaluationSettings":
    from training.evaluation.evaluate import EvaluationSettings

    return EvaluationSettings(
        seed=seed,
        elbo_num_samples=elbo_samples,
        iwae_num_samples=iwae_samples,
        subset_num_images=subset,
        subset_num_samples=tuple(sorted(set(subset_samples or (1000, 5000)))),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; an error of this project or of a file is printed in one line.

    The exit code is 2 after such an error, and 128 plus the signal's number after a signal.
    """
    prepare_streams()
    try:
        app(args=arguments)
    except Interrupted as error:
        _stop(error, exit_code=error.exit_code)
    except VAEError as error:
        _stop(error, exit_code=2)
    except OSError as error:
        _stop(explain_os_error(error), exit_code=2)


def _stop(error: object, *, exit_code: int) -> None:
    """Print an error with control characters escaped, and exit."""
    lines = "\n".join(map(printable, str(error).split("\n")))
    typer.echo(f"vae-lab: {lines}", err=True)
    sys.exit(exit_code)
