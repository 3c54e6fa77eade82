"""The IWAE gap: bounds of models that were trained with K draws, and the gap between them."""

from collections.abc import Sequence
from dataclasses import dataclass

from models.errors import ConfigError
from models.estimators.activity import active_units
from training.evaluation.scoring import Scorer
from training.evaluation.trained import TrainedModel
from training.studies.bounds import score_bounds
from training.studies.requirements import require_recipe, require_same_images
from training.studies.statistics import mean_and_error


@dataclass(frozen=True)
class GapRow:
    """The bounds of a model that was trained with K draws."""

    model: str
    num_samples: int
    """K of training; 1 for the ELBO."""
    gradient: str
    n: int
    elbo_nats: float
    elbo_error_nats: float
    estimator: str
    log_px_nats: float
    log_px_error_nats: float
    gap_nats: float
    """`log_px_nats` - `elbo_nats`, on the same images."""
    gap_error_nats: float
    active_units: int


def iwae_gap(
    models: Sequence[TrainedModel], *, elbo_samples: int, iwae_samples: int, seed: int = 0
) -> list[GapRow]:
    """Bounds of models that were trained by the ELBO or by IWAE bounds, by rising K.

    Raises:
        ConfigError: A bundle, a run of another objective, or models that do not compare.

    Source: Burda, Grosse and Salakhutdinov 2016, arXiv:1509.00519, table 1; Rainforth et al. 2018,
        arXiv:1802.04537, on why tighter bounds need not train better encoders.
    """
    rows = []
    for model in models:
        objective = require_recipe(model).objective
        if objective.kind not in ("elbo", "iwae"):
            raise ConfigError(
                f"{model.name} was trained by {objective.kind}, which has no K; the objectives "
                "elbo (K = 1) and iwae have one. Leave it out."
            )
        require_same_images(models[0], model)
        own = score_bounds(model, elbo_samples=elbo_samples, iwae_samples=iwae_samples, seed=seed)
        elbo_nats = own.elbo.elbo_nats
        rows.append(
            GapRow(
                model.name,
                objective.num_samples if objective.kind == "iwae" else 1,
                objective.gradient if objective.kind == "iwae" else "elbo",
                len(model.x),
                *mean_and_error(elbo_nats),
                own.estimator,
                *mean_and_error(own.log_px_nats),
                *mean_and_error(own.log_px_nats - elbo_nats),
                active_units(Scorer(model.vae, model.x).activity()),
            )
        )
    return sorted(rows, key=lambda row: row.num_samples)
