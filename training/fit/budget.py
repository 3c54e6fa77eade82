"""A run's length by the time that it may take: as many of its recipe's epochs as fit.

What a recipe states in epochs or steps keeps its share of the run: the warm-up of the KL, the
epochs between validations, the steps that the averaged weights average over. The schedule of the
learning rate, cycles and augmentation are shares of the run already.
"""

import math
import time
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from training.data.datasets import Dataset
from training.fit.batches import Data, load_data
from training.fit.rehearsal import Costs, rehearse
from training.recipes.recipe import CLASSICAL_KINDS, Recipe
from training.runs.claim import refuse_taken
from training.runs.folder import check_writable, differing
from training.runs.planned import Planned, change_training

MARGIN = 0.1
"""Share of the time that is left free, for steps that take longer than those that were timed."""
_PROCESS_SECONDS = 2.0
"""Time of the process before the command's clock starts, and after it stops: imports, mostly."""
_VALIDATION_SHARE = 0.1
"""Largest share of the time for validations; there is always one."""
_MANY = 10
"""Number of epochs from which on a plan has whole ones: rounding then loses a tenth at most."""


@dataclass(frozen=True)
class PlannedRun:
    """A run as it is planned, with the data that were read for it."""

    recipe: Recipe
    """The recipe with the planned length."""
    data: Data
    planned: Planned
    said: str
    """The plan in a line."""


def plan_run(
    recipe: Recipe,
    *,
    minutes: float,
    started: float,
    run_dir: Path,
    data_dir: Path | None = None,
    dataset: Dataset | None = None,
    device: str = "auto",
    console: Console | None = None,
    tensorboard: bool = True,
) -> PlannedRun:
    """Read the data, time the parts of the run, and plan its length.

    Args:
        recipe: The recipe.
        minutes: Time for the whole command.
        started: When the command started, on the monotonic clock, in seconds.
        run_dir: Folder of the run to come.
        data_dir: Folder of the data sets.
        dataset: The recipe's data set, if it is loaded already.
        device: "auto", "cpu", "cuda", "mps".
        console: Console that shows progress.
        tensorboard: Whether the run writes TensorBoard files.

    Raises:
        ConfigError: The folder holds a run, or the recipe does not go with its data.
        DatasetError: Files of the data set are missing or damaged.
        RunError: The disk is full, or the memory is too small.
    """
    check_writable(run_dir)
    refuse_taken(run_dir, recipe.dataset.name)
    data = load_data(recipe, data_dir, console or Console(), dataset=dataset)
    if recipe.objective.kind in CLASSICAL_KINDS:
        said = f"Plan for {_plural(minutes, 'minute')}: {recipe.objective.kind} is fitted at once."
        planned = Planned(minutes=minutes, expected_seconds=0.0, costs={}, own={})
        return PlannedRun(recipe, data, planned, said)
    seconds = 60 * minutes
    costs = rehearse(
        recipe, data, run_dir=run_dir, device=device, seconds=seconds, tensorboard=tensorboard
    )
    torch.cuda.empty_cache()  # the run finds as much room for its data as without a rehearsal
    spent = time.monotonic() - started + _PROCESS_SECONDS
    found = fit_to_time(recipe, costs, seconds=seconds - spent)
    expected = spent + run_seconds(found, costs)
    names = differing(recipe.training.model_dump(), found.training.model_dump())
    own: dict[str, Any] = {name: getattr(recipe.training, name) for name in names}
    return PlannedRun(
        recipe=found,
        data=data,
        planned=Planned(
            minutes=minutes,
            expected_seconds=round(expected, 1),
            costs={name: round(value, 6) for name, value in asdict(costs).items()},
            own=own,
        ),
        said=describe_plan(recipe, found, costs, minutes=minutes, expected_seconds=expected),
    )


