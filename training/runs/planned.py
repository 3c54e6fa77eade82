"""What a run's length was planned from: the time that was asked for, and the recipe's own length.

runs/<name>/plan.json   of a run that `vae-lab train --minutes` planned; absent for others

The planned values are in recipe.toml. Here are the ones that they replaced, so that the command
that began the run also continues it.
"""

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from models.config import Config
from models.errors import ConfigError
from training.recipes.file import load_recipe
from training.recipes.recipe import Recipe
from training.recipes.text import read_text
from training.runs.folder import RECIPE, replace

PLAN = "plan.json"


class Planned(Config):
    """A plan's origin."""

    minutes: float
    """Time that the whole command was given."""
    expected_seconds: float
    """Time after which it was expected to end."""
    costs: dict[str, float]
    """Seconds of the run's parts, as timed before it began."""
    own: dict[str, Any]
    """The recipe's own entries of its table `training`, where the plan has others."""


def keep_planned(run_dir: Path, planned: Planned | None) -> None:
    """Write a plan's origin into a new run's folder, or remove that of a run that never began.

    Raises:
        RunError: The disk is full or cannot be written to.
    """
    if planned is None:
        (run_dir / PLAN).unlink(missing_ok=True)
    else:
        text = json.dumps(planned.model_dump(mode="json"), indent=2)
        replace(run_dir / PLAN, text.encode() + b"\n")


def read_planned(run_dir: Path, recipe: Recipe) -> tuple[Recipe, Planned] | None:
    """The recipe of a run that was planned, and the plan's origin.

    Args:
        run_dir: The run's folder.
        recipe: The recipe that the run is continued with: the one that was planned from, or the
            planned one, or one with the planned values of some entries.

    Returns:
        None where no plan was made, or from another recipe.

    Raises:
        ConfigError: The plan's file is damaged.
    """
    path = run_dir / PLAN
    if not path.is_file() or not (run_dir / RECIPE).is_file():
        return None
    try:
        planned = Planned.model_validate_json(read_text(path))
    except ValidationError as error:
        raise ConfigError(
            f"{path} is damaged. Restore it, or delete it and go on with the run's own recipe: "
            f"{run_dir / RECIPE}."
        ) from error
    stored = load_recipe(run_dir / RECIPE)
    given, held = recipe.model_dump(mode="json"), stored.model_dump(mode="json")
    for name, value in planned.own.items():
        if given["training"][name] == value:
            given["training"][name] = held["training"][name]
    return (stored, planned) if given == held else None


def change_training(recipe: Recipe, entries: dict[str, Any]) -> Recipe:
    """The recipe with other entries of its table `training`.

    Raises:
        ConfigError: They do not go with the rest.
    """
    values = recipe.model_dump(mode="json")
    values["training"] |= entries
    return Recipe.model_validate(values)
