"""The command `vae-lab train`: find or choose a recipe, plan it, train it, say what comes next."""

import json
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from models.errors import ConfigError
from models.files import check_place
from training.commands.options import (
    DataDir,
    Device,
    Download,
    GroupBy,
    LabelsPerClass,
    LimitMinutes,
    Minutes,
    Mlflow,
    NoLabels,
    Overrides,
    Purposes,
    RecipePrecision,
    ResumeRun,
    RunDir,
    Size,
    Tensorboard,
)
from training.commands.runs import load_same_data, refuse_run
from training.commands.tables import say
from training.recipes.asked import Asked, known_purpose

if TYPE_CHECKING:
    from training.data.datasets import Dataset
    from training.fit.ranks import Ranks
    from training.recipes.recipe import Recipe
    from training.runs.folder import Progressed


@dataclass(frozen=True)
class _Start:
    """How one start of a run is made; none of it changes what is trained."""

    run_dir: Path | None
    data_dir: Path | None
    resume: bool
    download: bool
    tensorboard: bool
    mlflow: str | None
    limit_seconds: float
    begun: float
    """When the command began, on the monotonic clock, in seconds."""


def train(
    source: Annotated[
        str,
        typer.Argument(
            help="A recipe: its file, or the name of a shipped one. Or a data set: its name, or "
            "a path (folder, .npz, .npy, .tar, .parquet); a recipe is chosen for it."
        ),
    ],
    overrides: Overrides = None,
    run_dir: RunDir = None,
    data_dir: DataDir = None,
    group_by: GroupBy = None,
    resume: ResumeRun = False,
    device: Device = "auto",
    precision: RecipePrecision = None,
    labels_per_class: LabelsPerClass = None,
    no_labels: NoLabels = False,
    purpose: Purposes = None,
    size: Size = None,
    minutes: Minutes = None,
    limit_minutes: LimitMinutes = None,
    tensorboard: Tensorboard = True,
    mlflow: Mlflow = None,
    download: Download = False,
) -> None:
    """Train the model of a recipe, or a model chosen for a data set.

    Example: vae-lab train digits
    """
    begun = time.monotonic()
    from training.fit.ranks import join
    from training.runs.hardware import find_device

    changes = overrides or []
    flags = {
        "training.precision": precision,
        "dataset.labels_per_class": labels_per_class,
        "dataset.group_by": group_by and json.dumps(group_by),
        "vae.num_labels": 0 if no_labels else None,
    }
    changes += [f"{key}={value}" for key, value in flags.items() if value is not None]
    asked = Asked(known_purpose(purpose) if purpose else None, size, minutes)
    start = _Start(
        run_dir=run_dir,
        data_dir=data_dir,
        resume=resume,
        download=download,
        tensorboard=tensorboard,
        mlflow=mlflow,
        limit_seconds=math.inf if limit_minutes is None else limit_minutes * 60,
        begun=begun,
    )
    with join(device) as (ranks, own_device):
        _train(source, changes, replace(asked, device=find_device(own_device)), start, ranks=ranks)


def _train(source: str, changes: list[str], asked: Asked, start: _Start, *, ranks: "Ranks") -> None:
    """Train as one of the processes of a run; the first one alone prints."""
    from training.commands.planning import continue_plan, make_plan
    from training.fit.mlflow import DEFAULT, find_uri, without_password
    from training.fit.train import train as run_training
    from training.runs.folder import RECIPE

    console, device, minutes = Console(quiet=not ranks.is_first), asked.device, asked.minutes
    refuse_run(source)
    with ranks.first_before_others():  # who find what it downloads and decodes
        resolved, folder, dataset, comments = _resolve(
            source, changes, asked, start, console=console
        )
    if start.resume and not (folder / RECIPE).is_file():
        say(f"There is no run to resume in {folder}; training starts at step 0.", console)
    check_place(folder, flag="--run-dir", is_folder=True)
    mlflow = start.mlflow and find_uri(start.mlflow)
    if start.mlflow == DEFAULT:
        say(f"MLflow's log is at {without_password(str(mlflow))}.", console)
    data, planned = None, None
    if start.resume:
        resolved, planned = continue_plan(resolved, folder, minutes=minutes, console=console)
    if minutes is not None and planned is None:
        ranks.refuse_several(
            f"--minutes {minutes:g} plans what is trained",
            "Set training.epochs, or take --limit-minutes.",
            parameter="minutes",
        )
        made = make_plan(
            resolved,
            minutes=minutes,
            started=start.begun,
            run_dir=folder,
            data_dir=start.data_dir,
            dataset=dataset,
            device=device,
            console=console,
            tensorboard=start.tensorboard,
        )
        resolved, data, planned = made.recipe, made.data, made.planned
        comments["training"] = [*comments.get("training", []), made.said]
    done = run_training(
        resolved,
        run_dir=folder,
        data_dir=start.data_dir,
        resume=start.resume,
        device=device,
        console=console,
        comments=comments,
        dataset=dataset,
        data=data,
        planned=planned,
        limit_seconds=start.limit_seconds,
        tensorboard=start.tensorboard,
        mlflow=mlflow,
        report=True,
        ranks=ranks,
    )
    _say_what_next(done, folder, console)


