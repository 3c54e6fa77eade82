"""The training loop, to be read from top to bottom.

All randomness is a function of (seed, step): the order of the images of (seed, epoch), everything
else of torch's state, which each step seeds with both. A run that is killed at any moment and
resumed from its last checkpoint repeats the lost steps exactly, and ends with the same weights
(bitwise on a CPU with the same number of threads).
"""

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int64
from lightning_fabric import Fabric
from rich.console import Console
from torch import Tensor

from models.errors import ConfigError
from models.vae.model import VAE
from training.data.datasets import Dataset
from training.data.left_out import write_left_out
from training.errors import Interrupted
from training.fit.batches import Data, load_data
from training.fit.classical import CLASSICAL, fit_classical
from training.fit.divergence import count_skipped, refuse_diverged
from training.fit.early_stopping import record_validation, stop_reason
from training.fit.interruption import Interruption
from training.fit.memory import memory_errors
from training.fit.objectives import OBJECTIVES, Annealing
from training.fit.optimizer import (
    clip_gradient,
    make_optimizer,
    set_learning_rate,
    update_average,
)
from training.fit.order import Plan, derive_seed
from training.fit.progress import Bar, Window
from training.fit.pseudo_inputs import clamp_pseudo_inputs, start_pseudo_inputs
from training.fit.start import num_start_images, start_from_marginal
from training.fit.tensorboard import Curves
from training.fit.validation import validate
from training.recipes.recipe import Recipe
from training.runs.checkpoint import restore_checkpoint, save_checkpoint
from training.runs.claim import create_or_verify, is_begun
from training.runs.folder import (
    LOG,
    Progressed,
    append_line,
    check_writable,
    save_best,
    start_from,
    trim_log,
    write_state,
)
from training.runs.hardware import peak_memory
from training.runs.lock import RunLock
from training.runs.provenance import record_start


def train(
    recipe: Recipe,
    *,
    run_dir: Path,
    data_dir: Path | None = None,
    resume: bool = False,
    device: str = "auto",
    console: Console | None = None,
    limit_seconds: float = math.inf,
    tensorboard: bool = True,
    comments: Mapping[str, Sequence[str]] | None = None,
    dataset: Dataset | None = None,
) -> Progressed:
    """Train a recipe's model and keep the averaged weights that validate best.

    Args:
        recipe: The recipe.
        run_dir: Folder of the run; must hold no other run, and none at all unless resumed.
        data_dir: Folder of the data sets.
        resume: Continue from the run's checkpoint, if there is one.
        device: Accelerator as Lightning Fabric names it: "auto", "cpu", "cuda", "mps"; "cuda:1" for
            the second GPU.
        console: Console that shows progress; a console of its own by default.
        limit_seconds: Time from the call after which a checkpoint is written and the call returns.
        tensorboard: Whether to write TensorBoard files into the run's folder.
        comments: Lines for the stored recipe's tables, as `to_toml` takes them.
        dataset: The recipe's data set, if it is loaded already.

    Returns:
        The run's progress; `stopped_because` is empty when the time limit ended the call.

    Raises:
        ConfigError: The folder holds another run, or the recipe does not go with its data.
        DatasetError: Files of the data set are missing or damaged.
        Interrupted: SIGTERM or SIGINT came; a checkpoint is written.
        RunError: The disk is full, no checkpoint can be read, another process trains the run, the
            memory is too small, or training diverged.
    """
    deadline = time.monotonic() + limit_seconds
    console = console or Console()
    check_writable(run_dir)
    with RunLock(run_dir, console) as lock, memory_errors(recipe):

        def claim() -> None:
            lock.acquire()
            create_or_verify(run_dir, recipe, resume=resume, comments=comments)

        is_new = not is_begun(run_dir)
        if not is_new:
            claim()  # refuse before the data are read
        data = load_data(recipe, data_dir, console, dataset=dataset)

        def begin() -> None:
            if is_new:
                claim()  # only now: what cannot take a first step leaves no folder behind
            list_left_out(run_dir, data, console)

        if recipe.objective.kind in CLASSICAL:
            done = fit_classical(recipe, data, run_dir=run_dir, begin=begin)
        else:
            training = start_training(recipe, data, run_dir=run_dir, device=device)
            if not is_new:
                restore(training, console)
            training.begin = begin
            run_steps(training, deadline=deadline, tensorboard=tensorboard, console=console)
            done = training.done
    refuse_diverged(done, recipe)
    return done


def do_nothing() -> None:
    """Begin without a claim of the folder."""


