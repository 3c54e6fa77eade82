"""The training loop, to be read from top to bottom.

All randomness is a function of (seed, step): the order of the images of (seed, epoch), everything
else of the device's random numbers, which each step seeds with both (`step.py`). A run that is
killed at any moment and resumed from its last checkpoint repeats the lost steps exactly, and ends
with the same weights (bitwise on a CPU with the same number of threads).
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from signal import Signals
from typing import Any

from rich.console import Console

from training.data.datasets import Dataset
from training.data.left_out import write_left_out
from training.errors import Interrupted
from training.fit.batches import Data, load_data
from training.fit.cost import MEASURED_STEPS, describe_cost, emulation_warning
from training.fit.divergence import count_skipped, refuse_diverged
from training.fit.early_stopping import record_validation, stop_reason, validation_numbers
from training.fit.interruption import Interruption
from training.fit.meetings import Meetings
from training.fit.memory import memory_errors
from training.fit.progress import Bar, Window
from training.fit.ranks import ALONE, Ranks
from training.fit.read_ahead import ReadAhead
from training.fit.recorder import Recorder
from training.fit.step import take_step
from training.fit.training import Training, restore, save, start_training
from training.fit.unscheduled import needs_weights, validate_unscheduled
from training.fit.validation import validate
from training.recipes.recipe import CLASSICAL_KINDS, Recipe
from training.runs.claim import create_or_verify, is_begun
from training.runs.folder import (
    LOG,
    Progressed,
    append_line,
    check_writable,
    save_best,
    write_state,
)
from training.runs.hardware import peak_memory
from training.runs.lock import RunLock
from training.runs.planned import Planned, keep_planned
from training.runs.provenance import record_start, recorded_data


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
    mlflow: str | None = None,
    report: bool = False,
    comments: Mapping[str, Sequence[str]] | None = None,
    dataset: Dataset | None = None,
    data: Data | None = None,
    planned: Planned | None = None,
    ranks: Ranks = ALONE,
    on_validation: Callable[[int, float], str] = lambda epoch, bound_nats: "",
) -> Progressed:
    """Train a recipe's model and keep the averaged weights that validate best.

    Args:
        recipe: The recipe.
        run_dir: Folder of the run; must hold no other run, and none at all unless resumed.
        data_dir: Folder of the data sets.
        resume: Continue from the run's checkpoint, if there is one.
        device: "auto", "cpu", "cuda", "mps"; "cuda:1" for the second GPU.
        console: Console that shows progress; a console of its own by default.
        limit_seconds: Time from the call after which a checkpoint is written and the call returns,
            with best weights in the folder: validated now, if no validation was finite before.
        tensorboard: Whether to write TensorBoard files into the run's folder.
        mlflow: URI of the MLflow server or store that gets the log; none by default.
        report: Whether to write the run's page when the call ends, as `vae-lab train` does.
        comments: Lines for the stored recipe's tables, as `to_toml` takes them.
        dataset: The recipe's data set, if it is loaded already.
        data: What `load_data` made of it, if it is read already.
        planned: What the recipe was planned from, to be kept in a new run's folder.
        ranks: This process's place among those that train the run; the first one alone writes.
        on_validation: Is given an epoch and its bound; the reason that it returns, if any, ends the
            run.

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
    recorder = Recorder(
        recipe,
        run_dir,
        console=console,
        tensorboard=tensorboard and ranks.is_first,
        mlflow=mlflow if ranks.is_first else None,
        report=report,
    )
    with recorder, RunLock(run_dir, console) as lock, memory_errors(recipe):

        def claim() -> None:
            if not ranks.is_first:
                return
            lock.acquire()
            create_or_verify(run_dir, recipe, resume=resume, comments=comments)
            if is_new:
                keep_planned(run_dir, planned)

        is_new = ranks.share(not is_begun(run_dir))
        if not is_new:
            claim()  # refuse before the data are read
        with ranks.first_before_others():  # who find in the cache what the first one decodes
            data = data or load_data(
                recipe, data_dir, console, dataset=dataset, recorded=recorded_data(run_dir)
            )

        def begin() -> None:
            if is_new:
                claim()  # only now: what cannot take a first step leaves no folder behind
            list_left_out(run_dir, data, console)
            recorder.begin()

        if recipe.objective.kind in CLASSICAL_KINDS:
            from training.fit.classical import fit_classical  # brings scikit-learn, a second

            ranks.refuse_several(
                f"objective.kind = {recipe.objective.kind} is fitted at once,",
                f"Start vae-lab train {recipe.name} without torchrun.",
                parameter="objective.kind",
            )
            done = fit_classical(recipe, data, run_dir=run_dir, begin=begin, record=recorder.add)
        else:
            training = start_training(recipe, data, run_dir=run_dir, device=device, ranks=ranks)
            if not is_new:
                restore(training, console)
            training.begin, training.on_validation = begin, on_validation
            if ranks.is_first and (doubt := emulation_warning(recipe, training.device)):
                console.print(doubt, soft_wrap=True, markup=False, highlight=False)
            run_steps(training, deadline=deadline, recorder=recorder, console=console)
            done = training.done
        refuse_diverged(done, recipe)
    return done


def list_left_out(run_dir: Path, data: Data, console: Console) -> None:
    """Write every file that was left out of the data into the run's folder, and say where."""
    if data.skipped:
        said = write_left_out(run_dir, data.skipped)
        console.print(said, soft_wrap=True, markup=False, highlight=False)


