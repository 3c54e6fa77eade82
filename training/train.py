"""The training loop, read top to bottom; it knows no command line and exports nothing.

All randomness is a function of (seed, step): the order of the data of (seed, epoch), everything
else is drawn after torch is seeded with both at each step. So a run that was killed at any moment
and resumed from its last checkpoint repeats the lost steps exactly, and ends with the same weights
(bitwise on CPU with the same number of threads).
"""

import copy
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int64, UInt8
from lightning_fabric import Fabric
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from models.bounds import estimate_elbo
from models.evidence import estimate_log_px
from models.vae import VAE
from training.augmentation import augment
from training.config import ObjectiveConfig, Recipe, ScheduleConfig
from training.datasets import load
from training.objectives import OBJECTIVES
from training.run import (
    Progressed,
    Window,
    append_log,
    claim,
    restore_checkpoint,
    save_best,
    save_checkpoint,
    start_from,
    write_state,
)

_VALIDATION_BATCH = 500
_VALIDATION_SEED = 0


def train(
    recipe: Recipe,
    *,
    run_dir: Path,
    data_dir: Path | None = None,
    resume: bool = False,
    device: str = "auto",
    console: Console | None = None,
) -> Progressed:
    """Train a recipe's model and keep the averaged weights that validate best.

    Args:
        recipe: What to train.
        run_dir: Where everything is written; must be empty unless resumed.
        data_dir: Where the data sets are.
        resume: Go on from the run's checkpoint, if there is one.
        device: Lightning Fabric's accelerator: "auto", "cpu", "cuda", ...
        console: Where to show progress; a console of its own by default.

    Returns:
        How far it came.

    Raises:
        ConfigError: The folder holds another run.
        DatasetError: The data set is not at hand.
    """
    claim(run_dir, recipe, resume=resume)
    data = load_data(recipe, data_dir)
    fabric = Fabric(accelerator=device, devices=1, precision=recipe.training.precision)
    torch.manual_seed(recipe.seed)
    vae = VAE(recipe.vae)
    done = Progressed()
    if recipe.start is not None:
        done.seconds = start_from(run_dir.parent / recipe.start, vae)
    maximised = OBJECTIVES[recipe.objective.kind](vae)
    objective, optimizer = fabric.setup(maximised, make_optimizer(vae, recipe))
    average = copy.deepcopy(vae).eval().requires_grad_(False)
    parts = {"vae": vae, "average": average, "optimizer": optimizer}
    if resume:
        done = restore_checkpoint(run_dir, parts, fabric.device) or done

    num_samples = recipe.objective.num_samples
    batch_size = min(recipe.training.batch_size, len(data.cache))
    per_epoch = len(data.cache) // batch_size
    total = recipe.training.epochs * per_epoch
    order = batches(len(data.cache), batch_size, start=done.step, total=total, seed=recipe.seed)
    window, saved_at = Window(), time.monotonic()
    with _progress_bar(recipe, total, console) as bar:
        for step, chosen in order:
            started = time.monotonic()
            torch.manual_seed(mix(recipe.seed, step))
            objective.train()
            x = fabric.to_device(observe(data.cache[chosen], recipe, step / total))
            noise = torch.randn(num_samples, len(x), *vae.latent_shape, device=x.device)
            kl_weight = ramp(step / per_epoch, recipe.training.kl_warmup_epochs)
            set_learning_rate(optimizer, recipe, step / total)

            terms = objective(x, noise, kl_weight=kl_weight)
            optimizer.zero_grad()
            fabric.backward(terms.loss)
            norm = clip_gradient(vae, recipe.optimizer.gradient_clip)
            if bool(norm.isfinite()):
                optimizer.step()
                follow(average, vae, decay=min(recipe.training.ema_decay, (1 + step) / (10 + step)))
            else:
                done.skipped_steps += 1
            done.step = step + 1
            done.seconds += (seconds := time.monotonic() - started)
            window.add(terms.log_likelihood, terms.kl, norm, images=len(x), seconds=seconds)

            epoch, within = divmod(done.step, per_epoch)
            every = recipe.training.validate_every_epochs
            if done.step == total or (within == 0 and epoch % every == 0):
                bound_nats = validate(average, data.validation, recipe.objective)
                keep_best(run_dir, average, bound_nats, epoch, done)
                log_line = progress_line(epoch, done, window, optimizer, kl_weight)
                append_log(run_dir, log_line)
                write_state(
                    run_dir,
                    recipe,
                    done,
                    dataset_sha256=data.sha256,
                    device=fabric.device,
                    finished=done.step == total,
                )
                bar.update(bar.task_ids[0], validation=f"{done.bound_nats:.2f}")
                window, saved_at = Window(), 0.0
            if time.monotonic() - saved_at > recipe.training.checkpoint_seconds:
                save_checkpoint(run_dir, parts, done)
                saved_at = time.monotonic()
            _show(bar, done.step, window)
    return done


