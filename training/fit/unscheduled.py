"""A validation outside the schedule: a run that is cut short has weights to export all the same.

It writes best.safetensors and state.json, and nothing that a resumed run reads: the checkpoint and
the log know nothing of it, so that the run goes on, and ends, as if it had not happened. The first
validation of the schedule replaces its weights.
"""

import math
from dataclasses import replace
from typing import Any

from training.fit.early_stopping import record_validation, validation_numbers
from training.fit.training import Training
from training.fit.validation import validate
from training.runs.folder import save_best, write_state

_PATIENCE_SECONDS = 2.0
"""Longest validation, by estimate, that a signal waits for."""


def needs_weights(training: Training, *, is_signal: bool) -> bool:
    """Whether a run that stops now has no weights to export, and may take the time to make some.

    Args:
        training: The run.
        is_signal: Whether a signal stops it, which is to end the process soon.
    """
    done, window = training.done, training.window
    if done.stopped_because or math.isfinite(done.best_bound_nats):
        return False
    # A step takes longer for an image than a validation does, whose draws it shares.
    estimate = len(training.data.validation) * window.seconds / max(window.images, 1)
    return not is_signal or estimate <= _PATIENCE_SECONDS


def validate_unscheduled(training: Training) -> dict[str, Any]:
    """Validate the averaged weights as they are, and keep them as the best ones if that is finite.

    Returns:
        The numbers of a line of the log, which is not written to it.

    Raises:
        RunError: The disk is full or cannot be written to.
    """
    recipe, done = training.recipe, replace(training.done)
    found = validate(training.average, training.data, recipe.objective)
    epoch = training.plan.epoch_of(done.step)
    if record_validation(done, found, epoch=epoch, keep=recipe.training.keep):
        save_best(training.run_dir, training.average)
        sha256, device = training.data.sha256, training.device
        write_state(training.run_dir, recipe, done, dataset_sha256=sha256, device=device)
    return {
        "step": done.step,
        **validation_numbers(done),
        "skipped_steps": done.skipped_steps,
        **training.window.means(),
    }
