"""Accuracy of models with labels, against direct computations."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from models.errors import UnsupportedOperation
from models.vae.model import VAE
from tests.training.conftest import RECIPE
from tests.training.trained_cases import make_model, of_family
from training.data.datasets import load
from training.evaluation.trained import TrainedModel
from training.fit.batches import keep_labels
from training.recipes.objective import M2Config
from training.recipes.recipe import DatasetConfig
from training.studies.accuracy import label_accuracy


@pytest.fixture
def labelled() -> TrainedModel:
    """A classifier of digits with torch's initial weights, that knew three labels of each class."""
    data = load("digits")
    torch.manual_seed(0)
    config = RECIPE.vae.model_dump() | {
        "num_labels": 10,
        "classifier": {"kind": "mlp", "hidden": [4]},
    }
    recipe = RECIPE.model_copy(
        update={
            "objective": M2Config(),
            "dataset": DatasetConfig(name="digits", labels_per_class=3),
        }
    )
    vae = VAE(RECIPE.vae.model_validate(config)).freeze()
    x = torch.from_numpy(data.test.observations(RECIPE.image))
    assert data.test.labels is not None
    labels = torch.from_numpy(data.test.labels)
    return make_model("tiny", vae, RECIPE.image, x, labels, recipe)


def test_accuracy_is_the_share_of_right_labels_beside_a_regression_on_the_same(
    labelled: TrainedModel,
) -> None:
    (row,) = label_accuracy([labelled])
    right = labelled.vae.label_logits(labelled.x).argmax(1) == labelled.labels
    assert (row.num_labels, row.seed, row.n) == (30, 5, 300)
    assert row.accuracy == pytest.approx(right.float().mean().item())
    train = labelled.dataset.train
    assert train.labels is not None
    kept = keep_labels(torch.from_numpy(train.labels), 3, seed=5)
    chosen = np.flatnonzero(kept != -1)
    x = train.observations(RECIPE.image)[chosen].reshape(30, -1) / 16
    model = LogisticRegression(max_iter=1_000).fit(x, kept[chosen].numpy())
    assert labelled.labels is not None
    expected = model.score(labelled.x.flatten(1).numpy() / 16, labelled.labels.numpy())
    assert row.regression_accuracy == pytest.approx(expected)
    assert expected > 0.6


def test_accuracy_needs_a_model_and_images_with_labels(labelled: TrainedModel) -> None:
    with pytest.raises(UnsupportedOperation, match="standard cannot classify"):
        label_accuracy([of_family("standard")])
    with pytest.raises(UnsupportedOperation, match="test images of digits have no labels"):
        label_accuracy([replace(labelled, labels=None)])
