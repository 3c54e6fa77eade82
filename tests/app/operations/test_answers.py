"""Answers of scores: schemas and the tables of docs/api.md derive from the scores' classes."""

from pathlib import Path

import pytest

from app.operations.answers import Comparison, ElboAnswer, LogLikelihoodAnswer, text_fields
from app.operations.table import OPERATIONS
from models.scores.columns import columns_of
from models.scores.elbo_score import ElboScore
from models.scores.evidence_score import EvidenceScore

ROOT = Path(__file__).resolve().parents[3]


def table(score: type) -> str:
    """The Markdown table of a score's fields."""
    rows = [
        f"| `{name}` | {column.words.replace('|', chr(92) + '|')} |"
        for name, column in columns_of(score).items()
    ]
    return "\n".join(["| Field | Meaning |", "|---|---|", *rows])


@pytest.mark.parametrize("score", [ElboScore, EvidenceScore, Comparison])
def test_the_page_of_the_api_has_a_table_of_every_score(score: type) -> None:
    expected = table(score)
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert expected in page, f"docs/api.md must hold this table:\n{expected}"


@pytest.mark.parametrize(
    ("answer", "score"), [(ElboAnswer, ElboScore), (LogLikelihoodAnswer, EvidenceScore)]
)
def test_results_have_the_fields_of_their_score(answer: type, score: type) -> None:
    schema = answer.model_json_schema()  # type: ignore[attr-defined]
    result = schema["$defs"][schema["properties"]["results"]["items"]["$ref"].split("/")[-1]]
    columns = {**columns_of(score), **columns_of(Comparison)}
    assert list(result["properties"]) == list(columns) == result["required"]
    for name, column in columns.items():
        assert result["properties"][name]["description"] == column.words


def test_fields_of_texts_are_told_by_their_types() -> None:
    texts = {name: text_fields(operation.answer) for name, operation in OPERATIONS.items()}
    assert texts["elbo"] == {
        *("model", "label_used", "preprocessing", "kl_method", "inference"),
        *("reason", "bits_per_dim_reason", "percentile_reason"),
    }
    assert texts["log-likelihood"] >= {"estimator", "reason"}
    assert texts["classify"] >= {"label", "labels", "method"}
    assert "images" not in texts["sample"]


def test_answers_with_one_object_per_item_are_declared_so() -> None:
    declared = {name for name, operation in OPERATIONS.items() if operation.per_item}
    assert declared == {
        name for name, one in OPERATIONS.items() if "results" in one.answer.model_fields
    }
