"""The training loop, read top to bottom; it knows no command line and exports nothing.

All randomness is a function of (seed, step): the order of the data of (seed, epoch), everything
else is drawn after torch is seeded with both at each step. So a run that was killed at any moment
and resumed from its last checkpoint repeats the lost steps exactly, and ends with the same weights
(bitwise on CPU with the same number of threads).

    runs/<name>/recipe.toml   best.safetensors   state.json   log.jsonl   checkpoint.pt
"""

import copy
import json
import math
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from lightning_fabric import Fabric
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import save as save_tensors
from torch import Tensor

from models import __version__
from models.bounds import estimate_elbo
from models.errors import ConfigError
from models.images import ReadOptions, read_levels
from models.vae import VAE
from training.augmentation import augment
from training.config import Recipe, ScheduleConfig, load_recipe, to_toml
from training.datasets import Split, load, observations, to_grey
from training.objectives import ELBO

RECIPE, BEST, STATE, LOG, CHECKPOINT = (
    "recipe.toml",
    "best.safetensors",
    "state.json",
    "log.jsonl",
    "checkpoint.pt",
)
_VALIDATION_BATCH = 500
_VALIDATION_SEED = 0


@dataclass
class Progressed:
    """How far a run is; all of it is in the checkpoint."""

    step: int = 0
    best_elbo_nats: float = -math.inf
    best_epoch: float = 0.0
    skipped_steps: int = 0
    """Steps whose gradient was not finite: nothing was changed by them."""
    seconds: float = 0.0
    """Spent training, over all starts of the run."""


def train(
    recipe: Recipe,
    *,
    run_dir: Path,
    data_dir: Path | None = None,
    resume: bool = False,
    device: str = "auto",
    precision: str | None = None,
) -> Progressed:
    """Train a recipe's model and keep the weights that validate best.

    Args:
        recipe: What to train.
        run_dir: Where everything is written; must be empty unless resumed.
        data_dir: Where the data sets are.
        resume: Go on from the run's checkpoint, if there is one.
        device: Lightning Fabric's accelerator: "auto", "cpu", "cuda", ...
        precision: Instead of the recipe's.

    Returns:
        How far it came.

    Raises:
        ConfigError: The folder holds another run.
    """
    if precision is not None:
        training = recipe.training.model_validate(
            {**recipe.training.model_dump(), "precision": precision}
        )
        recipe = recipe.model_copy(update={"training": training})
    _claim(run_dir, recipe, resume=resume)

    dataset = load(recipe.dataset.name, data_dir=data_dir)
    options = ReadOptions(pixel_max=255)
    cache = torch.from_numpy(
        read_levels(to_grey(dataset.train, dataset.levels), recipe.image, options=options)
    )
    validation = torch.from_numpy(
        observations(dataset.validation, levels=dataset.levels, spec=recipe.image)
    )

    fabric = Fabric(accelerator=device, devices=1, precision=recipe.training.precision)  # type: ignore[arg-type]
    torch.manual_seed(recipe.seed)
    vae = VAE(recipe.vae).to(memory_format=torch.channels_last)
    average = copy.deepcopy(vae).eval().requires_grad_(False)
    average = fabric.to_device(average)
    optimizer = torch.optim.AdamW(
        _decayed_and_not(vae, recipe.optimizer.weight_decay),
        lr=recipe.optimizer.learning_rate,
        betas=recipe.optimizer.betas,
    )
    objective, optimizer = fabric.setup(ELBO(vae), optimizer)

    done = Progressed()
    if resume:
        done = _restore(run_dir, vae, average, optimizer)
    batch_size = min(recipe.training.batch_size, len(cache))
    steps_per_epoch = len(cache) // batch_size
    total = recipe.training.epochs * steps_per_epoch
    saved_at = started = time.monotonic() - done.seconds
    saved_at += done.seconds
    window = _Window()

    with _progress_bar(recipe, total, done.step) as bar, (run_dir / LOG).open("a") as log:
        for step, chosen in _batches(
            len(cache), batch_size, start=done.step, total=total, seed=recipe.seed
        ):
            torch.manual_seed(_mix(recipe.seed, step))
            objective.train()
            x = fabric.to_device(_observe(cache[chosen], recipe, step / total))
            noise = torch.randn(len(x), *vae.latent_shape, device=x.device)
            kl_weight = _kl_weight(step / steps_per_epoch, recipe.training.kl_warmup_epochs)
            rate = recipe.optimizer.learning_rate * schedule(step / total, recipe.schedule)
            for group in optimizer.param_groups:
                group["lr"] = rate

            terms = objective(x, noise, kl_weight=kl_weight)
            optimizer.zero_grad()
            fabric.backward(terms.loss)
            norm = fabric.clip_gradients(
                objective,
                optimizer,
                max_norm=recipe.optimizer.gradient_clip,
                error_if_nonfinite=False,
            )
            if norm is not None and bool(norm.isfinite()):
                optimizer.step()
                _follow(
                    average, vae, decay=min(recipe.training.ema_decay, (1 + step) / (10 + step))
                )
            else:
                done.skipped_steps += 1
            done.step, done.seconds = step + 1, time.monotonic() - started
            window.add(terms, norm, len(x))

            epoch, within = divmod(done.step, steps_per_epoch)
            if within == 0 and (
                epoch % recipe.training.validate_every_epochs == 0 or done.step == total
            ):
                elbo_nats = validate(average, validation)
                if elbo_nats > done.best_elbo_nats:
                    done.best_elbo_nats, done.best_epoch = elbo_nats, float(epoch)
                    _replace(run_dir / BEST, save_tensors(_weights(average)))
                _save(run_dir, vae, average, optimizer, done)
                saved_at = time.monotonic()
                line = _log_line(epoch, done, window, elbo_nats, rate, kl_weight)
                log.write(json.dumps(line) + "\n")
                log.flush()
                bar.update(bar.task_ids[0], validation=f"{elbo_nats:.2f}")
                _write_state(
                    run_dir, recipe, dataset.sha256, done, fabric, finished=done.step == total
                )
                window = _Window()
            elif time.monotonic() - saved_at > recipe.training.checkpoint_seconds:
                _save(run_dir, vae, average, optimizer, done)
                saved_at = time.monotonic()
            bar.update(bar.task_ids[0], completed=done.step, **window.for_bar())
    return done


