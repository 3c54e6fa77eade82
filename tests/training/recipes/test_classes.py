"""Classes that a model can learn from, and why others are not used."""

import numpy as np
import pytest

from training.data.array_split import ArraySplit
from training.data.datasets import Dataset
from training.recipes.choose import choose_recipe
from training.recipes.classes import MOST_CLASSES, find_classes


def dataset(counts, *, held_out=True, names=("cat", "dog", "newt")) -> Dataset:
    """As many training pictures of each class as counted."""
    labels = np.repeat(np.arange(len(counts)), counts)
    generator = np.random.default_rng(0)
    pictures = generator.integers(0, 256, (len(labels), 12, 12), dtype=np.uint8)
    train = ArraySplit(pictures, labels)
    few = ArraySplit(pictures[:3], labels[:3] if held_out else None)
    known = names[: len(counts)] if len(counts) <= len(names) else ()
    return Dataset("photos", train, few, few, "", class_names=known)


def test_classes_with_enough_pictures_each_are_used():
    found = find_classes(dataset((20, 31)))
    assert (found.count, found.fewest, found.unused_because) == (2, 20, "")
    assert found.shares == (round(20 / 51, 8), round(31 / 51, 8))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (dataset((20, 19, 30)), "dog has 19 training pictures, fewer than 20"),
        (dataset((20,)), "there is one class"),
        (dataset((20, 20), held_out=False), "the validation split has none"),
        (dataset((20,) * 101), f"there are 101 classes, more than {MOST_CLASSES}"),
        (dataset((20, 5), names=()), "1 has 5 training pictures"),
        (dataset((20, 20), names=("cat", "dog", "newt")), ""),
    ],
)
def test_other_classes_are_not_used_for_a_reason(given, words):
    assert words in find_classes(given).unused_because


def test_a_class_without_training_pictures_counts():
    given = dataset((20, 20))
    object.__setattr__(given, "class_names", ("cat", "dog", "newt"))
    assert "newt has 0 training pictures" in find_classes(given).unused_because


def test_pictures_without_labels_have_no_classes():
    split = ArraySplit(np.zeros((8, 4, 4), np.uint8), None)
    assert find_classes(Dataset("", split, split, split, "")) is None


def reasons(chosen) -> str:
    return "\n".join(str(one) for why in chosen.reasons.values() for one in why)


def test_classes_make_a_model_with_labels_and_a_classifier():
    chosen = choose_recipe(dataset((30, 40)), source="photos")
    vae, objective = chosen.recipe.vae, chosen.recipe.objective
    assert (vae.num_labels, vae.prior.kind, vae.classifier.kind) == (2, "label_normal", "conv")
    assert objective.kind == "m2"
    assert chosen.recipe.training.kl_warmup_epochs > 0
    assert "labels: 2 classes, by objective m2, because each has at least 30" in reasons(chosen)


@pytest.mark.parametrize(
    ("counts", "probabilities"), [((30, 40), ()), ((30, 90), (0.25, 0.75))], ids=["even", "uneven"]
)
def test_uneven_classes_are_as_probable_as_they_are_frequent(counts, probabilities):
    chosen = choose_recipe(dataset(counts), source="photos")
    assert chosen.recipe.vae.label_probabilities == probabilities


@pytest.mark.parametrize("override", ["vae.num_labels=0", "objective.kind=elbo"])
def test_labels_are_left_out_on_request_without_a_reason(override):
    chosen = choose_recipe(dataset((30, 40)), source="photos", overrides=[override])
    assert (chosen.recipe.vae.num_labels, chosen.recipe.vae.classifier) == (0, None)
    assert "labels" not in reasons(chosen)


def test_labels_that_are_not_used_are_named_with_the_reason():
    chosen = choose_recipe(dataset((30, 4)), source="photos")
    assert chosen.recipe.vae.num_labels == 0
    assert "labels: not used, because dog has 4 training pictures, fewer than 20." in reasons(
        chosen
    )


def test_small_pictures_get_a_dense_classifier():
    given = dataset((30, 40))
    small = ArraySplit(given.train.images[:, :5, :5], given.train.labels)
    chosen = choose_recipe(
        Dataset("photos", small, small, small, "", class_names=("cat", "dog")), source="photos"
    )
    assert chosen.recipe.vae.classifier.kind == "mlp"
