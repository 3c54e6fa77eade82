"""The state of a run: made before its first step, saved in checkpoints, restored from them."""

import copy
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor, nn

from models.errors import ConfigError
from models.vae.model import VAE
from training.fit.batches import Data
from training.fit.centring import Centring, mean_picture
from training.fit.early_stopping import stop_reason
from training.fit.mixture_prior import start_mixture_prior
from training.fit.objectives import OBJECTIVES
from training.fit.optimizer import load_optimizer, make_optimizer
from training.fit.order import Annealing, Plan
from training.fit.principal import start_principal_path
from training.fit.progress import Window
from training.fit.pseudo_inputs import start_pseudo_inputs
from training.fit.ranks import ALONE, Ranks
from training.fit.read_ahead import ReadAhead
from training.fit.start import KEPT, num_start_images, start_from_marginal, start_glorot
from training.recipes.recipe import Recipe
from training.runs.checkpoint import CHECKPOINT, restore_checkpoint, save_checkpoint
from training.runs.folder import Progressed, start_from, trim_log
from training.runs.hardware import find_device, generator_of


def do_nothing() -> None:
    """Begin without a claim of the folder."""


@dataclass
class Training:
    """The state of a run that its steps read and change."""

    recipe: Recipe
    run_dir: Path
    data: Data
    plan: Plan
    vae: VAE
    average: VAE
    """The averaged weights, which are validated and exported."""
    objective: nn.Module
    """The `Objective` of the model, perhaps compiled, of all processes."""
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    """The device's own random numbers, which each step seeds anew."""
    done: Progressed
    ranks: Ranks = ALONE
    centring: Centring | None = None
    """Centres what the encoder's first layer learns from; None where the recipe does not."""
    reader: ReadAhead | None = None
    """Reads the images of coming steps, where they are on the disk."""
    window: Window = field(default_factory=Window)
    next_checkpoint: float = 0.0
    """Time of the next checkpoint on the monotonic clock, in seconds."""
    begin: Callable[[], None] = do_nothing
    """Claims the folder, if it is a new one, after this start's first step."""
    on_validation: Callable[[int, float], str] = lambda epoch, bound_nats: ""
    """Is given an epoch and its bound; the reason that it returns, if any, ends the run."""

    def __post_init__(self) -> None:
        self.trained: list[Tensor] = list(self.vae.parameters())
        self.averaged: list[Tensor] = list(self.average.parameters())
        self.rows = self.ranks.rows(self.plan.batch_size)

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        return self.generator.device


def start_training(
    recipe: Recipe, data: Data, *, run_dir: Path, device: str, ranks: Ranks = ALONE
) -> Training:
    """The state of a run before its first step.

    Raises:
        ConfigError: The run that the recipe starts from is missing, or is of another model; this
            machine has no such device; the batch cannot be divided among the processes.
    """
    settings = recipe.training
    where = torch.device(find_device(device))
    torch.manual_seed(recipe.seed)
    vae = VAE(recipe.vae)
    done = Progressed()
    if recipe.start is not None:
        started = start_from(run_dir.parent / recipe.start, vae)
        done.seconds = started.seconds
        if not started.has_prior and not (run_dir / CHECKPOINT).exists():  # which has a later one
            start_mixture_prior(vae, data, recipe)
    else:
        is_glorot = settings.init == "glorot"
        if is_glorot:
            start_glorot(vae)
        if recipe.vae.principal_path:
            start_principal_path(vae, data, recipe)
        if settings.start_from_marginal:
            some = torch.randperm(len(data.cache))[: num_start_images(vae)]
            x = data.batch(some, recipe, progress=1.0).x
            start_from_marginal(vae, x, kept=1.0 if is_glorot else KEPT)
        if recipe.vae.prior.kind == "vamp":
            start_pseudo_inputs(vae, data, recipe)
    vae.to(where, torch.float64 if settings.precision == "64-true" else torch.float32)
    centring = Centring(vae, mean_picture(data, recipe)) if settings.centre_inputs else None
    if centring is not None and recipe.start is None:
        centring.start()
    objective: nn.Module = OBJECTIVES[recipe.objective.kind](vae, recipe.objective, ranks)
    if settings.compile:
        objective = torch.compile(objective)  # type: ignore[assignment]
    count = len(data.cache)
    size = min(settings.batch_size, count)
    plan = Plan(count, size, settings.epochs, recipe.seed, max_steps=settings.max_steps)
    epochs = plan.num_steps / plan.steps_per_epoch
    annealing = Annealing(settings.kl_warmup_epochs, epochs / settings.kl_cycles)
    return Training(
        recipe=recipe,
        run_dir=run_dir,
        data=data.to(where),
        plan=replace(plan, annealing=annealing),
        vae=vae,
        average=copy.deepcopy(vae).eval().requires_grad_(False),
        objective=ranks.wrap(objective, where, may_leave_out=vae.config.classifier is not None),
        optimizer=make_optimizer(vae, recipe.optimizer),
        generator=generator_of(where),
        done=done,
        ranks=ranks,
        centring=centring,
        next_checkpoint=time.monotonic() + settings.checkpoint_seconds,
    )


def save(training: Training) -> None:
    """Write a checkpoint, as the first process: everything that the next steps depend on.

    Raises:
        RunError: The disk is full or cannot be written to.
    """
    state = {
        "vae": training.vae.state_dict(),
        "average": training.average.state_dict(),
        "optimizer": training.optimizer.state_dict(),
        "done": asdict(training.done),
        "window": training.window.state(),
        "dataset_sha256": training.data.sha256,
    }
    if training.ranks.is_first:
        save_checkpoint(training.run_dir, state)
    training.next_checkpoint = time.monotonic() + training.recipe.training.checkpoint_seconds


def restore(training: Training, console: Console) -> None:
    """Load the run's last checkpoint, if it has one, and delete the lines logged after it.

    Raises:
        ConfigError: The data set has changed.
        RunError: Every checkpoint is damaged.
    """
    ranks, state = training.ranks, None
    if ranks.is_first:
        state = restore_checkpoint(training.run_dir, console=console)
    state = ranks.share(state)
    if state is not None:
        # Checkpoints from before 0.2 hold neither the data's digest nor the window.
        before = state.get("dataset_sha256", training.data.sha256)
        if before != training.data.sha256:
            raise ConfigError(
                f"The data set {training.recipe.dataset.name} has changed since the run began: its "
                f"sha256 was {before}, and is {training.data.sha256}. Restore the data, or train "
                "anew with another --run-dir."
            )
        training.vae.load_state_dict(state["vae"])
        training.average.load_state_dict(state["average"])
        load_optimizer(training.optimizer, state["optimizer"])
        training.done = Progressed(**state["done"])
        if not training.done.stopped_because:
            reason = stop_reason(training.done, training.plan, training.recipe)
            training.done.stopped_because = reason
        training.window = Window.restored(state.get("window", {}))
    if ranks.is_first:
        trim_log(training.run_dir, step=training.done.step)
