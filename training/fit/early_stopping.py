"""Early stopping: the best validation so far, and why a run is over.

Every validation has the same draws, and is of averaged weights: a bound that falls again and again
falls because the model learns its training images by heart.
"""

import math

from training.fit.order import Plan
from training.fit.validation import Validation
from training.recipes.loop import Kept
from training.recipes.recipe import Recipe
from training.runs.folder import Progressed

CLEAR_BITS_PER_DIM = 0.003
"""Loss in the validation bound from which on falls in a row are no chance."""


def record_validation(
    done: Progressed, found: Validation, *, epoch: int, keep: Kept = "bound"
) -> bool:
    """Record a validation; return whether it is the best so far.

    Args:
        done: The run's progress; changed.
        found: The validation.
        epoch: Its epoch.
        keep: What the best one has most of; of equal accuracies the larger bound is better.
    """
    bound_nats = found.bound_nats
    fell = math.isfinite(bound_nats) and bound_nats < done.bound_nats < math.inf
    done.falls = done.falls + 1 if fell else 0
    done.bound_nats, done.bound_error_nats, done.label_accuracy = found
    done.stale_validations += 1
    best = Validation(done.best_bound_nats, done.best_error_nats, done.best_label_accuracy)
    if not (math.isfinite(bound_nats) and _rank(found, keep) > _rank(best, keep)):
        return False
    done.best_bound_nats, done.best_error_nats, done.best_label_accuracy = found
    done.best_epoch = epoch
    done.stale_validations = 0
    return True


def _rank(found: Validation, keep: Kept) -> tuple[float, float]:
    """What decides between two validations, the first number before the second."""
    return (found.label_accuracy or 0.0) if keep == "label_accuracy" else 0.0, found.bound_nats


def validation_numbers(done: Progressed) -> dict[str, float]:
    """The last validation by the names that a line of the log has."""
    numbers = {
        "validation_bound_nats": done.bound_nats,
        "validation_standard_error_nats": done.bound_error_nats,
    }
    if done.label_accuracy is not None:
        numbers["validation_label_accuracy"] = done.label_accuracy
    return numbers


def stop_reason(done: Progressed, plan: Plan, recipe: Recipe) -> str:
    """Why the run is over; empty while it is not."""
    settings = recipe.training
    if done.step == plan.num_steps:
        if plan.num_steps < plan.epochs * plan.steps_per_epoch:
            return f"all {plan.num_steps:,} steps are done"
        return f"all {settings.epochs} epochs are done"
    if 0 < settings.patience <= done.stale_validations:
        if done.best_epoch == 0:
            return f"none of the {done.stale_validations} validations was finite"
        return (
            f"the last {done.stale_validations} validations were not better than that of epoch "
            f"{done.best_epoch}"
        )
    lost = (done.best_bound_nats - done.bound_nats) / (recipe.vae.num_dimensions * math.log(2))
    if 0 < settings.max_falls_in_a_row <= done.falls and lost > CLEAR_BITS_PER_DIM:
        return (
            f"the model overfits: the last {done.falls} validations fell one after another, to "
            f"{lost:.3f} bits per dim below that of epoch {done.best_epoch}"
        )
    return ""