@dataclass(frozen=True)
class Data:
    """What a run trains and validates on."""

    cache: UInt8[Tensor, "batch channel height width"]
    """Training images as levels, or as grey values where each step binarises anew."""
    validation: Float[Tensor, "held_out channel height width"]
    """Observations, binarised once."""
    sha256: str


def load_data(recipe: Recipe, data_dir: Path | None) -> Data:
    """The training and validation splits of the recipe's data set.

    Raises:
        DatasetError: It is not at hand.
    """
    dataset = load(recipe.dataset.name, data_dir=data_dir)
    return Data(
        cache=torch.from_numpy(dataset.train.read_levels(recipe.image)),
        validation=torch.from_numpy(dataset.validation.observations(recipe.image)),
        sha256=dataset.sha256,
    )


def keep_best(run_dir: Path, average: VAE, bound_nats: float, epoch: int, done: Progressed) -> None:
    """Note a validation's result, and keep its weights where they are the best so far."""
    done.bound_nats = bound_nats
    if bound_nats > done.best_bound_nats:
        done.best_bound_nats, done.best_epoch = bound_nats, epoch
        save_best(run_dir, average)


def progress_line(
    epoch: int, done: Progressed, window: Window, optimizer: Any, kl_weight: float
) -> dict[str, int | float]:
    """One line of the log."""
    return {
        "epoch": epoch,
        "step": done.step,
        "seconds": round(done.seconds, 1),
        "validation_bound_nats": done.bound_nats,
        "best_validation_bound_nats": done.best_bound_nats,
        "learning_rate": optimizer.param_groups[0]["lr"],
        "kl_weight": kl_weight,
        "skipped_steps": done.skipped_steps,
        **window.means(),
    }


@torch.no_grad()
def validate(
    vae: VAE, x: Float[Tensor, "batch channel height width"], objective: ObjectiveConfig
) -> float:
    """Mean of the bound that the objective maximises, nats: the same draws every time."""
    weight, total = next(vae.parameters()), 0.0
    for first in range(0, len(x), _VALIDATION_BATCH):
        part = x[first : first + _VALIDATION_BATCH].to(weight)
        k, seed = objective.num_samples, _VALIDATION_SEED
        if objective.kind == "iwae":
            scored = estimate_log_px(vae, part, num_samples=k, seed=seed, first_item=first)
            bound = scored.estimate_nats
        else:
            bound = estimate_elbo(vae, part, num_samples=k, seed=seed, first_item=first).elbo_nats
        total += float(bound.sum())
    return total / len(x)


