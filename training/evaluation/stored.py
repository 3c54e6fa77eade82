"""The evaluation that a run's folder keeps."""

from models.bundle.schema import Evaluation
from models.config import Config
from training.evaluation.evaluate import EvaluationSettings

EVALUATION = "evaluation.json"


class StoredEvaluation(Config):
    """A run's evaluation, how it was made, and the weights that it is of."""

    weights_sha256: str
    settings: EvaluationSettings
    evaluation: Evaluation
