"""The configs of objectives: every kind is one that a step or a fit knows."""

from typing import get_args

import pytest
from pydantic import TypeAdapter, ValidationError

from training.fit.classical import CLASSICAL
from training.fit.objectives import OBJECTIVES
from training.recipes.objective import ClassicalKind, ObjectiveConfig


def test_every_kind_is_trained_or_fitted_and_says_its_draws():
    assert set(get_args(ClassicalKind)) == CLASSICAL.keys()
    for kind in {*OBJECTIVES, *CLASSICAL}:
        config = TypeAdapter(ObjectiveConfig).validate_python({"kind": kind})
        assert config.kind == kind
        assert config.num_samples >= 1


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "wake-sleep"},
        {"kind": "elbo", "beta": -1.0},
        {"kind": "elbo", "free_bits": 1.0},
        {"kind": "iwae", "num_samples": 0},
        {"kind": "capacity", "until": 0.0},
        {"kind": "autoencoder", "num_samples": 2},
        {"kind": "m2", "alpha": -0.1},
    ],
)
def test_values_that_mean_nothing_are_refused(values: dict[str, object]):
    with pytest.raises(ValidationError):
        TypeAdapter(ObjectiveConfig).validate_python(values)
