"""A run's folder: recipe, checkpoint, best weights, state and log; it trains nothing.

    runs/<name>/recipe.toml       the resolved recipe
                checkpoint.pt     everything that a resumed run needs; always whole
                best.safetensors  averaged weights with the best validation ELBO
                state.json        how far it came, on what, with what
                log.jsonl         one line per validation

Every file is replaced in one step: a run killed at any moment leaves the old one or the new.
"""

import json
import math
import os
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from safetensors.torch import save as save_tensors
from torch import Tensor

from models import __version__
from models.errors import ConfigError
from models.vae import VAE
from training.config import Recipe, load_recipe, to_toml

RECIPE, BEST, STATE, LOG, CHECKPOINT = (
    "recipe.toml",
    "best.safetensors",
    "state.json",
    "log.jsonl",
    "checkpoint.pt",
)


@dataclass
class Progressed:
    """How far a run is; all of it is in the checkpoint."""

    step: int = 0
    bound_nats: float = -math.inf
    """Of the last validation: the bound that the objective maximises."""
    best_bound_nats: float = -math.inf
    best_epoch: int = 0
    skipped_steps: int = 0
    """Steps whose gradient was not finite: nothing was changed by them."""
    seconds: float = 0.0
    """Spent training, over all starts of the run, and before it in the run that it goes on from."""


def claim(run_dir: Path, recipe: Recipe, *, resume: bool) -> None:
    """Make the folder, or see that it holds this recipe's run.

    Raises:
        ConfigError: It holds a run that is not to be resumed, or another recipe's.
    """
    path = run_dir / RECIPE
    if not path.exists():
        run_dir.mkdir(parents=True, exist_ok=True)
        replace(path, to_toml(recipe).encode())
    elif not resume:
        raise ConfigError(
            f"A run's folder holds one run; {run_dir} has one. Add --resume or name another folder."
        )
    elif load_recipe(path) != recipe:
        raise ConfigError(
            f"A run is resumed with its own recipe; {path} differs. Name another folder."
        )


def save_checkpoint(run_dir: Path, parts: dict[str, Any], done: Progressed) -> None:
    """Write the state of every part, and how far the run is."""
    state = {name: part.state_dict() for name, part in parts.items()}
    partial = run_dir / f".{CHECKPOINT}.partial"
    with partial.open("wb") as file:
        torch.save({**state, "done": asdict(done)}, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(run_dir / CHECKPOINT)


def restore_checkpoint(
    run_dir: Path, parts: dict[str, Any], device: torch.device
) -> Progressed | None:
    """Load the state of every part; None where the run has no checkpoint yet."""
    path = run_dir / CHECKPOINT
    if not path.exists():
        return None
    state = torch.load(path, map_location=device, weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return Progressed(**state["done"])


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
    finished: bool,
) -> None:
    """Write what an export says about the run's provenance."""
    state = {
        "finished": finished,
        "epochs": done.best_epoch,
        "best_validation_bound_nats": done.best_bound_nats,
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


def append_log(run_dir: Path, line: dict[str, int | float]) -> None:
    """Add one JSON line to the log."""
    with (run_dir / LOG).open("a") as log:
        log.write(json.dumps(line) + "\n")


def replace(path: Path, data: bytes) -> None:
    """Write a file so that it holds either the old content or the new, whatever happens."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


class Window:
    """Means of what was trained since the last line of the log."""

    def __init__(self) -> None:
        """Empty."""
        self.steps = self.images = 0
        self.seconds = self.log_likelihood = self.kl = self.norm = 0.0

    def add(
        self, log_likelihood: Tensor, kl: Tensor, norm: Tensor, *, images: int, seconds: float
    ) -> None:
        """Take in one step; batch means in nats."""
        self.steps += 1
        self.images += images
        self.seconds += seconds
        self.log_likelihood += float(log_likelihood.detach())
        self.kl += float(kl.detach())
        self.norm += float(norm)

    @property
    def images_per_second(self) -> float:
        """Speed of the steps alone, without validation."""
        return self.images / max(self.seconds, 1e-9)

    def means(self) -> dict[str, float]:
        """Per datum, in nats; empty when nothing was trained."""
        if self.steps == 0:
            return {}
        return {
            "train_elbo_nats": (self.log_likelihood - self.kl) / self.steps,
            "train_rate_nats": self.kl / self.steps,
            "train_distortion_nats": -self.log_likelihood / self.steps,
            "gradient_norm": self.norm / self.steps,
            "images_per_second": round(self.images_per_second, 1),
        }