def _say_what_next(done: "Progressed", folder: Path, console: Console) -> None:
    from training.report.page import REPORT
    from training.runs.folder import BEST

    if done.stopped_because:
        say(f"The run is over: {done.stopped_because}.", console)
        if (report_file := folder / REPORT).is_file():
            say(f"The report is {report_file}.", console)
        say(f"The run is in {folder}. Next: vae-lab evaluate {quote(str(folder))}", console)
    else:
        say(f"The run in {folder} is at step {done.step}. Continue it with --resume.", console)
        if (folder / BEST).is_file():
            say(f"Its best weights so far: vae-lab export {quote(str(folder))}", console)


def _resolve(
    source: str, changes: list[str], asked: Asked, start: _Start, *, console: Console
) -> tuple["Recipe", Path, "Dataset | None", dict[str, list[str]]]:
    """The recipe, the run's folder, the data if they are loaded, and the recipe's comments."""
    from training.recipes.choose import load_to_choose
    from training.recipes.file import load_recipe
    from training.recipes.find import load_dataset
    from training.runs.folder import RECIPE

    path, folder, dataset = _find(source, changes, start, console=console)
    comments: dict[str, list[str]] = {}
    if path is None:
        dataset = load_to_choose(
            source,
            overrides=changes,
            asked=asked,
            data_dir=start.data_dir,
            download=start.download,
            console=console,
        )
        recipe, comments = _choose(dataset, source, changes, asked, console=console)
    else:
        is_run = start.resume and folder is not None and path == folder / RECIPE
        _say_unused(asked, source, path, is_run=is_run, console=console)
        recipe = load_recipe(path, overrides=changes)
        if start.download and dataset is None:
            dataset = load_dataset(recipe, data_dir=start.data_dir, download=True, console=console)
    return recipe, folder or Path("runs") / recipe.name, dataset, comments


def _say_unused(asked: Asked, source: str, path: Path, *, is_run: bool, console: Console) -> None:
    """Say that a run that goes on keeps its recipe.

    Raises:
        ConfigError: There is a recipe: nothing is chosen.
    """
    given = {"--for": asked.purpose, "--size": asked.size}
    flag = next((f"{flag} {value}" for flag, value in given.items() if value), None)
    if flag is None:
        return
    if is_run:
        say(f"The run in {path.parent} keeps its recipe: {flag} changes nothing.", console)
        return
    raise ConfigError(
        f"{flag} is for data that a recipe is chosen for, and {source} is a recipe. Give a data "
        "set, or change the recipe's entries, as in --set image.height=64 --set image.width=64.",
        parameter=flag.split()[0].removeprefix("--"),
        received=source,
    )


def _find(
    source: str, changes: list[str], start: _Start, *, console: Console
) -> tuple[Path | None, Path | None, "Dataset | None"]:
    """The recipe's file (none for a data set that has none yet), the run's folder, and the data.

    Raises:
        ConfigError: The source is unknown, or the folder holds the run of other data.
    """
    from training.data.catalogue import DATASETS
    from training.recipes.find import find_recipe
    from training.recipes.name import recipe_name
    from training.recipes.overrides import apply_overrides
    from training.runs.claim import is_begun, refuse_taken
    from training.runs.folder import RECIPE

    path = find_recipe(source, data_dir=start.data_dir)
    if Path(source).is_dir() and (path is not None or source in DATASETS):
        kind = "data set" if path is None else "shipped recipe"
        say(f"{source} is a {kind}. For the folder of that name, write ./{source}", console)
    if path is not None:
        return path, start.run_dir, None
    name = apply_overrides({}, changes).get("name", recipe_name(source))
    folder = start.run_dir or Path("runs") / str(name)
    if start.resume and (folder / RECIPE).is_file() and is_begun(folder):
        dataset = load_same_data(source, folder, data_dir=start.data_dir, console=console)
        return folder / RECIPE, folder, dataset
    if not start.resume:
        refuse_taken(folder, source)
    return None, folder, None


def _choose(
    dataset: "Dataset", source: str, changes: list[str], asked: Asked, *, console: Console
) -> tuple["Recipe", dict[str, list[str]]]:
    """Choose a recipe and print the reasons; returns both, the reasons as comments by table."""
    from training.recipes.choose import choose_recipe

    chosen = choose_recipe(dataset, source=source, overrides=changes, asked=asked)
    comments = {table: [str(reason) for reason in why] for table, why in chosen.reasons.items()}
    console.print(f"Recipe for the {dataset.statistics.count:,} training pictures of {source}:")
    for line in (line for lines in comments.values() for line in lines):
        say(f"- {line}", console)
    return chosen.recipe, comments
