"""How often models that knew some labels name the right one; it draws no figure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from models.errors import UnsupportedOperation
from models.estimators.labels import classify_steps
from models.estimators.steps import CHUNK_ROWS, run_steps
from training.fit.batches import keep_labels
from training.fit.objectives import UNLABELLED
from training.recipes.recipe import Recipe
from training.studies.bounds import _BATCH
from training.studies.statistics import proportion
from training.studies.subjects import Subject, need_run


@dataclass(frozen=True)
class AccuracyRow:
    """How often a model that knew some labels names the right one."""

    model: str
    num_labels: int
    """Training images whose label it knew."""
    seed: int
    n: int
    accuracy: float
    accuracy_error: float
    regression_accuracy: float
    """Of logistic regression on the pixels of the same labelled images."""
    regression_error: float


def label_accuracy(subjects: Sequence[Subject], *, num_samples: int = 100) -> list[AccuracyRow]:
    """Accuracy on the test images, by the number of training labels.

    Args:
        subjects: Runs of models with labels.
        num_samples: Draws for each label where there is no classifier.

    Raises:
        ConfigError: A bundle, or data without labels.
        UnsupportedOperation: The model has no labels.

    Source: Kingma et al. 2014, arXiv:1406.5298, table 1.
    """
    rows = []
    for subject in subjects:
        recipe, vae, truth = need_run(subject), subject.vae, subject.labels
        if not vae.num_labels or truth is None:
            raise UnsupportedOperation(
                f"Accuracy is that of a model with labels; {subject.name} has none. Leave it out."
            )
        right = [
            run_steps(
                classify_steps(
                    vae,
                    subject.x[start : start + _BATCH],
                    num_samples=num_samples,
                    seed=0,
                    first_item=start,
                    chunk_rows=CHUNK_ROWS,
                )
            ).argmax(1)
            == truth[start : start + _BATCH]
            for start in range(0, len(subject.x), _BATCH)
        ]
        known, regression = regress(subject, recipe)
        rows.append(
            AccuracyRow(
                subject.name,
                known,
                recipe.seed,
                len(subject.x),
                *proportion(torch.cat(right)),
                *proportion(regression),
            )
        )
    return sorted(rows, key=lambda row: row.num_labels)


def regress(subject: Subject, recipe: Recipe) -> tuple[int, Tensor]:
    """The run's number of known labels, and where logistic regression on them is right.

    scikit-learn's, with its own penalty, on pixels from 0 to 1.
    """
    train, truth = subject.dataset.train, subject.labels
    assert train.labels is not None
    assert truth is not None
    labels = torch.from_numpy(train.labels)
    if recipe.dataset.labels_per_class > 0:
        labels = keep_labels(labels, recipe.dataset.labels_per_class, seed=recipe.seed)
    known = np.flatnonzero(labels != UNLABELLED)
    x = train.take(known).observations(subject.spec).reshape(len(known), -1)
    scale = subject.vae.unit_scale
    model = LogisticRegression(max_iter=1_000).fit(x / scale, labels[known].numpy())
    guessed = model.predict(subject.x.flatten(1).numpy() / scale)
    return len(known), torch.from_numpy(guessed) == truth