@torch.no_grad()
def validate(vae: VAE, x: Float[Tensor, "batch channel height width"]) -> float:
    """Mean ELBO of the validation set, nats: one draw per image, the same draws every time."""
    device = next(vae.parameters()).device
    total = 0.0
    for first in range(0, len(x), _VALIDATION_BATCH):
        part = x[first : first + _VALIDATION_BATCH].to(device)
        estimate = estimate_elbo(vae, part, num_samples=1, seed=_VALIDATION_SEED, first_item=first)
        total += float(estimate.elbo_nats.sum())
    return total / len(x)


def schedule(progress: float, config: ScheduleConfig) -> float:
    """The learning rate as a part of its peak, at a part of the run in [0, 1]."""
    if progress < config.warmup:
        return max(progress, 1e-3 * config.warmup) / config.warmup
    if config.kind == "constant":
        return 1.0
    rest = (progress - config.warmup) / max(1 - config.warmup, 1e-12)
    return 0.5 * (1 + math.cos(math.pi * rest))


def _kl_weight(epoch: float, warmup_epochs: float) -> float:
    return min(1.0, epoch / warmup_epochs) if warmup_epochs > 0 else 1.0


def _observe(levels: UInt8[Tensor, "batch ..."], recipe: Recipe, progress: float) -> Tensor:
    """A batch of the cache as observations: augmented, then binarised or scaled as the spec says."""
    spec, x = recipe.image, levels.float()
    if recipe.augmentation.probability > 0 and progress < recipe.augmentation.until:
        white = 255 if spec.binarization == "stochastic" else spec.levels - 1
        x = augment(x, recipe.augmentation, background=spec.background / 255 * white)
    if spec.binarization == "stochastic":
        x = (torch.rand_like(x) * 255 < x).float()
    elif spec.values == "unit":
        x = x / (spec.levels - 1)
    return x


def _batches(
    count: int, batch_size: int, *, start: int, total: int, seed: int
) -> Iterator[tuple[int, Tensor]]:
    """(step, indices) from a step on; each epoch is a permutation made by (seed, epoch) alone."""
    per_epoch = count // batch_size
    order, order_epoch = torch.empty(0), -1
    for step in range(start, total):
        epoch, within = divmod(step, per_epoch)
        if epoch != order_epoch:
            generator = torch.Generator().manual_seed(_mix(seed, -1 - epoch))
            order, order_epoch = torch.randperm(count, generator=generator), epoch
        yield step, order[within * batch_size : (within + 1) * batch_size]


def _mix(seed: int, position: int) -> int:
    """One 63-bit seed for a seed and a position, far from its neighbours' (SplitMix64's finaliser)."""
    mask = 2**64 - 1
    value = (seed * 0x9E3779B97F4A7C15 + position * 0xD1342543DE82EF95 + 0x632BE59BD9B4E019) & mask
    value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) & mask
    value = ((value ^ value >> 27) * 0x94D049BB133111EB) & mask
    return (value ^ value >> 31) >> 1


@torch.no_grad()
def _follow(average: VAE, vae: VAE, *, decay: float) -> None:
    """average <- decay average + (1 - decay) vae."""
    torch._foreach_lerp_(list(average.parameters()), list(vae.parameters()), 1 - decay)


def _decayed_and_not(vae: VAE, weight_decay: float) -> list[dict[str, Any]]:
    matrices = [p for p in vae.parameters() if p.ndim > 1]
    vectors = [p for p in vae.parameters() if p.ndim <= 1]
    return [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]


