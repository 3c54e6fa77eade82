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
from models.noise import MAX_SEED
from training.commands.options import (
    DataDir,
    Device,
    Download,
    can_be_written,
    within,
)
from training.commands.runs import refuse_run
from training.commands.tables import wide_console
from training.errors import RunError
from training.recipes.file import load_recipe
from training.recipes.find import find_recipe, load_dataset

if TYPE_CHECKING:
    from training.data.datasets import Dataset
    from training.recipes.recipe import Recipe
    from training.studies.sweep_outcomes import Outcome
    from training.studies.sweep_space import Sweep
    from training.studies.sweep_trials import Trials


def sweep(
    source: Annotated[
        str, typer.Argument(help="A recipe, or a data set that one is chosen for, as in train.")
    ],
    variations: Annotated[
        list[str] | None,
        typer.Option(
            "--vary",
            help="An entry of the recipe and its range or its values: KEY=LOW..HIGH, "
            "KEY=LOW..HIGH:log or KEY=A,B,C. May be repeated.",
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change one entry of the recipe for all trials."),
    ] = None,
    trials: Annotated[
        int,
        typer.Option(
            callback=within("--trials", 1),
            help="Trials of the whole sweep, those of former starts included.",
        ),
    ] = 20,
    sweep_dir: Annotated[
        Path | None,
        typer.Option(
            callback=can_be_written("--sweep-dir", is_folder=True),
            help="Folder of the sweep; runs/<name>-sweep otherwise.",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            callback=within("--seed", 0, MAX_SEED),
            help="Seed of the draws and of the trials' seeds; else the recipe's.",
        ),
    ] = None,
    prune: Annotated[
        bool, typer.Option(help="Stop trials whose bound falls behind that of the others.")
    ] = True,
    jobs: Annotated[
        int,
        typer.Option(callback=within("--jobs", 1), help="Processes, which divide the CPU threads."),
    ] = 1,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with the sweep, as the same command does anyway."),
    ] = False,
    data_dir: DataDir = None,
    device: Device = "auto",
    limit_minutes: Annotated[
        float | None,
        typer.Option(
            callback=within("--limit-minutes", 0),
            help="Write checkpoints and stop after so many minutes.",
        ),
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option(help="Write TensorBoard curves and pictures into the trials' folders.")
    ] = True,
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
    from training.studies.sweep import TrialSettings, run_trials
    from training.studies.sweep_outcomes import describe_outcome, to_json
    from training.studies.sweep_processes import run_processes
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

        def show(outcome: "Outcome") -> None:
            _say(console, describe_outcome(outcome))

        try:
            if jobs > 1:
                run_processes(
                    found, settings, jobs=jobs, deadline=deadline, console=console, show=show
                )
            else:
                run_trials(
                    found,
                    settings,
                    dataset=dataset,
                    deadline=deadline,
                    console=console,
                    show=show,
                )
        except SystemExit:  # a signal between two trials
            typer.echo("Give the same command again to go on with the sweep.", err=True)
            raise
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
    from training.data.datasets import load
    from training.recipes.asked import Asked
    from training.recipes.choose import choose_recipe
    from training.recipes.overrides import asked_groups

    refuse_run(source)
    path = find_recipe(source, data_dir=data_dir)
    if path is None:
        dataset = load(
            source,
            group_by=asked_groups(changes),
            data_dir=data_dir,
            download=download,
            console=console,
        )
        asked = Asked(device=device)
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
    return recipe, dataset


def _describe(trials: "Trials", limit: int, *, resume: bool, console: Console) -> None:
    """Say what varies, and how far the sweep is."""
    sweep, before = trials.sweep, trials.num_before
    if resume and not before:
        _say(console, f"There is no sweep to go on with in {sweep.folder}; it begins now.")
    varied = "; ".join(map(str, sweep.space))
    _say(console, f"Sweep in {sweep.folder}: {before} of {limit} trials begun. Varied: {varied}")


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
        _say(console, f"Importances (PED-ANOVA over {complete} complete trials): {shares}.")
    best = find_best(outcomes)
    if best is not None:
        path = sweep.folder / BEST_RECIPE
        for line in describe_best(sweep, outcomes, best):
            _say(console, line)
        _say(console, f"Its recipe is {path}. Train it: vae-lab train {quote(str(path))}")
    elif outcomes and all(outcome.state in ("failed", "pruned") for outcome in outcomes):
        raise RunError(
            f"No trial is complete ({count_states(outcomes)}). The last one: {outcomes[-1].reason}"
        )
    else:
        _say(console, "No trial is complete yet. Give the same command again to go on.")


def _say(console: Console, line: str) -> None:
    console.print(line, soft_wrap=True, markup=False, highlight=False)
