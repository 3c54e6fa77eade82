"""How much work a request is: labels and components that are tried in turn count."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.compute.cost import CHECK_SAMPLES, GROUP_ITEMS, groups, measure
from app.compute.inputs import Inputs
from app.compute.request import ComputeRequest
from app.operations.table import OPERATIONS
from app.serving.served_model import serve_bundle
from models.bundle.loading import load_bundle
from models.estimators.anomaly import NUM_SAMPLES
from models.estimators.labels import GUESS_NUM_SAMPLES
from tests.app.family_repository import make_families

X = np.zeros((2, 1, 4, 4), np.float32)
CHECKED: dict[str, Any] = {"inputs": Inputs(x=X, exchanged=X)}
FREE: dict[str, Any] = {"inputs": Inputs(x=X)}
GIVEN_LABEL: dict[str, Any] = {"label": 1}
GIVEN: dict[str, Any] = FREE | GIVEN_LABEL
LABELS = 3
REFINED: dict[str, Any] = {"num_samples": 9, "inference": "refined"}
REFINING = 2 * (15 * 2 * 2 + 240) + 100


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_families(tmp_path_factory.mktemp("families"))


def make_request(
    repository: Path, name: str, operation: str, given: dict[str, Any], **asked: Any
) -> ComputeRequest[Any]:
    served = serve_bundle(load_bundle(repository / name / "1"), "cpu")
    declared = OPERATIONS[operation]
    return ComputeRequest(declared, served, declared.parameters(**asked), seed=0, **given)


@pytest.mark.parametrize(
    ("name", "operation", "given", "asked", "rows"),
    [
        ("standard", "encode", FREE, {"num_samples": 9}, 1),
        ("standard", "elbo", FREE, {"num_samples": 9}, 9),
        ("standard", "sample", {}, {"n": 5}, 1),
        ("m2", "encode", FREE, {}, 1),
        ("m2", "elbo", FREE, {"num_samples": 9}, 9 * LABELS),
        ("m2", "elbo", GIVEN, {"num_samples": 9}, 9),
        ("standard", "anomaly", FREE, {}, NUM_SAMPLES),
        ("m2", "anomaly", FREE, {}, NUM_SAMPLES * LABELS),
        ("m2", "classify", FREE, {"num_samples": 9}, 1),
        ("labelled", "encode", FREE, {}, 1 + GUESS_NUM_SAMPLES * LABELS),
        ("labelled", "encode", GIVEN, {}, 1),
        ("labelled", "elbo", FREE, {"num_samples": 9}, (9 + GUESS_NUM_SAMPLES) * LABELS),
        ("labelled", "log-likelihood", FREE, {"num_samples": 9}, 9 * LABELS),
        ("standard", "log-likelihood", FREE, REFINED, 9 + REFINING),
        ("standard", "log-likelihood", FREE, {}, 300 + REFINING + 300 + 3000),
        ("m2", "log-likelihood", FREE, {}, (300 + REFINING + 300 + 3000) * LABELS),
        ("categorical", "log-likelihood", FREE, {}, 300 + 3000 + 2),
        ("standard", "elbo", FREE, REFINED, 2 * 9 + REFINING),
        ("standard", "encode", FREE, REFINED, 1 + REFINING),
        ("m2", "elbo", FREE, REFINED, (2 * 9 + REFINING) * LABELS),
        ("m2", "log-likelihood", FREE, REFINED, (9 + REFINING) * LABELS),
        ("m2", "encode", FREE, REFINED, 1 + REFINING),
        ("labelled", "classify", FREE, {"num_samples": 9}, 9 * LABELS),
        ("categorical", "log-likelihood", FREE, {"num_samples": 9}, 9 + 2),
        ("categorical", "log-likelihood", FREE, {"estimator": "exact"}, 1 + 2),
        ("categorical", "classify", FREE, {}, 1 + 2),
        ("standard", "encode", CHECKED, {}, 1 + 2 * CHECK_SAMPLES),
        ("m2", "encode", CHECKED, {}, 1 + 2 * CHECK_SAMPLES * LABELS),
        ("m2", "elbo", CHECKED | GIVEN_LABEL, {"num_samples": 9}, 9 + 2 * CHECK_SAMPLES),
        (
            "labelled",
            "log-likelihood",
            CHECKED,
            {"num_samples": 9},
            (9 + 2 * (CHECK_SAMPLES + GUESS_NUM_SAMPLES)) * LABELS,
        ),
        ("categorical", "classify", CHECKED, {}, 1 + 2 + 2 * (CHECK_SAMPLES + 2)),
    ],
)
def test_every_decoding_is_counted(
    repository: Path,
    name: str,
    operation: str,
    given: dict[str, Any],
    asked: dict[str, Any],
    rows: int,
) -> None:
    request = make_request(repository, name, operation, given, **asked)
    work = measure(request)
    assert round(work.cost / request.served.cost / work.items, 6) == rows


def test_items_that_every_label_is_tried_on_go_through_in_smaller_groups(repository: Path) -> None:
    for given, size in ((GIVEN, GROUP_ITEMS), (FREE, GROUP_ITEMS // LABELS)):
        parts = [*groups(make_request(repository, "m2", "encode", given), num_items=150)]
        assert [part.start for part in parts] == [*range(0, 150, size)]
        assert parts[-1].stop == 150
