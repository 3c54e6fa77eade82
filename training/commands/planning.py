"""Plans of `vae-lab train --minutes`: made for a new run, kept by one that is continued."""

from pathlib import Path
from typing import Any

from rich.console import Console

from models.errors import ConfigError
from training.commands.tables import say
from training.fit.budget import PlannedRun, plan_run
from training.recipes.recipe import Recipe
from training.runs.claim import free_folder, is_begun
from training.runs.planned import Planned, read_planned


def continue_plan(
    recipe: Recipe, run_dir: Path, *, minutes: float | None, console: Console
) -> tuple[Recipe, Planned | None]:
    """The recipe that a resumed run goes on with: the planned one, where it was planned.

    Raises:
        ConfigError: Minutes are given for a run that has begun without a plan.
    """
    kept = read_planned(run_dir, recipe)
    if kept is not None:
        found, planned = kept
        if minutes is not None:
            say(
                f"The run in {run_dir} keeps its plan for {planned.minutes:g} minutes, which ends "
                f"with epoch {found.training.epochs}: --minutes {minutes:g} changes nothing.",
                console,
            )
        return found, planned
    if minutes is not None and is_begun(run_dir):
        fix = f"--limit-minutes {minutes:g}"
        raise ConfigError(
            f"--minutes {minutes:g} plans new runs, and the length of the run in {run_dir} is "
            f"fixed. Go on with it for that time, by {fix}, or plan a run in another folder: "
            f"--run-dir {free_folder(run_dir)}",
            parameter="minutes",
            received=minutes,
            suggestion=fix,
        )
    return recipe, None


def make_plan(recipe: Recipe, *, console: Console, **options: Any) -> PlannedRun:
    """Plan a run as `plan_run` does, and say the plan."""
    made = plan_run(recipe, console=console, **options)
    say(made.said, console)
    return made