def make_optimizer(vae: VAE, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW; biases are not decayed."""
    config = recipe.optimizer
    groups: list[dict[str, Any]] = [
        {
            "params": [p for p in vae.parameters() if p.ndim > 1],
            "weight_decay": config.weight_decay,
        },
        {"params": [p for p in vae.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas)


def set_learning_rate(optimizer: Any, recipe: Recipe, progress: float) -> None:
    """Give every group the rate that the schedule has at a part of the run."""
    rate = recipe.optimizer.learning_rate * schedule(progress, recipe.schedule)
    for group in optimizer.param_groups:
        group["lr"] = rate


def schedule(progress: float, config: ScheduleConfig) -> float:
    """The learning rate as a part of its peak, at a part of the run in [0, 1]."""
    if progress < config.warmup:
        return max(progress / config.warmup, 1e-3)
    if config.kind == "constant" or config.warmup == 1:
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (progress - config.warmup) / (1 - config.warmup)))


def ramp(epoch: float, warmup_epochs: float) -> float:
    """The KL's weight: linear from 0 to 1 over the warm-up, then 1."""
    return min(1.0, epoch / warmup_epochs) if warmup_epochs > 0 else 1.0


def clip_gradient(vae: VAE, largest_norm: float) -> Tensor:
    """Scale the gradient down to that norm; returns the norm it had."""
    return torch.nn.utils.clip_grad_norm_(vae.parameters(), largest_norm)


def observe(
    levels: UInt8[Tensor, "batch channel height width"], recipe: Recipe, progress: float
) -> Float[Tensor, "batch channel height width"]:
    """A batch of the cache as observations: moved, then binarised or scaled as the spec says."""
    spec, x = recipe.image, levels.float()
    grey = spec.binarization == "stochastic"
    white = 255 if grey else spec.levels - 1
    background = float(round(spec.background / 255 * white))
    x = augment(x, recipe.augmentation, progress=progress, background=background)
    if grey:
        return (torch.rand_like(x) * 255 < x).float()
    return x / white if spec.values == "unit" else x


def batches(
    count: int, batch_size: int, *, start: int, total: int, seed: int
) -> Iterator[tuple[int, Int64[Tensor, " batch"]]]:
    """(step, indices) from a step on; each epoch is a permutation made by (seed, epoch) alone.

    The last, incomplete batch of an epoch is left out; another epoch leaves out other images.
    """
    per_epoch = count // batch_size
    order, order_epoch = torch.empty(0, dtype=torch.int64), -1
    for step in range(start, total):
        epoch, within = divmod(step, per_epoch)
        if epoch != order_epoch:
            generator = torch.Generator().manual_seed(mix(seed, -1 - epoch))
            order, order_epoch = torch.randperm(count, generator=generator), epoch
        yield step, order[within * batch_size : (within + 1) * batch_size]


def mix(seed: int, position: int) -> int:
    """One 63-bit seed for a seed and a position, far from its neighbours'.

    Source: the finaliser of SplitMix64, Steele, Lea and Flood 2014.
    """
    mask = 2**64 - 1
    value = (seed * 0x9E3779B97F4A7C15 + position * 0xD1342543DE82EF95 + 0x632BE59BD9B4E019) & mask
    value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) & mask
    value = ((value ^ value >> 27) * 0x94D049BB133111EB) & mask
    return (value ^ value >> 31) >> 1


def follow(average: VAE, vae: VAE, *, decay: float) -> None:
    """average <- decay average + (1 - decay) vae."""
    update = get_ema_multi_avg_fn(decay)
    update(list(average.parameters()), list(vae.parameters()), 0)


def _progress_bar(recipe: Recipe, total: int, console: Console | None) -> Progress:
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn(
            "{task.completed}/{task.total} ELBO {task.fields[elbo]} rate {task.fields[rate]} "
            "distortion {task.fields[distortion]} val {task.fields[validation]} nats "
            "{task.fields[speed]} img/s"
        ),
        TimeRemainingColumn(),
        console=console,
    )
    fields: dict[str, Any] = dict.fromkeys(_SHOWN, "-")
    bar.add_task(recipe.name, total=total, validation="-", **fields)
    return bar


_SHOWN = {
    "elbo": ("train_elbo_nats", ".2f"),
    "rate": ("train_rate_nats", ".2f"),
    "distortion": ("train_distortion_nats", ".2f"),
    "speed": ("images_per_second", ".0f"),
}


def _show(bar: Progress, step: int, window: Window) -> None:
    means = window.means()
    fields: dict[str, Any] = {
        field: format(means[key], form) for field, (key, form) in _SHOWN.items() if means
    }
    bar.update(bar.task_ids[0], completed=step, **fields)
