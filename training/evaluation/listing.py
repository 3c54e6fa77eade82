"""The runs of a folder with their state, progress and best bound.

It reads what the runs' folders hold, and loads no weights.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from models.errors import ConfigError
from training.errors import RunError
from training.evaluation.compare import name_validation_bound
from training.evaluation.stored import find_evaluation
from training.evaluation.table import ABSENT, format_with_error
from training.recipes.file import load_recipe
from training.recipes.recipe import Recipe
from training.runs.checkpoint import CHECKPOINT
from training.runs.end import read_end
from training.runs.exports import read_exports
from training.runs.folder import BEST, LOG, RECIPE, STATE, is_run, read_log, read_state
from training.runs.lock import find_trainer
from training.runs.provenance import read_starts

State = Literal["not started", "running", "interrupted", "finished", "diverged", "damaged"]
SortKey = Literal["newest", "name", "state", "bound", "seconds", "epochs", "data"]

_LIMIT = "the time of --limit-minutes had passed"
_KILLED = "no end is noted: its process was killed, or the machine stopped"


@dataclass(frozen=True)
class ListedRun:
    """A run in one line; what is not known is None."""

    name: str
    """Name of its folder."""
    path: str
    state: State
    why: str
    """Why it stopped, who trains it, or what is damaged."""
    started_at: str | None = None
    """The last start, in UTC."""
    epochs_done: int = 0
    """Up to the last validation."""
    epochs_planned: int | None = None
    best_epoch: int | None = None
    bound: str | None = None
    """Which bound validates it, such as `ELBO`."""
    best_validation_bound: float | None = None
    standard_error: float | None = None
    """Of that bound, over the validation images."""
    unit: str | None = None
    """Unit of the bound and of its error."""
    seconds: float | None = None
    """Training time of all starts, up to the last validation."""
    objective: str | None = None
    dataset: str | None = None
    evaluated: bool = False
    """Whether its best weights have test scores."""
    exported: tuple[str, ...] = ()
    """Folders of the bundles that hold its best weights."""


@dataclass(frozen=True)
class ShownRun:
    """A run as a table shows it."""

    run: str
    state: str
    epochs: str
    best_validation_bound: str
    unit: str
    time: str
    objective: str
    data: str
    evaluated: str
    exported: str
    why: str


def list_runs(folder: Path, *, sort: SortKey = "newest") -> list[ListedRun]:
    """The runs of a folder, or the run that the folder is.

    Args:
        folder: A folder of runs' folders; others in it are passed over.
        sort: What to sort by. `newest`, `bound`, `seconds` and `epochs` begin with the largest, and
            runs without one come last; the others are in the order of the alphabet.

    Raises:
        ConfigError: There is no such folder.
    """
    if is_run(folder):
        return [describe_run(folder)]
    if not folder.is_dir():
        raise ConfigError(
            f"There is no folder {folder}. Name a folder of runs, or train a first one: "
            "vae-lab train digits",
            parameter="folder",
            received=str(folder),
        )
    runs = [describe_run(path) for path in sorted(folder.iterdir()) if is_run(path)]
    key = _KEYS[sort]
    known = [run for run in runs if key(run) is not None]
    known.sort(key=key, reverse=sort not in ("name", "state", "data"))
    return known + [run for run in runs if key(run) is None]


_KEYS: dict[SortKey, Callable[[ListedRun], Any]] = {
    "newest": lambda run: run.started_at,
    "name": lambda run: run.name,
    "state": lambda run: run.state,
    "bound": lambda run: run.best_validation_bound,
    "seconds": lambda run: run.seconds,
    "epochs": lambda run: run.epochs_done,
    "data": lambda run: run.dataset,
}


def describe_run(path: Path) -> ListedRun:
    """A run by its folder; one whose files cannot be read is `damaged`."""
    run = ListedRun(name=path.resolve().name, path=str(path), state="damaged", why="")
    try:
        recipe, state, log = load_recipe(path / RECIPE), read_state(path), read_log(path)
        starts = read_starts(path)
        name, why = _find_state(path, state)
        return replace(
            run,
            state=name,
            why=why,
            started_at=starts[-1]["started_at"] if starts else state.get("created_at"),
            epochs_done=log[-1]["epoch"] if log else 0,
            epochs_planned=recipe.training.epochs,
            best_epoch=state.get("epochs") or None,
            bound=name_validation_bound(recipe.objective),
            best_validation_bound=state.get("best_validation_bound_nats"),
            standard_error=state.get("best_validation_standard_error_nats"),
            unit=name_unit(recipe),
            seconds=state.get("seconds"),
            objective=recipe.objective.kind,
            dataset=recipe.dataset.name,
            evaluated=find_evaluation(path) is not None,
            exported=_find_exports(path),
        )
    except (ConfigError, RunError, OSError, ValueError, KeyError, TypeError) as error:
        return replace(run, why=str(error))


def name_unit(recipe: Recipe) -> str:
    """The unit of a run's validation bound."""
    has_density = recipe.vae.posterior.kind != "point"
    return "nats per image" if has_density else "squared error per image"


def _find_state(path: Path, state: dict[str, Any]) -> tuple[State, str]:
    end = read_end(path) or {}
    why = end.get("why") or state.get("stopped_because", "")
    if state.get("finished"):
        has_learnt = state.get("best_validation_bound_nats") is not None
        return "finished" if has_learnt and not end.get("diverged") else "diverged", why
    if (trainer := find_trainer(path)) is not None:
        return "running", trainer
    if end:
        return "diverged" if end["diverged"] else "interrupted", why or _LIMIT
    if any((path / name).exists() for name in (LOG, STATE, CHECKPOINT)) or read_starts(path):
        return "interrupted", _KILLED
    return "not started", ""


def _find_exports(path: Path) -> tuple[str, ...]:
    best = path / BEST
    if not best.is_file():
        return ()
    digest = sha256(best.read_bytes()).hexdigest()
    return tuple(str(bundle) for bundle in read_exports(path, weights_sha256=digest))


def shown(runs: Sequence[ListedRun]) -> list[ShownRun]:
    """Runs as a table shows them."""
    return [_show(run) for run in runs]


def _show(run: ListedRun) -> ShownRun:
    bound = format_with_error(run.best_validation_bound, run.standard_error)
    planned = ABSENT if run.epochs_planned is None else f"{run.epochs_planned}"
    names = ("/".join(Path(bundle).parts[-2:]) for bundle in run.exported)
    return ShownRun(
        run=run.name,
        state=run.state,
        epochs=f"{run.epochs_done}/{planned}",
        best_validation_bound=f"{run.bound or ABSENT} {bound}" if bound != ABSENT else ABSENT,
        unit=run.unit or ABSENT,
        time=ABSENT if run.seconds is None else str(timedelta(seconds=round(run.seconds))),
        objective=run.objective or ABSENT,
        data=Path(run.dataset).name if run.dataset else ABSENT,
        evaluated="yes" if run.evaluated else "no",
        exported=", ".join(names) or "no",
        why=run.why,
    )
