"""Claims of a run's folder: a folder holds one run, of one recipe, on one data set."""

import shlex
from collections.abc import Mapping, Sequence
from itertools import chain, count
from pathlib import Path

from models.errors import ConfigError
from training.recipes.file import load_recipe, to_toml
from training.recipes.recipe import Recipe
from training.runs.checkpoint import CHECKPOINT, PREVIOUS
from training.runs.folder import BEST, LOG, RECIPE, STATE, differing, read_state, replace
from training.runs.provenance import STARTS

_TRAINED = (CHECKPOINT, PREVIOUS, BEST, STATE, LOG)
"""Files that hold what a run has learnt."""


def is_begun(run_dir: Path) -> bool:
    """Whether a folder holds a run with something to lose: more than its recipe and its starts."""
    holds = any((run_dir / name).exists() for name in _TRAINED)
    return holds or ((run_dir / RECIPE).exists() and not (run_dir / STARTS).exists())


def create_or_verify(
    run_dir: Path,
    recipe: Recipe,
    *,
    resume: bool,
    comments: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Make the folder of a run, or verify that it holds this recipe's run.

    Args:
        run_dir: The folder; the recipe is written to it if no run has begun there.
        recipe: The resolved recipe.
        resume: Accept a folder that holds this recipe's run.
        comments: Lines for the recipe's tables, as `to_toml` takes them.

    Raises:
        ConfigError: The folder holds a run that is not to be resumed, or another recipe's.
    """
    path = run_dir / RECIPE
    if not resume:
        refuse_taken(run_dir, recipe.dataset.name)
    if not is_begun(run_dir):
        run_dir.mkdir(parents=True, exist_ok=True)
        replace(path, to_toml(recipe, comments=comments).encode())
        return
    if not path.exists():
        held = next(name for name in _TRAINED if (run_dir / name).exists())
        raise ConfigError(
            f"{run_dir} holds {held} of a run, but no {RECIPE}. Restore that file, or name another "
            f"folder: --run-dir {free_folder(run_dir)}",
            parameter="run_dir",
        )
    stored = load_recipe(path)
    if stored != recipe:
        raise _other_recipe(run_dir, stored, recipe)


def refuse_taken(run_dir: Path, dataset: str) -> None:
    """Refuse a folder that holds a run; the message names its data set if that is another one.

    Raises:
        ConfigError: A run has begun there.
    """
    if not is_begun(run_dir) or not (run_dir / RECIPE).exists():
        return
    other = load_recipe(run_dir / RECIPE).dataset.name
    if Path(other).resolve() != Path(dataset).resolve():
        raise other_data(run_dir, other, dataset)
    fix = f"--run-dir {shlex.quote(str(free_folder(run_dir)))}"
    raise ConfigError(
        f"There is a run in {run_dir} already. Add --resume to go on with it, or name another "
        f"folder: {fix}",
        parameter="run_dir",
        suggestion=fix,
    )


def other_data(run_dir: Path, held: str, received: str) -> ConfigError:
    """The error for a folder whose run is on another data set than the one that is named."""
    fix = f"--run-dir {shlex.quote(str(free_folder(run_dir)))}"
    return ConfigError(
        f"The run in {run_dir} is on the data set {held}, not on {received}. Name another folder "
        f"for {received}: {fix}",
        parameter="run_dir",
        received=received,
        allowed=[held],
        suggestion=fix,
    )


def free_folder(run_dir: Path) -> Path:
    """The first of run-2, run-3, ... that does not exist beside a run's folder."""
    path = run_dir.resolve() if run_dir.name in ("", "..") else run_dir
    paths = (path.with_name(f"{path.name}-{number}") for number in count(2))
    return next(path for path in paths if not path.exists())


def _other_recipe(run_dir: Path, stored: Recipe, recipe: Recipe) -> ConfigError:
    path, name = str(run_dir / RECIPE), run_dir.resolve().name
    changes = differing(stored.model_dump(mode="json"), recipe.model_dump(mode="json"))
    more = recipe.training.epochs - stored.training.epochs
    longer = ["--set", f"start={name}", "--set", f"training.epochs={more}"]
    start = train_command(path, longer, ["--run-dir", str(free_folder(run_dir))])
    again = train_command(path, ["--resume", "--run-dir", str(run_dir)])
    if more <= 0 or any(not change.startswith("training.") for change in changes):
        fix = f"Name another folder with --run-dir, or go on with its own recipe: {again}"
    elif read_state(run_dir).get("finished"):
        fix = f"Its length is fixed. Start a new run from its weights: {start}"
    else:
        fix = f"Its length is fixed. Finish it ({again}), and start a new run from its weights: "
        fix += start
    return ConfigError(
        f"The run in {run_dir} has other values of {', '.join(changes)}. {fix}",
        parameter="run_dir",
        received=changes,
    )


def train_command(path: str, *options: Sequence[str]) -> str:
    """The command that trains a recipe, as a shell takes it."""
    return shlex.join(["vae-lab", "train", path, *chain(*options)])
