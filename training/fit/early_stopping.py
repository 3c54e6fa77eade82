"""Early stopping: the best validation so far, and why a run is over."""

import math

from training.fit.order import Plan
from training.recipes.loop import TrainingConfig
from training.runs.folder import Progressed


def record_validation(
    done: Progressed, bound_nats: float, error_nats: float, *, epoch: int
) -> bool:
    """Record a validation's bound; return whether it is the best so far."""
    done.bound_nats, done.bound_error_nats = bound_nats, error_nats
    done.stale_validations += 1
    if not (math.isfinite(bound_nats) and bound_nats > done.best_bound_nats):
        return False
    done.best_bound_nats, done.best_error_nats = bound_nats, error_nats
    done.best_epoch = epoch
    done.stale_validations = 0
    return True


def stop_reason(done: Progressed, plan: Plan, settings: TrainingConfig) -> str:
    """Why the run is over; empty while it is not."""
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
    return ""
