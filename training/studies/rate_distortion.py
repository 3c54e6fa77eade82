"""Rate and distortion of several models."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

from training.evaluation.scoring import Scorer
from training.evaluation.trained import TrainedModel
from training.studies.requirements import require_density, require_recipe, require_same_images
from training.studies.statistics import mean_and_error


@dataclass(frozen=True)
class RateRow:
    """A point of the rate-distortion plane."""

    model: str
    beta: float
    """Weight of the KL in training; NaN where the objective has none."""
    n: int
    rate_nats: float
    rate_error_nats: float
    distortion_nats: float
    distortion_error_nats: float
    elbo_nats: float
    elbo_error_nats: float


def rate_distortion(models: Sequence[TrainedModel], *, num_samples: int = 100) -> list[RateRow]:
    """Rate, distortion and ELBO (minus their sum), by rising rate.

    Raises:
        ConfigError: A bundle, or models that do not compare.
        UnsupportedOperation: An autoencoder is among them.

    Source: Alemi et al. 2018, arXiv:1711.00464.
    """
    rows = []
    for model in models:
        objective = require_recipe(model).objective
        require_density(model)
        require_same_images(models[0], model)
        elbo = Scorer(model.vae, model.x).elbo(num_samples=num_samples, seed=0)
        rows.append(
            RateRow(
                model.name,
                float(getattr(objective, "beta", nan)),
                len(model.x),
                *mean_and_error(elbo.kl_nats),
                *mean_and_error(-elbo.expected_log_likelihood_nats),
                *mean_and_error(elbo.elbo_nats),
            )
        )
    return sorted(rows, key=lambda row: row.rate_nats)
