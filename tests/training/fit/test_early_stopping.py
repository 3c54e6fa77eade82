"""Early stopping: what counts as better, and which reasons end a run."""

import math

import pytest

from training.fit.early_stopping import record_validation, stop_reason
from training.fit.order import Plan
from training.fit.validation import Validation
from training.recipes.file import RECIPES, load_recipe
from training.runs.folder import Progressed

PLAN = Plan(100, 10, 50, 1)


def run(bounds, *, max_falls=3, patience=0, done=None) -> tuple[Progressed, str, int]:
    """Validate until a reason ends the run; the reason, and after how many validations."""
    recipe = load_recipe(
        RECIPES / "digits.toml",
        overrides=[f"training.max_falls_in_a_row={max_falls}", f"training.patience={patience}"],
    )
    done = done or Progressed(step=1)
    for epoch, bound in enumerate(bounds, 1):
        record_validation(done, Validation(float(bound), 1.0), epoch=epoch)
        if reason := stop_reason(done, PLAN, recipe):
            return done, reason, epoch
    return done, "", len(bounds)


def test_a_bound_that_falls_again_and_again_ends_the_run_as_overfitting():
    _, reason, validations = run([-100, -90, -91, -92, -93, -94])
    assert validations == 5
    # digits: 64 pixels, so 3 nats are 3 / (64 log 2) bits per dim
    assert reason == (
        "the model overfits: the last 3 validations fell one after another, to 0.068 bits per dim "
        "below that of epoch 2"
    )


@pytest.mark.parametrize(
    "bounds",
    [
        [-100, -90, -91, -92, -91.5, -92, -93],
        [-100, -90, -90.01, -90.02, -90.03, -90.04, -90.05],
        [-90, -91, math.nan, -92, -93],
        [-100, -99, -98, -97, -96],
    ],
    ids=["a rise between", "hardly at all", "not finite between", "better and better"],
)
def test_other_bounds_do_not(bounds):
    assert run(bounds)[1] == ""


def test_a_first_validation_is_no_fall():
    done, _, _ = run([-100])
    assert done.falls == 0


def test_falls_end_nothing_unless_they_are_limited():
    assert run([-90, -91, -92, -93, -94, -95], max_falls=0)[1] == ""


def test_falls_far_above_an_earlier_dip_count_from_the_best():
    done, reason, _ = run([-50, -80, -60, -61, -62, -63])
    assert done.best_bound_nats == -50
    assert "below that of epoch 1" in reason


def test_validations_without_a_better_bound_end_the_run_by_patience():
    _, reason, validations = run([-90, -91, -90.5], patience=2)
    assert validations == 3
    assert reason == "the last 2 validations were not better than that of epoch 1"


def best_of(keep, *validations) -> Progressed:
    done = Progressed()
    for epoch, (bound, accuracy) in enumerate(validations, 1):
        record_validation(done, Validation(bound, 1.0, accuracy), epoch=epoch, keep=keep)
    return done


def test_the_weights_of_the_best_bound_are_kept_or_those_of_the_best_accuracy():
    validations = (-100.0, 0.7), (-90.0, 0.9), (-80.0, 0.8)
    done = best_of("bound", *validations)
    assert (done.best_epoch, done.best_bound_nats, done.best_label_accuracy) == (3, -80, 0.8)
    done = best_of("label_accuracy", *validations)
    assert (done.best_epoch, done.best_bound_nats, done.best_label_accuracy) == (2, -90, 0.9)
    assert (done.stale_validations, done.label_accuracy) == (1, 0.8)


def test_the_bound_decides_between_equal_accuracies_and_must_be_finite():
    assert best_of("label_accuracy", (-90.0, 0.0), (-80.0, 0.0)).best_epoch == 2
    assert best_of("label_accuracy", (-80.0, 0.5), (-90.0, 0.5)).best_epoch == 1
    assert best_of("label_accuracy", (-90.0, 0.5), (math.nan, 0.9)).best_epoch == 1
