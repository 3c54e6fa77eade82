"""What the parts of a run take, timed on copies before the run begins.

The copies are thrown away, with the folder that they write to. A run seeds all that is random
itself, so that its weights do not depend on whether it was rehearsed.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from torch import Tensor

from training.fit.batches import Data
from training.fit.memory import memory_errors
from training.fit.recorder import Recorder
from training.fit.step import take_step
from training.fit.train import note_start, validate_and_log
from training.fit.training import Training, save, start_training
from training.recipes.recipe import Recipe
from training.runs.claim import create_or_verify

_NUM_VALIDATED = 500
"""Validation images that are timed: a batch of theirs."""
_SHARE, _LONGEST_SECONDS = 0.03, 20.0
"""Time for which steps are timed: a share of the run's, and the most."""


@dataclass(frozen=True)
class Costs:
    """Seconds of the parts of a run, and the number of steps of its epochs."""

    start: float
    """Up to the end of the first step, in which memory is allocated and kernels are chosen."""
    step: float
    validation: float
    """With its pictures, log and checkpoint."""
    end: float
    """The report."""
    steps_per_epoch: int


def rehearse(
    recipe: Recipe,
    data: Data,
    *,
    run_dir: Path,
    device: str,
    seconds: float,
    tensorboard: bool = True,
) -> Costs:
    """Time the parts of a run.

    Args:
        recipe: The recipe.
        data: Its data.
        run_dir: Folder of the run to come, beside which is the run that it starts from.
        device: "auto", "cpu", "cuda", "mps".
        seconds: Time that the run will have; some hundredths of it are spent here.
        tensorboard: Whether validations write TensorBoard files.

    Raises:
        ConfigError: The recipe does not go with its data, or this machine has no such device.
        RunError: The memory is too small, or the disk is full.
    """
    with TemporaryDirectory(prefix="vae-lab-") as name, memory_errors(recipe):
        folder, quiet = Path(name) / recipe.name, Console(quiet=True)
        create_or_verify(folder, recipe, resume=False)
        with Recorder(
            recipe, folder, console=quiet, tensorboard=tensorboard, report=True
        ) as recorder:
            for _ in range(1 if recipe.training.compile else 2):  # the first one imports
                began = time.monotonic()
                training = start_training(recipe, data, run_dir=run_dir, device=device)
                training.run_dir = folder
                steps = training.plan.batches(start=0, device=training.data.cache.device)
                take_step(training, next(steps))
                training.window.read()
                note_start(training, step=0)
                recorder.begin()
                start = time.monotonic() - began
            longest = min(_LONGEST_SECONDS, _SHARE * seconds)
            step = _time_steps(training, steps, longest=longest) or start
            for _ in range(2):  # the first one imports and compiles
                validation = _time_validation(training, recorder, data.validation)
            began = time.monotonic()
        end = time.monotonic() - began
    return Costs(start, step, validation, end, training.plan.steps_per_epoch)


def _time_steps(training: Training, steps: Iterator[Tensor], *, longest: float) -> float:
    """Mean seconds of a step, over some time and at least one step; 0 where none is left."""
    began, taken = time.monotonic(), 0
    for chosen in steps:
        take_step(training, chosen)
        taken += 1
        if time.monotonic() - began > longest:
            break
    training.window.read()  # a GPU has done its steps only now
    return (time.monotonic() - began) / max(taken, 1)


def _time_validation(training: Training, recorder: Recorder, validation: Tensor) -> float:
    """Seconds of a validation and all that is written at one, by its first images."""
    labels, few = training.data.validation_labels, validation[:_NUM_VALIDATED]
    some_labels = None if labels is None else labels[:_NUM_VALIDATED]
    training.data = replace(training.data, validation=few, validation_labels=some_labels)
    began = time.monotonic()
    line = validate_and_log(training)
    validated = time.monotonic()
    recorder.add(line, training.average, validation)
    save(training)
    return (validated - began) * len(validation) / len(few) + time.monotonic() - validated
