"""Latent use: the KL and the activity of each dimension, and the KL of each group.

The activity is that of `models.estimators.activity`.
"""

from dataclasses import dataclass
from math import nan

from torch import Tensor

from training.evaluation.scoring import Scorer
from training.evaluation.trained import TrainedModel
from training.studies.requirements import require_dimensions
from training.studies.statistics import mean_and_error

_KL_SAMPLES = 10


@dataclass(frozen=True)
class LatentRow:
    """How much a part of the latent is used; NaN where there is no such number."""

    part: str
    """A dimension by its index from 0, or a hierarchy's group from 1."""
    kl_nats: float
    kl_error_nats: float
    activity: float
    """How far the posterior mean of a dimension moves over the images."""
    activity_error: float


def latent_use(model: TrainedModel) -> list[LatentRow]:
    """KL and activity of each dimension, the most used first, and the KL of each group.

    KL per dimension exists where posterior and prior factorise; groups have a Monte Carlo mean.

    Raises:
        UnsupportedOperation: The model is a mixture.
    """
    require_dimensions(model)
    scorer = Scorer(model.vae, model.x)
    activity = scorer.activity()
    per_dimension, per_group = _kl_parts(scorer)
    rows = []
    for i in range(activity.shape[1]):
        kl = (nan, nan) if per_dimension is None else mean_and_error(per_dimension[:, i])
        rows.append(LatentRow(f"dimension {i}", *kl, *mean_and_error(activity[:, i])))
    key = "activity" if per_dimension is None else "kl_nats"
    rows.sort(key=lambda row: -getattr(row, key))
    if per_group is not None:
        rows += [
            LatentRow(f"group {i + 1}", *mean_and_error(column), nan, nan)
            for i, column in enumerate(per_group.unbind(1))
        ]
    return rows


def _kl_parts(scorer: Scorer) -> tuple[Tensor | None, Tensor | None]:
    """KL of each image by dimension, flattened, and by group; None where there is no such part."""
    if not scorer.vae.has_density:
        return None, None
    elbo = scorer.elbo(num_samples=_KL_SAMPLES, seed=0)
    per_dimension = elbo.kl_per_dimension_nats
    return None if per_dimension is None else per_dimension.flatten(1), elbo.kl_per_group_nats
