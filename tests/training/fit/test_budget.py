"""The length of a run by the time that it may take."""

import math

import pytest

from training.fit.budget import MARGIN, describe_plan, fit_to_time, run_seconds
from training.fit.rehearsal import Costs
from training.recipes.file import RECIPES, load_recipe
from training.recipes.recipe import Recipe

COSTS = Costs(start=2.0, step=0.01, validation=1.0, end=1.0, steps_per_epoch=20)


def recipe(**training: object) -> Recipe:
    """A recipe of 100 epochs, 2,000 steps and 10 validations: 20 s of steps, 33 s in all."""
    entries = {
        "epochs": 100,
        "kl_warmup_epochs": 10.0,
        "validate_every_epochs": 10,
        "ema_decay": 0.99,
        **training,
    }
    changes = [f"training.{key}={value}" for key, value in entries.items()]
    return load_recipe(RECIPES / "digits.toml", overrides=changes)


def lengths(found: Recipe) -> tuple[int, int, int]:
    training = found.training
    return training.epochs, training.max_steps, training.validate_every_epochs


def test_a_recipe_that_ends_in_time_stays_as_it_is() -> None:
    assert run_seconds(recipe(), COSTS) == pytest.approx(33.0)
    assert fit_to_time(recipe(), COSTS, seconds=37.0) == recipe()


def test_a_longer_one_gets_the_epochs_that_fit_and_all_else_in_proportion() -> None:
    # 27 s x 0.9 are 24.3 s, less 3 s for start and report, and 2 s for as many validations
    found = fit_to_time(recipe(), COSTS, seconds=27.0)
    assert lengths(found) == (96, 0, 48)
    assert found.training.kl_warmup_epochs == pytest.approx(9.6)
    assert found.training.ema_decay == pytest.approx(1 - 0.01 / 0.96, abs=1e-6)
    rest = {"epochs", "max_steps", "validate_every_epochs", "kl_warmup_epochs", "ema_decay"}
    before, after = recipe().model_dump(), found.model_dump()
    for key in rest:
        del before["training"][key], after["training"][key]
    assert before == after


def test_of_few_epochs_a_part_is_planned_too() -> None:
    found = fit_to_time(recipe(), COSTS, seconds=5.5)  # 0.95 s are 95 steps
    assert lengths(found) == (5, 95, 5)
    assert found.training.kl_warmup_epochs == pytest.approx(0.475)
    less = fit_to_time(recipe(), COSTS, seconds=4.61)  # 0.149 s
    assert lengths(less) == (1, 14, 1)
    assert less.training.kl_warmup_epochs == pytest.approx(0.07)


def test_validations_take_a_tenth_of_the_time_at_most() -> None:
    cheap = Costs(start=2.0, step=0.01, validation=0.05, end=1.0, steps_per_epoch=20)
    found = fit_to_time(recipe(), cheap, seconds=18.0)  # 13.2 s; all ten take 0.5 s
    assert lengths(found) == (63, 0, 7)
    dear = Costs(start=2.0, step=0.01, validation=3.0, end=1.0, steps_per_epoch=20)
    assert lengths(fit_to_time(recipe(), dear, seconds=18.01)) == (51, 0, 51)


def test_a_recipe_keeps_all_its_epochs_where_fewer_validations_make_room() -> None:
    found = fit_to_time(recipe(), COSTS, seconds=30.0)
    assert lengths(found) == (100, 0, 50)
    assert found.training.kl_warmup_epochs == 10


def test_the_shortest_run_is_a_step_and_a_validation() -> None:
    found = fit_to_time(recipe(), COSTS, seconds=-3.0)
    assert lengths(found) == (1, 1, 1)
    assert found.training.kl_warmup_epochs == pytest.approx(0.005)
    assert found.training.ema_decay == 0.0


def test_a_recipe_that_ends_in_the_middle_of_an_epoch_is_shortened_from_there() -> None:
    own = recipe(max_steps=1990)
    assert run_seconds(own, COSTS) == pytest.approx(2 + 19.9 + 10 + 1)
    found = fit_to_time(own, COSTS, seconds=27.0)
    assert lengths(found) == (96, 0, 48)
    assert found.training.kl_warmup_epochs == pytest.approx(10 * 1920 / 1990, abs=1e-4)


@pytest.mark.parametrize("cycles", [1, 3])
@pytest.mark.parametrize("step", [1e-4, 0.01, 0.7])
@pytest.mark.parametrize("validation", [1e-3, 0.3, 9.0])
def test_every_plan_is_a_recipe_that_ends_in_time(
    cycles: int, step: float, validation: float
) -> None:
    costs = Costs(start=1.0, step=step, validation=validation, end=0.5, steps_per_epoch=7)
    own = recipe(kl_cycles=cycles, kl_warmup_epochs=100 / cycles)
    for seconds in (12.0, 61.0, 333.0, 1000.0, 4000.0):
        found = fit_to_time(own, costs, seconds=seconds)
        took = run_seconds(found, costs)
        shortest = run_seconds(fit_to_time(own, costs, seconds=0.0), costs)
        assert took <= max((1 - MARGIN) * seconds, shortest)
        if found.training.epochs < 100:
            # rounding loses an epoch where there are ten, a tenth of the time to validations
            assert took + max(0.1 * took, step) > 0.88 * (1 - MARGIN) * seconds
        assert Recipe.model_validate(found.model_dump()) == found
        assert found.training.epochs <= 100
        validations = math.ceil(found.training.epochs / found.training.validate_every_epochs)
        assert 1 <= validations <= 10


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (60.0, "Plan for 1 minute: all 100 epochs of the recipe, which end after about 0:00:40."),
        (
            27.0,
            "Plan for 1 minute: 96 of the recipe's 100 epochs, 9.6 of KL warm-up, 2 validations, "
            "to end after about 0:00:40 (0.01 s a step, 1 s a validation).",
        ),
        (
            4.61,
            "Plan for 1 minute: 14 steps, 0.7 of the recipe's 100 epochs, 0.07 of KL warm-up, "
            "1 validation, to end after about 0:00:40 (0.01 s a step, 1 s a validation).",
        ),
    ],
)
def test_a_plan_is_said_in_a_line(seconds: float, words: str) -> None:
    found = fit_to_time(recipe(), COSTS, seconds=seconds)
    assert describe_plan(recipe(), found, COSTS, minutes=1.0, expected_seconds=40.0) == words


def test_a_time_that_is_too_short_is_said_to_be() -> None:
    own = recipe(kl_warmup_epochs=0.0, epochs=2000)
    said = describe_plan(
        own,
        fit_to_time(own, COSTS, seconds=0.0),
        COSTS,
        minutes=0.05,
        expected_seconds=14.01,
    )
    assert said == (
        "Plan for 0.05 minutes: 1 step, 0.05 of the recipe's 2,000 epochs, 1 validation, to end "
        "after about 0:00:14. That is too short a time: a step, a validation and a report take "
        "longer."
    )