def _weights(vae: VAE) -> dict[str, Tensor]:
    return {name: t.detach().float().cpu().contiguous() for name, t in vae.state_dict().items()}


class _Window:
    """Means since the last line of the log."""

    def __init__(self) -> None:
        self.steps, self.images, self.started = 0, 0, time.monotonic()
        self.log_likelihood = self.kl = self.norm = 0.0

    def add(self, terms: Any, norm: Tensor | None, images: int) -> None:
        self.steps += 1
        self.images += images
        self.log_likelihood += float(terms.log_likelihood.detach())
        self.kl += float(terms.kl.detach())
        self.norm += float(norm) if norm is not None else math.nan

    def images_per_second(self) -> float:
        return self.images / max(time.monotonic() - self.started, 1e-9)

    def for_bar(self) -> dict[str, str]:
        if self.steps == 0:
            return {}
        elbo_nats = (self.log_likelihood - self.kl) / self.steps
        return {
            "elbo": f"{elbo_nats:.2f}",
            "rate": f"{self.kl / self.steps:.2f}",
            "distortion": f"{-self.log_likelihood / self.steps:.2f}",
            "speed": f"{self.images_per_second():.0f}",
        }


def _log_line(
    epoch: int, done: Progressed, window: _Window, elbo_nats: float, rate: float, kl_weight: float
) -> dict[str, float]:
    return {
        "epoch": epoch,
        "step": done.step,
        "seconds": round(done.seconds, 1),
        "validation_elbo_nats": elbo_nats,
        "best_validation_elbo_nats": done.best_elbo_nats,
        "train_elbo_nats": (window.log_likelihood - window.kl) / window.steps,
        "train_rate_nats": window.kl / window.steps,
        "train_distortion_nats": -window.log_likelihood / window.steps,
        "gradient_norm": window.norm / window.steps,
        "learning_rate": rate,
        "kl_weight": kl_weight,
        "images_per_second": round(window.images_per_second(), 1),
        "skipped_steps": done.skipped_steps,
    }


def _progress_bar(recipe: Recipe, total: int, step: int) -> Progress:
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn(
            "{task.completed}/{task.total} steps  ELBO {task.fields[elbo]}  rate {task.fields[rate]}  "
            "distortion {task.fields[distortion]} nats  validation {task.fields[validation]}  "
            "{task.fields[speed]} images/s"
        ),
        TimeRemainingColumn(),
    )
    fields = dict.fromkeys(("elbo", "rate", "distortion", "validation", "speed"), "-")
    bar.add_task(recipe.name, total=total, completed=step, **fields)
    return bar


def _claim(run_dir: Path, recipe: Recipe, *, resume: bool) -> None:
    """Make the folder, or see that it is this recipe's; a finished run is never overwritten."""
    text, path = to_toml(recipe), run_dir / RECIPE
    if path.exists():
        if not resume:
            raise ConfigError(
                f"A run's folder holds one run; {run_dir} has one. Add --resume or name another folder."
            )
        if load_recipe(path) != recipe:
            raise ConfigError(
                f"A run is resumed with its own recipe; {path} says something else. Name another folder."
            )
        return
    run_dir.mkdir(parents=True, exist_ok=True)
    _replace(path, text.encode())


def _save(run_dir: Path, vae: VAE, average: VAE, optimizer: Any, done: Progressed) -> None:
    state = {
        "vae": vae.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
        "done": vars(done),
    }
    partial = run_dir / f".{CHECKPOINT}.partial"
    with partial.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(run_dir / CHECKPOINT)


def _restore(run_dir: Path, vae: VAE, average: VAE, optimizer: Any) -> Progressed:
    path = run_dir / CHECKPOINT
    if not path.exists():
        return Progressed()
    device = next(vae.parameters()).device
    state = torch.load(path, map_location=device, weights_only=True)
    vae.load_state_dict(state["vae"])
    average.load_state_dict(state["average"])
    optimizer.load_state_dict(state["optimizer"])
    return Progressed(**state["done"])


def _write_state(
    run_dir: Path,
    recipe: Recipe,
    dataset_sha256: str,
    done: Progressed,
    fabric: Fabric,
    *,
    finished: bool,
) -> None:
    state = {
        "finished": finished,
        "epochs": done.best_epoch,
        "best_validation_elbo_nats": done.best_elbo_nats,
        "seconds": done.seconds,
        "seed": recipe.seed,
        "code_version": __version__,
        "dataset_sha256": dataset_sha256,
        "torch_version": torch.__version__,
        "hardware": _hardware(fabric),
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    _replace(run_dir / STATE, json.dumps(state, indent=2).encode() + b"\n")


def _hardware(fabric: Fabric) -> str:
    if fabric.device.type == "cuda":
        return torch.cuda.get_device_name(fabric.device)
    return f"{torch.get_num_threads()} CPU threads, {platform.machine()}"


def _replace(path: Path, data: bytes) -> None:
    """Write a file so that it holds either the old content or the new, whatever happens."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
