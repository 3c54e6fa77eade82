"""The evaluation that a run's folder keeps in evaluation.json, with its settings and weights."""

from hashlib import sha256
from pathlib import Path

from pydantic import ValidationError

from models.bundle.schema import Evaluation
from models.config import Config
from models.errors import ConfigError
from training.evaluation.evaluate import EvaluationSettings
from training.recipes.text import read_text
from training.runs.folder import BEST, replace

EVALUATION = "evaluation.json"


class StoredEvaluation(Config):
    """A run's evaluation, how it was made, and the weights that it is of."""

    weights_sha256: str
    settings: EvaluationSettings
    evaluation: Evaluation


def find_evaluation(
    run_dir: Path, *, settings: EvaluationSettings | None = None, is_whole: bool = False
) -> Evaluation | None:
    """The stored evaluation of a run's best weights; None if it is of older weights or unreadable.

    Args:
        run_dir: The run's folder.
        settings: Accept an evaluation with these settings only; any by default.
        is_whole: Accept an evaluation with all that this version of the code writes only.
    """
    try:
        stored = StoredEvaluation.model_validate_json(read_text(run_dir / EVALUATION))
        weights = sha256((run_dir / BEST).read_bytes()).hexdigest()
    except (FileNotFoundError, ValidationError, ConfigError):
        return None
    if stored.weights_sha256 != weights:
        return None
    found = stored.evaluation
    whole = found.reconstructions and (found.baselines or not _has_bits_per_dim(found))
    whole = whole and all(reference.positions for reference in found.references)
    accepted = settings in (None, stored.settings) and (whole or not is_whole)
    return found if accepted else None


def store_evaluation(
    run_dir: Path, evaluation: Evaluation, *, settings: EvaluationSettings, weights_sha256: str
) -> None:
    """Write the evaluation of a run.

    Args:
        run_dir: The run's folder.
        evaluation: What was found.
        settings: How it was found.
        weights_sha256: Digest of the weights' file when they were read: a run that still trains
            may have replaced it.

    Raises:
        RunError: The disk is full or cannot be written to.
    """
    stored = StoredEvaluation(
        weights_sha256=weights_sha256, settings=settings, evaluation=evaluation
    )
    replace(run_dir / EVALUATION, stored.model_dump_json(indent=2).encode() + b"\n")


def _has_bits_per_dim(evaluation: Evaluation) -> bool:
    return any(estimate.bits_per_dim is not None for estimate in evaluation.estimates)
