"""Measured times: what is expected of passes and jobs from those before."""

import pytest
import torch
from torch import nn

from app.serving.pass_times import (
    FIRST_GUESS_PER_UNIT,
    PassTimes,
)
from models.estimators.steps import Pass
from models.vae.networks import MIN_ROWS


def function(model: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor]:
    return (x,)


def of(model: nn.Module) -> Pass:
    return Pass(function, (model,), (torch.zeros(1, 2),))


def test_what_never_ran_is_a_guess() -> None:
    times, one = PassTimes(), of(nn.Identity())
    assert times.rows_within(one, 1.0) == MIN_ROWS
    assert times.expected_job(one.given[0], "encode", 10.0) == 10 * FIRST_GUESS_PER_UNIT


def test_as_many_rows_fit_as_their_measured_rate_says() -> None:
    times, one = PassTimes(), of(nn.Identity())
    times.add(one, 64, 0.004)
    assert times.rows_within(one, 0.008) == 128
    assert times.rows_within(one, 0.0001) == MIN_ROWS


def test_a_mean_follows_and_one_surprise_is_no_rule() -> None:
    times, one = PassTimes(), of(nn.Identity())
    times.add(one, 16, 0.001)
    times.add(one, 16, 10.0)
    assert times.rows_within(one, 0.0033) == 32
    for _ in range(100):
        times.add(one, 16, 0.002)
    assert times.rows_within(one, 0.0081) == 64
    assert times.rows_within(of(nn.Identity()), 1.0) == MIN_ROWS  # of another model


def test_a_job_takes_as_long_as_its_kind_of_about_its_cost() -> None:
    times, model = PassTimes(), nn.Identity()
    times.add_job(model, "encode", cost=10.0, seconds=0.004)
    times.add_job(model, "log-likelihood", cost=10.0, seconds=0.004)
    times.add_job(model, "log-likelihood", cost=1e6, seconds=20.0)
    assert times.expected_job(model, "encode", 1e6) == pytest.approx(400.0)
    assert times.expected_job(model, "log-likelihood", 5e5) == pytest.approx(10.0)
    assert times.expected_job(model, "log-likelihood", 12.0) == pytest.approx(0.0048)


def test_a_model_that_is_gone_leaves_nothing() -> None:
    times, model = PassTimes(), nn.Identity()
    times.add(of(model), 16, 1.0)
    times.add_job(model, "encode", cost=1.0, seconds=1.0)
    del model
    assert (len(times._passes), len(times._units)) == (0, 0)


def test_a_model_that_takes_rows_one_by_one_is_timed_by_the_row() -> None:
    model = nn.Identity()
    model.least_rows = 1
    times, one = PassTimes(), of(model)
    assert times.rows_within(one, 1.0) == 1
    times.add(one, 1, 0.5)
    assert times.rows_within(one, 0.008) == 1
    assert times.rows_within(one, 2.0) == 4
