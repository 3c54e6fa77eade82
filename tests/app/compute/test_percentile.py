"""Percentiles among stored scores, and the reasons where there are none."""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.compute.percentile import compare, find_reference, percentile
from app.compute.request import ComputeRequest
from app.operations.table import OPERATIONS
from app.serving.served_model import serve_bundle
from models.bundle.loading import load_bundle
from tests.app.repository import REFERENCES


def make_request(repository: Path, model: str, operation: str, **asked: Any) -> ComputeRequest[Any]:
    declared = OPERATIONS[operation]
    served = serve_bundle(load_bundle(repository / model / "1"), "cpu")
    return ComputeRequest(declared, served, declared.parameters(**asked), seed=0)


def test_a_percentile_is_the_rank_among_the_stored_scores() -> None:
    stored = np.array([-3.0, -2.0, -1.0])
    values = np.array([-9.0, -2.5, -2.0, 0.0, math.nan, math.inf])
    assert percentile(values, stored) == [25.0, 50.0, 75.0, 100.0, None, None]


def test_a_score_is_compared_with_those_of_its_own_estimator_and_number_of_samples(
    repository: Path,
) -> None:
    found, reason = find_reference(make_request(repository, "mnist", "elbo"), "elbo")
    assert reason is None
    np.testing.assert_array_equal(found, REFERENCES)
    asked = make_request(repository, "mnist", "log-likelihood", num_samples=1000)
    found, reason = find_reference(asked, "iwae")
    assert found is None
    assert reason == (
        "Scores of the estimator iwae are stored for num_samples=200, not for 1000. Ask for "
        "num_samples=200."
    )


@pytest.mark.parametrize(
    ("model", "asked", "kind", "reason"),
    [
        ("mnist", {}, "iwae", "not of a tolerance"),
        ("mnist", {"estimator": "prior"}, "prior", "stores no scores of the estimator prior"),
        ("mnist", {"num_samples": 200, "binarize": "threshold"}, "iwae", "Leave binarize out"),
        ("mnist", {"num_samples": 200, "label": "1"}, "iwae", r"not of log p\(x\|y\)"),
    ],
)
def test_a_score_without_a_comparison_says_why(
    repository: Path, model: str, asked: dict[str, Any], kind: Any, reason: str
) -> None:
    request = make_request(repository, model, "log-likelihood", **asked)
    compared = compare(request, kind, np.array([-30.0, -40.0]))
    assert compared.percentile == [None, None]
    assert compared.reference_n is None
    assert compared.bits_per_dim is not None
    for words in compared.percentile_reason:
        assert re.search(reason, str(words))
