"""The command `vae-lab sweep`: many trainings of a recipe with other values, and the best one."""

import json
import math
import time
from collections.abc import Mapping, Sequence
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
    Jobs,
    LimitMinutes,
    NumTrials,
    Overrides,
    SweepDir,
    SweepSeed,
    Tensorboard,
    Variations,
)
from training.commands.runs import refuse_run
from training.commands.tables import say, wide_console
from training.errors import RunError
from training.recipes.file import load_recipe
from training.recipes.find import find_recipe, load_dataset

if TYPE_CHECKING:
    from training.data.datasets import Dataset
    from training.recipes.recipe import Recipe
    from training.studies.sweep import TrialSettings
    from training.studies.sweep_outcomes import Outcome
    from training.studies.sweep_space import Sweep
    from training.studies.sweep_trials import Trials


def sweep(
    source: Annotated[
        str, typer.Argument(help="A recipe, or a data set that one is chosen for, as in train.")
    ],
    variations: Variations = None,
    overrides: Overrides = None,
    trials: NumTrials = 20,
    sweep_dir: SweepDir = None,
    seed: SweepSeed = None,
    prune: Annotated[
        bool, typer.Option(help="Stop trials whose bound falls behind that of the others.")
    ] = True,
    jobs: Jobs = 1,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with the sweep, as the same command does anyway."),
    ] = False,
    data_dir: DataDir = None,
    device: Device = "auto",
    limit_minutes: LimitMinutes = None,
    tensorboard: Tensorboard = True,
    download: Download = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the trials as JSON, and all else to stderr.")
    ] = False,
) -> None:
    """Train a recipe many times with other values, and write the recipe of the best trial.

    The same command goes on with a sweep that was ended, and joins one that another process runs.

    Example: vae-lab sweep digits --vary optimizer.learning_rate=1e-4..1e-2:log --trials 20
    """
    from training.runs.hardware import find_device
    from training.studies.sweep import TrialSettings
    from training.studies.sweep_outcomes import to_json
    from training.studies.sweep_space import Sweep, parse_space
    from training.studies.sweep_trials import Trials, database_errors

    started = time.monotonic()
    console = Console(stderr=as_json)
    changes = [*(overrides or []), *([] if seed is None else [f"seed={seed}"])]
    device = find_device(device)
    recipe, dataset = _read(
        source, changes, data_dir=data_dir, device=device, download=download, console=console
    )
    folder = sweep_dir or Path("runs") / f"{recipe.name}-sweep"
    plan = Sweep(folder, recipe, parse_space(variations or [], recipe))
    check_place(folder, flag="--sweep-dir", is_folder=True)
    deadline = math.inf if limit_minutes is None else started + limit_minutes * 60
    settings = TrialSettings(trials, data_dir, device, tensorboard)
    with database_errors(folder):
        found = Trials(plan, dataset_sha256=dataset.sha256, prunes=prune, console=console)
        _describe(found, trials, resume=resume, console=console)
        _train_trials(
            found, settings, dataset=dataset, jobs=jobs, deadline=deadline, console=console
        )
        outcomes, importances = found.outcomes(), found.importances()
    if as_json:
        typer.echo(json.dumps(to_json(plan, outcomes, importances), indent=2))
    _print_results(plan, outcomes, importances, console=console, with_table=not as_json)


def _read(
    source: str,
    changes: list[str],
    *,
    data_dir: Path | None,
    device: str,
    download: bool,
    console: Console,
) -> "tuple[Recipe, Dataset]":
    """The recipe that a word means, or that is chosen for a data set, and its data."""
    from training.recipes.asked import Asked
    from training.recipes.choose import choose_recipe, load_to_choose

    refuse_run(source)
    path = find_recipe(source, data_dir=data_dir)
    if path is None:
        asked = Asked(device=device)
        dataset = load_to_choose(
            source,
            overrides=changes,
            asked=asked,
            data_dir=data_dir,
            download=download,
            console=console,
        )
        recipe = choose_recipe(dataset, source=source, overrides=changes, asked=asked).recipe
    else:
        recipe = load_recipe(path, overrides=changes)
        dataset = load_dataset(recipe, data_dir=data_dir, download=download, console=console)
    if recipe.start is not None:
        raise ConfigError(
            f"start = {recipe.start!r}: the trials of a sweep start from random weights. Take a "
            "recipe without start.",
            parameter="start",
            received=recipe.start,
        )
    dataset.keep_levels(recipe.image)  # for all trials, whose processes find them
    return recipe, dataset


def _describe(trials: "Trials", limit: int, *, resume: bool, console: Console) -> None:
    """Say what varies, and how far the sweep is."""
    sweep, before = trials.sweep, trials.num_before
    if resume and not before:
        say(f"There is no sweep to go on with in {sweep.folder}; it begins now.", console)
    varied = "; ".join(map(str, sweep.space))
    say(f"Sweep in {sweep.folder}: {before} of {limit} trials begun. Varied: {varied}", console)


def _train_trials(
    trials: "Trials",
    settings: "TrialSettings",
    *,
    dataset: "Dataset",
    jobs: int,
    deadline: float,
    console: Console,
) -> None:
    """Train the trials that are left, in this process or in several, and say how each one ended."""
    from training.studies.sweep import run_trials
    from training.studies.sweep_outcomes import describe_outcome
    from training.studies.sweep_processes import run_processes

    def show(outcome: "Outcome") -> None:
        say(describe_outcome(outcome), console)

    try:
        if jobs > 1:
            run_processes(
                trials, settings, jobs=jobs, deadline=deadline, console=console, show=show
            )
        else:
            run_trials(
                trials, settings, dataset=dataset, deadline=deadline, console=console, show=show
            )
    except SystemExit:  # a signal between two trials
        typer.echo("Give the same command again to go on with the sweep.", err=True)
        raise


def _print_results(
    sweep: "Sweep",
    outcomes: Sequence["Outcome"],
    importances: Mapping[str, float],
    *,
    console: Console,
    with_table: bool,
) -> None:
    """Print the trials, the importances, and the best trial with what its bound is worth.

    Raises:
        RunError: Every trial has ended, and none is complete.
    """
    from training.studies.sweep_outcomes import count_states, describe_best, find_best, tabulate
    from training.studies.sweep_trials import BEST_RECIPE

    if with_table and outcomes:
        wide_console().print(tabulate(outcomes, sweep))
    if importances:
        shares = ", ".join(f"{key} {share:.2f}" for key, share in importances.items())
        complete = sum(outcome.state == "complete" for outcome in outcomes)
        say(f"Importances (PED-ANOVA over {complete} complete trials): {shares}.", console)
    best = find_best(outcomes)
    if best is not None:
        path = sweep.folder / BEST_RECIPE
        for line in describe_best(sweep, outcomes, best):
            say(line, console)
        say(f"Its recipe is {path}. Train it: vae-lab train {quote(str(path))}", console)
    elif outcomes and all(outcome.state in ("failed", "pruned") for outcome in outcomes):
        raise RunError(
            f"No trial is complete ({count_states(outcomes)}). The last one: {outcomes[-1].reason}"
        )
    else:
        say("No trial is complete yet. Give the same command again to go on.", console)
