"""Validation of a run's weights while it trains: the bound that its objective maximises, and the
labels that a classifier names rightly.

The published numbers are those of `evaluation/evaluate.py`, whose bounds know no objective.
"""

import math
from typing import NamedTuple

from torch import Tensor

from models.vae.model import VAE
from training.evaluation.scoring import Scorer
from training.fit.batches import Data
from training.fit.objectives import final_bound
from training.recipes.objective import ObjectiveConfig

_BATCH_SIZE = 500
_SEED = 0


class Validation(NamedTuple):
    """What some weights reach on the validation images."""

    bound_nats: float
    """Mean of the bound."""
    error_nats: float
    """Standard error of the mean over the images."""
    label_accuracy: float | None = None
    """Share of the images whose label the classifier names; None without a classifier."""


def validate(vae: VAE, data: Data, objective: ObjectiveConfig) -> Validation:
    """Validate weights by the bound of their objective, and by their classifier.

    `iwae` has its importance-weighted bound, an autoencoder minus its squared error (no nats), and
    every other objective the ELBO with its own weight of the KL (`final_bound`). The draws are the
    same at every validation. Bounds are given the label, unless training does not know all of them;
    the classifier is asked for all labels of the validation images in either case.
    """
    labels = data.validation_labels if data.knows_all_labels else None
    scorer = Scorer(vae, data.validation, labels, batch_size=_BATCH_SIZE)
    bounds = _bounds(scorer, objective)
    if labels is not None and objective.kind == "m2":
        bounds = bounds + vae.log_label_prior.detach().to(bounds)[labels]
    error = bounds.std() / math.sqrt(len(bounds)) if len(bounds) > 1 else math.inf
    return Validation(float(bounds.mean()), float(error), _label_accuracy(scorer, data))


def _label_accuracy(scorer: Scorer, data: Data) -> float | None:
    """The share of the validation images whose label the classifier names."""
    if data.validation_labels is None or scorer.vae.config.classifier is None:
        return None
    named = scorer.label_log_probs(num_samples=1, seed=_SEED).argmax(1)
    return float((named == data.validation_labels.cpu()).double().mean())


def _bounds(scorer: Scorer, objective: ObjectiveConfig) -> Tensor:
    """The bound of each image."""
    num_samples = objective.num_samples
    if not scorer.vae.has_density:
        return -scorer.squared_errors()
    if objective.kind == "iwae":
        (found,) = scorer.log_px(num_samples=(num_samples,), seed=_SEED)
        return found.estimate_nats
    elbo = scorer.elbo(num_samples=num_samples, seed=_SEED)
    return final_bound(objective, elbo.expected_log_likelihood_nats, elbo.kl_nats)
