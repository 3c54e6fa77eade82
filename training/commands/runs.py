"""Whose data a run's folder is on, and whether its run is done: what commands check and say."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from models.errors import ConfigError
from training.errors import DatasetError

if TYPE_CHECKING:
    from training.data.datasets import Dataset


def load_same_data(
    source: str, run_dir: Path, *, data_dir: Path | None, console: Console
) -> "Dataset | None":
    """Verify that a data set is the one that a run is on.

    Args:
        source: Name or path of the data set.
        run_dir: Folder of the run.
        data_dir: Folder of the data sets.
        console: Console that shows progress.

    Returns:
        The data set, where it was loaded: it is at another path, with the same content.

    Raises:
        ConfigError: The run is on other data.
        DatasetError: The data set cannot be read.
    """
    from training.data.datasets import load
    from training.recipes.file import load_recipe
    from training.runs.claim import other_data
    from training.runs.folder import RECIPE
    from training.runs.provenance import recorded_data

    chosen = load_recipe(run_dir / RECIPE).dataset
    held = chosen.name
    if held == source or _place(held, data_dir) == _place(source, data_dir):
        return None  # their content is compared when the checkpoint is restored
    recorded = recorded_data(run_dir)
    dataset = load(
        source, group_by=chosen.group_by, recorded=recorded, data_dir=data_dir, console=console
    )
    if dataset.sha256 != recorded:
        raise other_data(run_dir, held, source)
    console.print(
        f"{source} has the content of {held}, which the run in {run_dir} is on.",
        soft_wrap=True,
        markup=False,
        highlight=False,
    )
    return dataset


def _place(name: str, data_dir: Path | None) -> str | Path | None:
    """Where a data set is: its known name, or its path; None where it is not found."""
    from training.data.catalogue import DATASETS
    from training.data.datasets import find_path, resolve_data_dir

    if name in DATASETS:
        return name
    try:
        return find_path(name, resolve_data_dir(data_dir)).resolve()
    except DatasetError:
        return None


def refuse_run(source: str) -> None:
    """Refuse the folder of a run where a recipe or a data set is expected.

    Raises:
        ConfigError: It is a run's folder.
    """
    from training.runs.claim import train_command
    from training.runs.folder import RECIPE, is_run

    if is_run(Path(source)):
        fix = train_command(str(Path(source) / RECIPE), ["--resume", "--run-dir", source])
        raise ConfigError(
            f"{source} is the folder of a run. Go on with it: {fix}",
            parameter="source",
            received=source,
            suggestion=fix,
        )


def say_unfinished(*paths: Path) -> None:
    """Say on standard error which of some runs are still trained, or were interrupted.

    Raises:
        ConfigError: A run's state is damaged.
    """
    from training.runs.folder import is_run, read_state
    from training.runs.lock import find_trainer

    for path in filter(is_run, paths):
        trainer = find_trainer(path)
        if trainer is not None:
            why = f"is being trained by {trainer}"
        elif not read_state(path).get("finished", True):
            why = "is not finished"
        else:
            continue
        typer.echo(f"Note: the run {path} {why}. Its best weights up to now are read.", err=True)