def list_left_out(run_dir: Path, data: Data, console: Console) -> None:
    """Write every file that was left out of the data into the run's folder, and say where."""
    if data.skipped:
        said = write_left_out(run_dir, data.skipped)
        console.print(said, soft_wrap=True, markup=False, highlight=False)


@dataclass
class Training:
    """The state of a run that its steps read and change."""

    recipe: Recipe
    run_dir: Path
    data: Data
    plan: Plan
    fabric: Fabric
    vae: VAE
    average: VAE
    """The averaged weights, which are validated and exported."""
    objective: Any
    """The `Objective` of the model, wrapped by Fabric."""
    optimizer: Any
    done: Progressed
    window: Window = field(default_factory=Window)
    next_checkpoint: float = 0.0
    """Time of the next checkpoint on the monotonic clock, in seconds."""
    begin: Callable[[], None] = do_nothing
    """Claims the folder, if it is a new one, after this start's first step."""

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        return self.fabric.device


def start_training(recipe: Recipe, data: Data, *, run_dir: Path, device: str) -> Training:
    """The state of a run before its first step.

    Raises:
        ConfigError: The run that the recipe starts from is missing, or is of another model.
    """
    settings = recipe.training
    precision: Any = settings.precision if settings.precision == "64-true" else "32-true"
    accelerator, _, index = device.partition(":")
    devices: Any = [int(index)] if index else 1
    fabric = Fabric(accelerator=accelerator, devices=devices, precision=precision)
    torch.manual_seed(recipe.seed)
    vae = VAE(recipe.vae)
    done = Progressed()
    if recipe.start is not None:
        done.seconds = start_from(run_dir.parent / recipe.start, vae)
    else:
        if settings.start_from_marginal:
            some = torch.randperm(len(data.cache))[: num_start_images(vae)]
            start_from_marginal(vae, data.batch(some, recipe, progress=1.0).x)
        if recipe.vae.prior.kind == "vamp":
            start_pseudo_inputs(vae, data, recipe)
    annealing = Annealing(settings.kl_warmup_epochs, settings.epochs / settings.kl_cycles)
    maximised = OBJECTIVES[recipe.objective.kind](vae, recipe.objective, annealing=annealing)
    objective, optimizer = fabric.setup(maximised, make_optimizer(vae, recipe.optimizer))
    count = len(data.cache)
    return Training(
        recipe=recipe,
        run_dir=run_dir,
        data=data,
        plan=Plan(count, min(settings.batch_size, count), settings.epochs, recipe.seed),
        fabric=fabric,
        vae=vae,
        average=copy.deepcopy(vae).eval().requires_grad_(False),
        objective=objective,
        optimizer=optimizer,
        done=done,
        next_checkpoint=time.monotonic() + settings.checkpoint_seconds,
    )


def save(training: Training) -> None:
    """Write a checkpoint: everything that the next steps depend on.

    Raises:
        RunError: The disk is full or cannot be written to.
    """
    state = {
        "vae": training.vae.state_dict(),
        "average": training.average.state_dict(),
        "optimizer": training.optimizer.state_dict(),
        "done": asdict(training.done),
        "window": asdict(training.window),
        "dataset_sha256": training.data.sha256,
    }
    save_checkpoint(training.run_dir, state)
    training.next_checkpoint = time.monotonic() + training.recipe.training.checkpoint_seconds


def restore(training: Training, console: Console) -> None:
    """Load the run's last checkpoint, if it has one, and delete the lines logged after it.

    Raises:
        ConfigError: The data set has changed.
        RunError: Every checkpoint is damaged.
    """
    state = restore_checkpoint(training.run_dir, device=training.device, console=console)
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
        training.optimizer.load_state_dict(state["optimizer"])
        training.done = Progressed(**state["done"])
        if not training.done.stopped_because:
            settings = training.recipe.training
            reason = stop_reason(training.done, training.plan, settings)
            training.done.stopped_because = reason
        training.window = Window(**state.get("window", {}))
    trim_log(training.run_dir, step=training.done.step)


