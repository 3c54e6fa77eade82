"""Errors of means, paired differences and shares, against their formulae."""

import math

import pytest
import torch

from training.evaluation.proportion import wilson_interval
from training.studies.statistics import mean_and_error, paired, proportion


def test_errors_are_those_of_a_mean_of_differences_and_of_a_share() -> None:
    values = torch.tensor([1.0, 2.0, 6.0])
    assert mean_and_error(values) == pytest.approx((3.0, math.sqrt(7 / 3)))
    others = torch.tensor([0.0, 2.0, 4.0])
    mean, low, high = paired(values, others)
    assert mean == 1.0
    assert (high - low) / 2 == pytest.approx(1.959964 * math.sqrt(1 / 3), rel=1e-6)
    right = torch.tensor([True, True, True, False])
    assert proportion(right) == (0.75, *wilson_interval(0.75, 4))


def test_a_single_value_has_no_error() -> None:
    mean, error = mean_and_error(torch.tensor([2.0]))
    assert mean == 2.0
    assert math.isnan(error)