def fit_to_time(recipe: Recipe, costs: Costs, *, seconds: float) -> Recipe:
    """The recipe, shortened so that its run ends in time; as it is, where it ends in time anyway.

    Args:
        recipe: The recipe.
        costs: What the parts of its run take.
        seconds: Time that is left for the run, from its start to its report.
    """
    room = (1 - MARGIN) * seconds - costs.start - costs.end
    steps, validations = _count(recipe, costs)
    if steps * costs.step + validations * costs.validation <= room:
        return recipe
    affordable = int(_VALIDATION_SHARE * max(room, 0) / max(costs.validation, 1e-9))
    validations = min(validations, max(1, affordable))
    left = room - validations * costs.validation
    steps = max(1, min(steps, int(max(left, 0) / max(costs.step, 1e-9))))
    whole = steps // costs.steps_per_epoch
    if whole >= _MANY:
        steps = whole * costs.steps_per_epoch
    return shorten(recipe, costs, steps=steps, validations=validations)


def shorten(recipe: Recipe, costs: Costs, *, steps: int, validations: int) -> Recipe:
    """The recipe at another length, with all that depends on it in proportion.

    Args:
        recipe: The recipe.
        costs: They know the steps of an epoch.
        steps: Steps of the run.
        validations: The most validations; the last one ends the run.
    """
    own, per_epoch = recipe.training, costs.steps_per_epoch
    share = steps / _count(recipe, costs)[0]
    epochs = math.ceil(steps / per_epoch)
    warmup = min(share * own.kl_warmup_epochs, steps / per_epoch / own.kl_cycles)
    return change_training(
        recipe,
        {
            "epochs": epochs,
            "max_steps": steps if steps < epochs * per_epoch else 0,
            "kl_warmup_epochs": math.floor(warmup * 1e4) / 1e4,
            "ema_decay": round(max(0.0, 1 - (1 - own.ema_decay) / share), 6),
            "validate_every_epochs": math.ceil(epochs / validations),
        },
    )


def run_seconds(recipe: Recipe, costs: Costs) -> float:
    """Seconds of a run from its start to its report."""
    steps, validations = _count(recipe, costs)
    return costs.start + steps * costs.step + validations * costs.validation + costs.end


def describe_plan(
    own: Recipe, found: Recipe, costs: Costs, *, minutes: float, expected_seconds: float
) -> str:
    """A plan in a line.

    Args:
        own: The recipe that was planned from.
        found: The recipe as planned.
        costs: What the parts of the run take.
        minutes: Time that the command was given.
        expected_seconds: Time after which it is expected to end.
    """
    whole, ends = _epochs(own, costs), timedelta(seconds=round(expected_seconds))
    steps, validations = _count(found, costs)
    begin = f"Plan for {_plural(minutes, 'minute')}: "
    if found == own:
        return f"{begin}all {whole} of the recipe, which end after about {ends}."
    length = f"{_number(steps / costs.steps_per_epoch)} of the recipe's {whole}"
    if found.training.max_steps:
        length = f"{_plural(steps, 'step')}, {length}"
    warmup = found.training.kl_warmup_epochs
    parts = [f"{_number(warmup)} of KL warm-up"] if warmup else []
    parts.append(_plural(validations, "validation"))
    said = f"{begin}{length}, {', '.join(parts)}, to end after about {ends}"
    if expected_seconds > 60 * minutes:
        return f"{said}. That is too short a time: a step, a validation and a report take longer."
    return f"{said} ({costs.step:.2g} s a step, {costs.validation:.2g} s a validation)."


def _count(recipe: Recipe, costs: Costs) -> tuple[int, int]:
    """Steps and validations of a recipe's run."""
    settings = recipe.training
    steps = settings.epochs * costs.steps_per_epoch
    steps = min(steps, settings.max_steps or steps)
    return steps, math.ceil(steps / (settings.validate_every_epochs * costs.steps_per_epoch))


def _epochs(recipe: Recipe, costs: Costs) -> str:
    return _plural(_count(recipe, costs)[0] / costs.steps_per_epoch, "epoch")


def _plural(count: int | float, noun: str) -> str:
    return f"{_number(count)} {noun}{'' if count == 1 else 's'}"


def _number(value: int | float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