def run_steps(training: Training, *, deadline: float, recorder: Recorder, console: Console) -> None:
    """The loop: step, validate, write a checkpoint, until the run is over or is interrupted.

    Raises:
        Interrupted: SIGTERM or SIGINT came; a checkpoint is written.
        RunError: The disk is full, or training diverged.
    """
    done, plan, ranks = training.done, training.plan, training.ranks
    first, first_seconds = done.step, 0.0
    at_least_every = training.recipe.training.max_skipped_in_a_row
    meetings = Meetings(ranks, step=first, at_least_every=at_least_every)
    start = plan.num_steps if done.stopped_because else done.step
    if training.data.is_on_disk:
        training.reader = ReadAhead(training.data.cache, plan.batches(start=start))
    with (
        training.reader or nullcontext(),
        Interruption() as interruption,
        Bar(
            training.recipe.name,
            num_steps=plan.num_steps,
            steps_per_epoch=plan.steps_per_epoch,
            console=console,
        ) as bar,
    ):
        bar.show(done, training.window)
        for chosen in plan.batches(start=start, device=training.data.cache.device):
            began = time.monotonic()
            take_step(training, chosen)
            if training.reader is not None:
                training.reader.advance()
            if done.step == first + 1 and ranks.is_first:
                note_start(training, step=first)
            validates, timed = is_due(training), done.step - first - 1
            looks = validates or timed in (0, MEASURED_STEPS) or meetings.is_due(done.step)
            looks = looks or (ranks.count == 1 and interruption.received is not None)
            if looks:
                look(training)
            spend(training, time.monotonic() - began)
            if not looks:
                continue
            if timed == 0:
                first_seconds = done.seconds
            if timed == MEASURED_STEPS:
                say_cost(training, done.seconds - first_seconds, console)
            if validates:
                validate_together(training, bar, recorder)
            now = time.monotonic()
            over = bool(done.stopped_because) or interruption.received is not None or now > deadline
            due = validates or now > training.next_checkpoint
            ends, saves = meetings.decide(done.step, ends=over, saves=over or due)
            if saves:
                save(training)
            bar.show(done, training.window)
            if ends:
                is_signal = interruption.received is not None
                if ranks.is_first and needs_weights(training, is_signal=is_signal):
                    bar.write_validation(validate_unscheduled(training))
                break
    if interruption.received is not None and not done.stopped_because:
        raise interrupted(training, interruption.received)


def interrupted(training: Training, signal_number: Signals) -> Interrupted:
    """The error of a run that a signal ended before its last step."""
    return Interrupted(
        f"{signal_number.name} ended the run after step {training.done.step} of "
        f"{training.plan.num_steps}; the checkpoint is in {training.run_dir}. Continue it with "
        "--resume.",
        signal_number=signal_number,
    )


def note_start(training: Training, *, step: int) -> None:
    """Claim the run's folder, and note this start at a step in it."""
    training.begin()
    sha256, device = training.data.sha256, training.device
    record_start(training.run_dir, step=step, dataset_sha256=sha256, device=device)


def look(training: Training) -> None:
    """Read what the steps since the last look have added up, and count those that were skipped.

    Raises:
        RunError: Too many gradients in a row were not finite.
    """
    window = training.window
    taken, finite = window.taken - window.seen, window.steps
    window.read(training.ranks)
    count_skipped(training.done, training.recipe, taken=taken, finite=window.steps - finite)


def say_cost(training: Training, seconds: float, console: Console) -> None:
    """Say what the run will cost, by the seconds of its measured steps."""
    said = describe_cost(
        training.plan,
        step=training.done.step,
        seconds_a_step=seconds / MEASURED_STEPS,
        device=training.device,
    )
    console.print(said, soft_wrap=True, markup=False, highlight=False)


def spend(training: Training, seconds: float) -> None:
    """Count the seconds of steps, which validations and checkpoints do not add to."""
    training.done.seconds += seconds
    training.window.seconds += seconds


def is_due(training: Training) -> bool:
    """Whether the averaged weights are to be validated after this step."""
    step, plan = training.done.step, training.plan
    every = training.recipe.training.validate_every_epochs
    return step == plan.num_steps or step % (every * plan.steps_per_epoch) == 0


def validate_together(training: Training, bar: Bar, recorder: Recorder) -> None:
    """Validate as the first process, tell the others what it found, and begin a new window."""
    if training.ranks.is_first:
        bar.write_validation(line := validate_and_log(training))
        recorder.add(line, training.average, training.data.validation)
    vars(training.done).update(training.ranks.share(vars(training.done)))
    training.window = Window()


def validate_and_log(training: Training) -> dict[str, Any]:
    """Validate the averaged weights, keep them if they are the best, write log and state.

    Returns:
        The new line of the log.

    Raises:
        RunError: The disk is full or cannot be written to.
    """
    recipe, done = training.recipe, training.done
    found = validate(training.average, training.data, recipe.objective)
    epoch = training.plan.epoch_of(done.step)
    if record_validation(done, found, epoch=epoch, keep=recipe.training.keep):
        save_best(training.run_dir, training.average)
    reason = stop_reason(done, training.plan, recipe)
    done.stopped_because = reason or training.on_validation(epoch, found.bound_nats)
    line = log_line(training)
    append_line(training.run_dir / LOG, line)
    sha256, device = training.data.sha256, training.device
    write_state(training.run_dir, recipe, done, dataset_sha256=sha256, device=device)
    return line


def log_line(training: Training) -> dict[str, Any]:
    """The line of the log for the last validation."""
    done = training.done
    reader = training.reader
    read = {} if reader is None else {"images_read_per_second": round(reader.images_per_second, 1)}
    return {
        "epoch": training.plan.epoch_of(done.step),
        "step": done.step,
        "seconds": round(done.seconds, 1),
        **validation_numbers(done),
        "best_validation_bound_nats": done.best_bound_nats,
        "learning_rate": training.optimizer.param_groups[0]["lr"],
        "skipped_steps": done.skipped_steps,
        **training.window.means(),
        **read,
        **peak_memory(training.device),
    }
