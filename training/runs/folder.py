"""A run's folder: recipe, checkpoint, best weights, state and log; it trains nothing.

    runs/<name>/recipe.toml       the resolved recipe, with every override and default
                starts.jsonl      one line per start: command, versions, hardware (`provenance.py`)
                checkpoint.pt     everything that a resumed run needs (`checkpoint.py`)
                best.safetensors  averaged weights with the best validation bound
                state.json        how far it came, on what, with what
                log.jsonl         one line per validation
                tensorboard/      the same numbers as curves, and pictures (`curves.py`)

Files are replaced in one step: a run killed at any moment leaves the old one or the new.
"""

import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
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
from training.recipes.file import load_recipe, to_toml
from training.recipes.recipe import Recipe

RECIPE, BEST, STATE, LOG = "recipe.toml", "best.safetensors", "state.json", "log.jsonl"


@dataclass
class Progressed:
    """How far a run is; all of it is in the checkpoint."""

    step: int = 0
    bound_nats: float = -math.inf
    """Of the last validation: the bound that the objective maximises."""
    bound_error_nats: float = math.inf
    """Its standard error over the images."""
    best_bound_nats: float = -math.inf
    best_error_nats: float = math.inf
    best_epoch: int = 0
    stale_validations: int = 0
    """Validations since the best one."""
    skipped_steps: int = 0
    """Steps whose gradient was not finite: nothing was changed by them."""
    skipped_in_a_row: int = 0
    stopped_because: str = ""
    """Why the run is over; empty while it is not."""
    seconds: float = 0.0
    """Spent training, over all starts of the run, and before it in the run that it goes on from."""


def create_or_verify(
    run_dir: Path,
    recipe: Recipe,
    *,
    resume: bool,
    comments: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Make the folder, or see that it holds this recipe's run.

    Args:
        run_dir: Where the recipe is written to, if nothing is there yet.
        recipe: The resolved recipe.
        resume: Whether the folder may hold this recipe's run.
        comments: Lines for the recipe's tables, as `to_toml` takes them.

    Raises:
        ConfigError: It holds a run that is not to be resumed, or another recipe's.
    """
    path = run_dir / RECIPE
    if not path.exists():
        run_dir.mkdir(parents=True, exist_ok=True)
        replace(path, to_toml(recipe, comments=comments).encode())
    elif not resume:
        raise ConfigError(
            f"A run's folder holds one run; {run_dir} has one. Add --resume or name another folder."
        )
    elif load_recipe(path) != recipe:
        raise ConfigError(
            f"A run is resumed with its own recipe; {path} differs. Name another folder."
        )


def start_from(run_dir: Path, vae: VAE) -> float:
    """Load the best weights of a finished run into a model of the same config.

    Returns:
        The seconds that were spent on them.

    Raises:
        ConfigError: There is no such finished run, or its model is another one.
    """
    state = run_dir / STATE
    found = json.loads(state.read_text()) if state.is_file() else {"finished": False}
    if not found["finished"]:
        raise ConfigError(
            f"A run starts from a finished one; {run_dir} holds none. Train that one first."
        )
    if load_recipe(run_dir / RECIPE).vae != vae.config:
        raise ConfigError(
            f"A run starts from one of the same model; {run_dir} holds another. Change one of them."
        )
    vae.load_state_dict(load_file(run_dir / BEST))
    return float(found["seconds"])


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
    """Write what an export says about the run's provenance."""
    state = {
        "finished": done.stopped_because != "",
        "stopped_because": done.stopped_because,
        "epochs": done.best_epoch,
        "best_validation_bound_nats": _finite(done.best_bound_nats),
        "best_validation_standard_error_nats": _finite(done.best_error_nats),
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


def hardware(device: torch.device) -> str:
    """What the run computed on, in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{threads} CPU thread{'s' if threads > 1 else ''}, {platform.machine()}"


def append_line(path: Path, line: dict[str, Any]) -> None:
    """Add one JSON line to a file, whole or not at all; numbers that are not finite become null.

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
        os.truncate(path, size)
        raise unwritable(path, error) from error


def read_log(run_dir: Path) -> list[dict[str, Any]]:
    """The lines of the log; one that a killed run left unfinished is left out."""
    path, lines = run_dir / LOG, []
    for text in path.read_text().splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            continue
    return lines


def trim_log(run_dir: Path, *, step: int) -> None:
    """Leave out the lines after a step: a run that goes on from there writes them again."""
    kept = [line for line in read_log(run_dir) if line["step"] <= step]
    if (run_dir / LOG).exists():
        replace(run_dir / LOG, b"".join(json.dumps(line).encode() + b"\n" for line in kept))


def replace(path: Path, data: bytes, *, keep: Path | None = None) -> None:
    """Write a file so that it holds either the old content or the new, whatever happens.

    Args:
        path: The file.
        data: Its new content.
        keep: Where the old content goes; nowhere by default.

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
        partial.unlink(missing_ok=True)
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> RunError:
    """What to say when a run's file cannot be written."""
    return RunError(
        f"A run writes to its folder; received for {path}: {error.strerror or error}. The last "
        "checkpoint is whole: make room, or make the folder writable, and add --resume."
    )


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