def run_steps(training: Training, *, deadline: float, tensorboard: bool, console: Console) -> None:
    """The loop: step, validate, write a checkpoint, until the run is over or is interrupted.

    Raises:
        Interrupted: SIGTERM or SIGINT came; a checkpoint is written.
        RunError: The disk is full, or training diverged.
    """
    done, plan, run_dir = training.done, training.plan, training.run_dir
    first = done.step
    held_out, spec = training.data.validation, training.recipe.image
    with (
        Interruption() as interruption,
        Curves(run_dir, step=done.step, held_out=held_out, spec=spec) as curves,
        Bar(
            training.recipe.name,
            num_steps=plan.num_steps,
            steps_per_epoch=plan.steps_per_epoch,
            console=console,
        ) as bar,
    ):
        bar.show(done, training.window)
        for chosen in plan.batches(start=plan.num_steps if done.stopped_because else done.step):
            take_step(training, chosen)
            if done.step == first + 1:
                note_start(training, step=first)
            if is_due(training):
                line = validate_and_log(training)
                if tensorboard:
                    curves.add(line, training.average)
            ends = done.stopped_because or interruption.received or time.monotonic() > deadline
            if ends or time.monotonic() > training.next_checkpoint:
                save(training)
            bar.show(done, training.window)
            if ends:
                break
    if interruption.received is not None and not done.stopped_because:
        raise Interrupted(
            f"{interruption.received.name} ended the run after step {done.step} of "
            f"{plan.num_steps}; the checkpoint is in {run_dir}. Continue it with --resume.",
            signal_number=interruption.received,
        )


def note_start(training: Training, *, step: int) -> None:
    """Claim the run's folder, and note this start at a step in it."""
    training.begin()
    sha256, device = training.data.sha256, training.device
    record_start(training.run_dir, step=step, dataset_sha256=sha256, device=device)


def take_step(training: Training, chosen: Int64[Tensor, " batch"]) -> None:
    """Change the weights by one batch, unless its gradient is not finite.

    Raises:
        RunError: Too many gradients in a row were not finite.
    """
    recipe, done, fabric = training.recipe, training.done, training.fabric
    started, at = time.monotonic(), training.plan.at(training.done.step)
    torch.manual_seed(derive_seed(recipe.seed, at.step))
    training.objective.train()
    batch = fabric.to_device(training.data.batch(chosen, recipe, progress=at.progress))
    noise_shape = (recipe.objective.num_samples, len(batch.x), *training.vae.latent_shape)
    noise = torch.randn(noise_shape, device=batch.x.device)
    set_learning_rate(training.optimizer, recipe, at.progress)

    # Fabric's own mixed precision would round data and noise, and with them every log-density.
    mixed = recipe.training.precision == "bf16-mixed"
    with torch.autocast(fabric.device.type, torch.bfloat16, enabled=mixed):
        terms = training.objective(batch, noise, at)
    training.optimizer.zero_grad()
    fabric.backward(terms.loss)
    norm = clip_gradient(training.vae, recipe.optimizer.gradient_clip)
    is_finite = bool(norm.isfinite())
    if is_finite:
        training.optimizer.step()
        clamp_pseudo_inputs(training.vae)
        decay = min(recipe.training.ema_decay, (1 + at.step) / (10 + at.step))
        update_average(training.average, training.vae, decay=decay)
    done.step += 1
    done.seconds += (seconds := time.monotonic() - started)
    if is_finite:
        done.skipped_in_a_row = 0
        training.window.add(terms, norm, images=len(batch.x), seconds=seconds)
    else:
        count_skipped(done, recipe)


def is_due(training: Training) -> bool:
    """Whether the averaged weights are to be validated after this step."""
    step, plan = training.done.step, training.plan
    every = training.recipe.training.validate_every_epochs
    return step == plan.num_steps or step % (every * plan.steps_per_epoch) == 0


def validate_and_log(training: Training) -> dict[str, Any]:
    """Validate the averaged weights, keep them if they are the best, write log and state.

    Returns:
        The new line of the log.

    Raises:
        RunError: The disk is full or cannot be written to.
    """
    recipe, done = training.recipe, training.done
    bound_nats, error_nats = validate(training.average, training.data, recipe.objective)
    epoch = done.step // training.plan.steps_per_epoch
    if record_validation(done, bound_nats, error_nats, epoch=epoch):
        save_best(training.run_dir, training.average)
    done.stopped_because = stop_reason(training.done, training.plan, training.recipe.training)
    line = log_line(training)
    append_line(training.run_dir / LOG, line)
    write_state(
        training.run_dir,
        recipe,
        done,
        dataset_sha256=training.data.sha256,
        device=training.device,
    )
    training.window, training.next_checkpoint = Window(), 0.0
    return line


def log_line(training: Training) -> dict[str, Any]:
    """The line of the log for the last validation."""
    done = training.done
    return {
        "epoch": done.step // training.plan.steps_per_epoch,
        "step": done.step,
        "seconds": round(done.seconds, 1),
        "validation_bound_nats": done.bound_nats,
        "validation_standard_error_nats": done.bound_error_nats,
        "best_validation_bound_nats": done.best_bound_nats,
        "learning_rate": training.optimizer.param_groups[0]["lr"],
        "skipped_steps": done.skipped_steps,
        **training.window.means(),
        **peak_memory(training.device),
    }
