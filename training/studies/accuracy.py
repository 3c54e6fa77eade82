"""Accuracy of models that knew some of the training labels, beside logistic regression."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from models.errors import UnsupportedOperation
from training.data.datasets import Dataset
from training.evaluation.scoring import Labels, Scorer
from training.evaluation.trained import TrainedModel
from training.fit.batches import keep_labels
from training.fit.objectives import UNLABELLED
from training.recipes.recipe import Recipe
from training.studies.requirements import require_recipe
from training.studies.statistics import proportion


@dataclass(frozen=True)
class AccuracyRow:
    """The accuracy of a model, and that of logistic regression on the pixels and same labels."""

    model: str
    num_labels: int
    """Training images whose label the model knew."""
    seed: int
    n: int
    """Test images."""
    accuracy: float
    accuracy_low_share: float
    accuracy_high_share: float
    """Wilson's interval of 95 %."""
    regression_accuracy: float
    regression_low_share: float
    regression_high_share: float


def label_accuracy(models: Sequence[TrainedModel], *, num_samples: int = 100) -> list[AccuracyRow]:
    """Accuracy on the test images, by the number of training labels.

    Args:
        models: Runs of models with labels.
        num_samples: Draws for each label where there is no classifier.

    Raises:
        ConfigError: One of them is a bundle.
        UnsupportedOperation: A model or its data set has no labels.

    Source: Kingma et al. 2014, arXiv:1406.5298, table 1.
    """
    rows = []
    for model in models:
        recipe, y = require_recipe(model), _require_labels(model)
        log_q = Scorer(model.vae, model.x).label_log_probs(num_samples=num_samples, seed=0)
        num_labels, is_right = regress(model, recipe, y)
        rows.append(
            AccuracyRow(
                model.name,
                num_labels,
                recipe.seed,
                len(y),
                *proportion(log_q.argmax(1) == y),
                *proportion(is_right),
            )
        )
    return sorted(rows, key=lambda row: row.num_labels)


def _require_labels(model: TrainedModel) -> Labels:
    if not model.vae.num_labels:
        raise UnsupportedOperation(
            f"{model.name} cannot classify: it was trained without labels. Leave it out."
        )
    if model.labels is None:
        raise UnsupportedOperation(
            f"The test images of {model.dataset.name} have no labels, so {model.name} has no "
            "accuracy. Leave it out."
        )
    return model.labels


def regress(model: TrainedModel, recipe: Recipe, y: Labels) -> tuple[int, Tensor]:
    """Fit logistic regression to the pixels of the training images whose label the run knew.

    scikit-learn's, with its default penalty, on pixels from 0 to 1.

    Returns:
        The number of these images, and which test images the regression labels right.
    """
    labels, train = _known_labels(model.dataset, recipe), model.dataset.train
    known = np.flatnonzero(labels != UNLABELLED)
    x = train.take(known).observations(model.spec).reshape(len(known), -1)
    scale = model.vae.unit_scale
    fitted = LogisticRegression(max_iter=1_000).fit(x / scale, labels[known].numpy())
    guessed = fitted.predict(model.x.flatten(1).numpy() / scale)
    return len(known), torch.from_numpy(guessed) == y


def _known_labels(dataset: Dataset, recipe: Recipe) -> Labels:
    """Training labels, `UNLABELLED` where the run did not know them."""
    assert dataset.train.labels is not None  # the model was trained on them
    labels = torch.from_numpy(dataset.train.labels)
    if recipe.dataset.labels_per_class > 0:
        labels = keep_labels(labels, recipe.dataset.labels_per_class, seed=recipe.seed)
    return labels
