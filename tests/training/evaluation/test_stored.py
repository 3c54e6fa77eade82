"""The evaluation that a run's folder keeps: of these weights and these settings only."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from models.bundle.schema import Evaluation
from tests.training.conftest import QUICK
from training.evaluation.evaluate import EvaluationSettings
from training.evaluation.stored import EVALUATION, find_evaluation
from training.evaluation.trained import load_trained_model
from training.runs.folder import BEST


@pytest.fixture
def evaluation(run_dir: Path) -> Evaluation:
    """Of the run, stored in its folder."""
    return load_trained_model(run_dir).evaluate(settings=QUICK)


def test_an_evaluation_is_found_for_its_settings_or_for_any(
    run_dir: Path, evaluation: Evaluation
) -> None:
    assert find_evaluation(run_dir, settings=QUICK) == evaluation
    assert find_evaluation(run_dir) == evaluation
    assert find_evaluation(run_dir, settings=EvaluationSettings()) is None


@pytest.mark.parametrize(("encoding", "is_read"), [("utf-8-sig", True), ("utf-16", False)])
def test_an_evaluation_with_a_byte_order_mark_is_read_where_it_is_utf_8(
    run_dir: Path, evaluation: Evaluation, encoding: str, is_read: bool
) -> None:
    text = (run_dir / EVALUATION).read_text(encoding="utf-8")
    (run_dir / EVALUATION).write_text(text, encoding=encoding)
    assert find_evaluation(run_dir) == (evaluation if is_read else None)


def test_an_evaluation_of_other_weights_is_not_found(run_dir: Path, evaluation: Evaluation) -> None:
    other = {name: tensor + 1 for name, tensor in load_file(run_dir / BEST).items()}
    save_file(other, run_dir / BEST)
    assert find_evaluation(run_dir) is None
    assert find_evaluation(run_dir, settings=QUICK) is None


def test_a_missing_or_unreadable_evaluation_is_not_found(run_dir: Path) -> None:
    assert find_evaluation(run_dir, settings=QUICK) is None
    (run_dir / EVALUATION).write_text("{}")
    assert find_evaluation(run_dir, settings=QUICK) is None
    assert find_evaluation(run_dir) is None


@pytest.mark.parametrize("field", ["baselines", "reconstructions"])
def test_an_older_evaluation_without_a_field_is_shown_and_not_taken_for_complete(
    run_dir: Path, evaluation: Evaluation, field: str
) -> None:
    stored = json.loads((run_dir / EVALUATION).read_text())
    del stored["evaluation"][field]
    (run_dir / EVALUATION).write_text(json.dumps(stored))
    assert find_evaluation(run_dir, is_whole=True) is None
    assert find_evaluation(run_dir) == evaluation.model_copy(update={field: ()})


def test_an_older_evaluation_without_the_places_of_images_is_not_taken_for_complete(
    run_dir: Path, evaluation: Evaluation
) -> None:
    assert find_evaluation(run_dir, is_whole=True) == evaluation
    stored = json.loads((run_dir / EVALUATION).read_text())
    for reference in stored["evaluation"]["references"]:
        del reference["positions"]
    (run_dir / EVALUATION).write_text(json.dumps(stored))
    assert find_evaluation(run_dir, is_whole=True) is None
    found = find_evaluation(run_dir)
    assert found is not None
    assert found.estimates == evaluation.estimates
