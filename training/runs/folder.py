"""A run's folder: recipe, checkpoint, best weights, state and log.

    runs/<name>/recipe.toml       the resolved recipe, with every override and default
                plan.json         what --minutes planned the length from (`planned.py`)
                starts.jsonl      one line per start: command, versions, hardware (`provenance.py`)
                lock.json         the process that trains it (`lock.py`)
                checkpoint.pt     everything that a resumed run needs (`checkpoint.py`)
                best.safetensors  averaged weights of the best validation (`training.keep`)
                state.json        how far it came, on what, with what
                log.jsonl         one line per validation
                tensorboard/      the same numbers as curves, and pictures (`fit/tensorboard.py`)
                pictures/         samples and reconstructions of some epochs (`report/album.py`)
                end.json          how the last start ended (`end.py`)
                report.html       all of this as a page (`report/page.py`)
                evaluation.json   test scores of the best weights (`evaluation/stored.py`)
                exports.jsonl     one line per bundle that holds the weights (`exports.py`)
                mlflow.json       the run's ids at MLflow (`fit/mlflow.py`)

Files are replaced in one step: a run killed at any moment leaves the old file or the new one.
"""

import json
import math
import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from safetensors.torch import save as save_tensors

from models import __version__
from models.errors import ConfigError
from models.vae.model import VAE
from training.errors import RunError
from training.recipes.file import load_recipe
from training.recipes.recipe import Recipe
from training.recipes.text import read_text
from training.runs.hardware import hardware

RECIPE, BEST, STATE, LOG = "recipe.toml", "best.safetensors", "state.json", "log.jsonl"


@dataclass
class Progressed:
    """How far a run has come; all of it is in the checkpoint."""

    step: int = 0
    bound_nats: float = -math.inf
    """Bound that the objective maximises, at the last validation."""
    bound_error_nats: float = math.inf
    """Standard error of `bound_nats` over the images."""
    label_accuracy: float | None = None
    """Share of validation images whose label the classifier names; None without a classifier."""
    best_bound_nats: float = -math.inf
    """That of the best weights, as the next three are; the largest, unless accuracy decides."""
    best_error_nats: float = math.inf
    best_label_accuracy: float | None = None
    best_epoch: int = 0
    stale_validations: int = 0
    """Validations since the best one."""
    falls: int = 0
    """Validations in a row that were worse than the one before."""
    skipped_steps: int = 0
    """Steps that changed nothing, since their gradient was not finite."""
    skipped_in_a_row: int = 0
    stopped_because: str = ""
    """Why the run is over; empty while it is not."""
    seconds: float = 0.0
    """Training time of all starts of the run, and of the run whose weights it starts from."""


@dataclass(frozen=True)
class Run:
    """A run as its folder describes it: with weights, finished or not."""

    path: Path
    recipe: Recipe
    """Resolved: with every override and default written out."""
    state: dict[str, Any]
    """What `write_state` wrote."""


def is_run(path: Path) -> bool:
    """Whether a folder holds a run, with weights or without."""
    return (path / RECIPE).is_file()


def read_run(path: Path) -> Run:
    """Read a run's recipe and state.

    Raises:
        ConfigError: There is no run, or it has no weights yet.
    """
    if not is_run(path):
        raise ConfigError(
            f"There is no run at {path}: it has no {RECIPE}. Name a folder that vae-lab train "
            "made, such as runs/digits."
        )
    if missing := [name for name in (STATE, BEST) if not (path / name).is_file()]:
        state = read_state(path)
        if state.get("finished") and state.get("best_validation_bound_nats") is None:
            raise ConfigError(
                f"The run {path} has no weights: training diverged before a validation. Train "
                "again with a lower optimizer.learning_rate, in another folder."
            )
        raise ConfigError(
            f"The run {path} has no weights yet: it lacks {' and '.join(missing)}. Train it to its "
            "first validation."
        )
    return Run(path, load_recipe(path / RECIPE), read_state(path))


def read_state(run_dir: Path) -> dict[str, Any]:
    """What `write_state` wrote; nothing before the first validation.

    Raises:
        ConfigError: The file is damaged.
    """
    path = run_dir / STATE
    text = read_text(path) if path.exists() else "{}"
    try:
        state = json.loads(text)
        if not isinstance(state, dict):
            raise ValueError("it holds no table")
    except ValueError as error:
        raise ConfigError(
            f"{path} is damaged: {error}. Restore it, or train again in another folder."
        ) from error
    return state


def differing(one: Any, other: Any, name: str = "") -> list[str]:
    """Dotted names of the entries that two recipes do not share."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return [] if one == other else [name]
    keys = dict.fromkeys([*one, *other])
    pairs = ((key, one.get(key), other.get(key)) for key in keys)
    return [found for key, a, b in pairs for found in differing(a, b, f"{name}.{key}".strip("."))]


@dataclass(frozen=True)
class Started:
    """What a run takes over from the finished one that it starts from."""

    seconds: float
    """Time that the run was trained for."""
    has_prior: bool
    """Whether the weights of the prior are the run's; else they are to be started anew."""


