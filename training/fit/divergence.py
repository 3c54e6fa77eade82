"""Divergence: runs whose gradients or validations are not finite end with a remedy."""

import math

from training.errors import Diverged
from training.recipes.loop import OptimizerConfig
from training.recipes.recipe import CLASSICAL_KINDS, Recipe
from training.runs.folder import Progressed


def count_skipped(done: Progressed, recipe: Recipe, *, taken: int, finite: int) -> None:
    """Count the steps of late that changed nothing, since their gradient was not finite.

    Args:
        done: The run's progress; changed.
        recipe: The recipe.
        taken: Steps since the last count.
        finite: Those of them whose gradient was finite.

    Raises:
        Diverged: As many in a row were not finite as are allowed, as far as counts show it.
    """
    done.skipped_steps += taken - finite
    done.skipped_in_a_row = 0 if finite else done.skipped_in_a_row + taken
    if done.skipped_in_a_row >= recipe.training.max_skipped_in_a_row:
        skipped = done.skipped_in_a_row
        raise diverged(
            done, recipe, f"the last {skipped} gradients, up to step {done.step}, were not finite"
        )


def refuse_diverged(done: Progressed, recipe: Recipe) -> None:
    """Refuse a run that is over and has learnt nothing.

    Raises:
        Diverged: No validation was finite, or every step was skipped.
    """
    if done.stopped_because and not math.isfinite(done.best_bound_nats):
        raise diverged(done, recipe, "no validation had a finite bound")
    if done.stopped_because and done.skipped_steps == done.step:
        raise diverged(done, recipe, "no step had a finite gradient")


def diverged(done: Progressed, recipe: Recipe, why: str) -> Diverged:
    """The error of a run that diverged, with a lower learning rate to paste."""
    has_weights = math.isfinite(done.best_bound_nats)
    kept = "; this one keeps the weights that validated best" if has_weights else ""
    if recipe.objective.kind in CLASSICAL_KINDS:
        return Diverged(f"The fit failed: {why}. Check the data for images that are all alike.")
    rate = recipe.optimizer.learning_rate
    lower = min(rate / 10, OptimizerConfig().learning_rate)
    return Diverged(
        f"Training diverged: {why}. Lower optimizer.learning_rate = {rate:g} or "
        f"optimizer.gradient_clip = {recipe.optimizer.gradient_clip:g}, as in --set "
        f"optimizer.learning_rate={lower:g}, and train with another --run-dir{kept}."
    )
