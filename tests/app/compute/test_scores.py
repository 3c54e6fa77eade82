"""Scores on arrays; over HTTP they are held in test_compute.py and test_families.py."""

import math

from app.compute.scores import _why_null


def test_a_number_that_is_not_finite_has_its_reason() -> None:
    assert "not finite" in str(_why_null(-math.inf, 1.0))
    assert "single sample" in str(_why_null(-1.0, math.nan))
    assert _why_null(-1.0, 0.1) is None
