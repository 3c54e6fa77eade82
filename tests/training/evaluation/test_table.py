"""An evaluation as a table, and how numbers and errors are written."""

from io import StringIO
from math import nan

import pytest
from rich.console import Console

from models.bundle.schema import Baseline, Classification, Evaluation
from tests.oracle import instance
from training.evaluation.evaluate import EvaluationSettings, evaluate
from training.evaluation.table import format_evaluation, format_optional, format_with_error


def test_progress_and_table_name_quantities_and_units() -> None:
    oracle = instance("medium")
    console = Console(file=StringIO(), width=120, force_terminal=True)
    settings = EvaluationSettings(elbo_num_samples=2, iwae_num_samples=2, subset_num_images=0)
    x = oracle.draw(4, seed=1)
    evaluation = evaluate(oracle.vae, x, dataset="oracle", settings=settings, console=console)
    baseline = Baseline(kind="png", n=4, bits_per_dim=1.25)
    evaluation = evaluation.model_copy(update={"baselines": (baseline,)})
    console.print(format_evaluation(evaluation))
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    for words in (
        "IWAE, K = 2",
        "nats per image",
        "rate (mean KL)",
        "8 of 8",
        "4/4",
        "PNG",
        "1.2500",
    ):
        assert words in printed
    assert f"{evaluation.estimates[0].mean_nats:.2f}" in printed


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [(-85.0, 0.675, "-85.00 +- 0.68"), (-85.0, None, "-85.00"), (None, None, "-")],
)
def test_a_number_stands_with_its_error_where_there_is_one(
    value: float | None, error: float | None, text: str
) -> None:
    assert format_with_error(value, error) == text


def test_what_is_no_number_is_a_dash() -> None:
    assert format_optional(1.23456, ".3f") == "1.235"
    assert format_optional(None, ".3f") == format_optional(nan, ".3f") == "-"


def test_right_labels_stand_with_their_interval_in_a_window_of_80_columns() -> None:
    found = Classification(method="bayes", num_samples=2, n=197, accuracy=1.0, standard_error=0.0)
    evaluation = Evaluation(
        dataset="cells",
        split="test",
        num_images=197,
        estimates=(),
        active_units=2,
        classification=found,
    )
    console = Console(file=StringIO(), width=80)
    console.print(format_evaluation(evaluation))
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "100.00 %" in printed
    assert "98.09 to 100.00" in printed
    assert "+- 0.00" not in printed
