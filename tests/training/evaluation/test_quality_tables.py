"""Reconstructions and embeddings as tables of a window of 80 columns."""

from io import StringIO

from rich.console import Console

from models.bundle.schema import Embedding, Evaluation, Reconstruction
from training.evaluation.quality_tables import format_quality

EVALUATION = Evaluation(
    dataset="digits", split="test", num_images=10_000, estimates=(), active_units=2
)
ERRORS = {"n": 10_000, "standard_error": 0.00008, "ssim": 0.7825, "standard_error_ssim": 0.0007}
SHARES = {"num_train": 2_000, "n": 5_000, "linear_accuracy": 1.0, "neighbours_accuracy": 0.9231}


def test_each_row_fits_into_a_line_with_its_errors() -> None:
    evaluation = EVALUATION.model_copy(
        update={
            "reconstructions": (
                Reconstruction(kind="model", mean_squared_error=0.02382, **ERRORS),
                Reconstruction(
                    kind="pca", num_components=1_024, mean_squared_error=0.0318, **ERRORS
                ),
            ),
            "embeddings": tuple(
                Embedding(kind=kind, num_features=count, **SHARES)
                for kind, count in (("posterior_mean", 8), ("pca", 1_024), ("pixels", 12_288))
            ),
        }
    )
    console = Console(file=StringIO(), width=80)
    console.print(*format_quality(evaluation))
    lines = [" ".join(line.split()) for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    for line in (
        "this model 10,000 0.02382 0.00008 0.7825 0.0007",
        "PCA, 1,024 components 10,000 0.03180 0.00008 0.7825 0.0007",
        "8 posterior means 5,000 100.0 (99.9 to 100.0) 92.3 (91.5 to 93.0)",
        "1,024 PCA components 5,000 100.0 (99.9 to 100.0) 92.3 (91.5 to 93.0)",
        "12,288 pixel values 5,000 100.0 (99.9 to 100.0) 92.3 (91.5 to 93.0)",
    ):
        assert line in lines


def test_an_older_evaluation_has_no_such_tables() -> None:
    assert format_quality(EVALUATION) == []