def start_from(run_dir: Path, vae: VAE) -> Started:
    """Load the best weights of a finished run into a model of the same config.

    The prior may be another one where the new one is a mixture, whose weights stay as they are.

    Raises:
        ConfigError: There is no such run, it is not finished, or its model is another one.
    """
    if not is_run(run_dir):
        raise ConfigError(
            f"There is no run {run_dir} to start from. Train it first: vae-lab train "
            f"{run_dir.name} --run-dir {run_dir}",
            parameter="start",
            received=run_dir.name,
        )
    run = read_run(run_dir)
    if not run.state["finished"]:
        raise ConfigError(
            f"The run {run_dir} to start from is not finished. Train it to its end: vae-lab train "
            f"{run_dir / RECIPE} --resume --run-dir {run_dir}",
            parameter="start",
            received=run_dir.name,
        )
    has_prior = run.recipe.vae.prior == vae.config.prior
    changed = differing(run.recipe.vae.model_dump(), vae.config.model_dump(), "vae")
    if vae.config.prior.kind == "mixture":
        changed = [name for name in changed if not name.startswith("vae.prior")]
    if changed:
        raise ConfigError(
            f"The run {run_dir} to start from has other values of {', '.join(changed)}. Make them "
            "equal, or start from another run.",
            parameter="start",
            received=run_dir.name,
        )
    weights = load_file(run_dir / BEST)
    if not has_prior:
        weights = {name: w for name, w in weights.items() if not name.startswith("_prior.")}
    own = {} if has_prior else vae.prior_module.state_dict(prefix="_prior.")
    vae.load_state_dict(weights | own)
    return Started(float(run.state["seconds"]), has_prior)


def save_best(run_dir: Path, vae: VAE) -> None:
    """Write the weights as float32 safetensors."""
    weights = {k: v.detach().float().cpu().contiguous() for k, v in vae.state_dict().items()}
    replace(run_dir / BEST, save_tensors(weights))


def write_state(
    run_dir: Path,
    recipe: Recipe,
    done: Progressed,
    *,
    dataset_sha256: str,
    device: torch.device,
) -> None:
    """Write state.json: how the run ended, and the provenance that an export states."""
    state = {
        "finished": done.stopped_because != "",
        "stopped_because": done.stopped_because,
        "epochs": done.best_epoch,
        "best_validation_bound_nats": _finite(done.best_bound_nats),
        "best_validation_standard_error_nats": _finite(done.best_error_nats),
        "best_validation_label_accuracy": done.best_label_accuracy,
        "skipped_steps": done.skipped_steps,
        "seconds": round(done.seconds, 1),
        "seed": recipe.seed,
        "code_version": __version__,
        "dataset_sha256": dataset_sha256,
        "torch_version": torch.__version__,
        "hardware": hardware(device),
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    replace(run_dir / STATE, json.dumps(state, indent=2).encode() + b"\n")


def append_line(path: Path, line: dict[str, Any]) -> None:
    """Append a JSON line to a file, whole or not at all; numbers that are not finite become null.

    Raises:
        RunError: The disk is full or cannot be written to; the file is as it was.
    """
    text = json.dumps({key: _finite(value) for key, value in line.items()}, allow_nan=False)
    size = path.stat().st_size if path.exists() else 0
    try:
        with path.open("ab") as file:
            file.write(text.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        with suppress(OSError):
            os.truncate(path, size)
        raise write_error(path, error) from error


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a file that `append_line` wrote, without the half line of a killed process.

    There are none where there is no file.
    """
    lines = []
    for text in read_text(path).splitlines() if path.is_file() else []:
        with suppress(json.JSONDecodeError):
            if isinstance(line := json.loads(text), dict):
                lines.append(line)
    return lines


def read_log(run_dir: Path) -> list[dict[str, Any]]:
    """The lines of the log, one per validation."""
    return read_lines(run_dir / LOG)


def trim_log(run_dir: Path, *, step: int) -> None:
    """Remove the log's lines after a step: a run that resumes there writes them again."""
    kept = [line for line in read_log(run_dir) if line["step"] <= step]
    if (run_dir / LOG).exists():
        replace(run_dir / LOG, b"".join(json.dumps(line).encode() + b"\n" for line in kept))


def replace(path: Path, data: bytes, *, keep: Path | None = None) -> None:
    """Write a file in one step: it holds the old content or the new, whatever happens.

    Args:
        path: The file.
        data: The new content.
        keep: A file that the old content is moved to; dropped by default.

    Raises:
        RunError: The disk is full or cannot be written to; the file is as it was.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if keep is not None and path.exists():
            path.replace(keep)
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):  # the folder may be read-only
            partial.unlink(missing_ok=True)
        raise write_error(path, error) from error


def check_writable(run_dir: Path) -> None:
    """Refuse a run's folder that cannot be written to, or made, before any work is done.

    Raises:
        RunError: It is a file, or it or the nearest folder above it that exists is read-only.
    """
    nearest = next(path for path in (run_dir, *run_dir.resolve().parents) if path.exists())
    fault = None if nearest.is_dir() else "it is not a folder"
    if fault is None and not os.access(nearest, os.W_OK | os.X_OK):
        fault = "the folder is read-only"
    if fault is not None:
        raise RunError(
            f"Cannot write the run to {run_dir}: {nearest} stands there, and {fault}. Name another "
            "folder with --run-dir."
        )


def write_error(path: Path, error: OSError) -> RunError:
    """The error of a run whose file cannot be written."""
    return RunError(
        f"Cannot write {path}: {error.strerror or error}. The last checkpoint is whole: make room, "
        "or make the folder writable, and go on with --resume."
    )


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
