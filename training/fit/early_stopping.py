"""Early stopping: the best validation so far, and why a run is over.

Every validation has the same draws, and is of averaged weights: a bound that falls again and again
falls because the model learns its training images by heart.
"""

import math

from training.fit.order import Plan
from training.recipes.recipe import Recipe
from training.runs.folder import Progressed

CLEAR_BITS_PER_DIM = 0.003
"""Loss in the validation bound from which on falls in a row are no chance."""


def record_validation(
    done: Progressed, bound_nats: float, error_nats: float, *, epoch: int
) -> bool:
    """Record a validation's bound; return whether it is the best so far."""
    fell = math.isfinite(bound_nats) and bound_nats < done.bound_nats < math.inf
    done.falls = done.falls + 1 if fell else 0
    done.bound_nats, done.bound_error_nats = bound_nats, error_nats
    done.stale_validations += 1
    if not (math.isfinite(bound_nats) and bound_nats > done.best_bound_nats):
        return False
    done.best_bound_nats, done.best_error_nats = bound_nats, error_nats
    done.best_epoch = epoch
    done.stale_validations = 0
    return True


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
