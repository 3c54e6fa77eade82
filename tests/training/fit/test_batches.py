"""What a step makes of the cache."""

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import Tensor

from models.errors import ConfigError
from training.data.array_split import ArraySplit
from training.data.datasets import Dataset
from training.errors import DatasetError
from training.fit.batches import Data, keep_labels, load_data, observe
from training.fit.objectives import UNLABELLED
from training.recipes.file import RECIPES, load_recipe


def test_binary_levels_are_unchanged_by_stochastic_binarisation():
    changes = ["vae.likelihood={ kind = 'bernoulli' }", "image.levels=2"]
    chosen = load_recipe(
        RECIPES / "digits.toml", overrides=[*changes, "image.binarization=stochastic"]
    )
    levels = torch.randint(0, 2, (50, 1, 8, 8), dtype=torch.uint8)
    assert torch.equal(observe(levels * 255, chosen, 0.0), levels.float())


def test_black_and_white_is_found_out_and_gives_the_same_observations():
    changes = ["vae.likelihood={ kind = 'bernoulli' }", "image.levels=2"]
    chosen = load_recipe(
        RECIPES / "digits.toml", overrides=[*changes, "image.binarization=stochastic"]
    )
    bits = np.random.default_rng(0).integers(0, 2, (40, 8, 8), dtype=np.uint8)
    grey = bits * np.uint8(255)
    grey[0, 0, 0] = 7
    for pictures, is_binary in ((bits * np.uint8(255), True), (grey, False)):
        split = ArraySplit(pictures, None, levels=256)
        dataset = Dataset("abc", split, split, split, "", "")
        data = load_data(chosen, None, Console(quiet=True), dataset=dataset)
        assert data.is_binary == is_binary
        x = data.batch(torch.arange(1, 40), chosen, progress=0.0).x
        assert torch.equal(x[:, 0], torch.from_numpy(bits[1:]).float())


def data_of(labels: Tensor | None) -> Data:
    cache = torch.arange(10, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 8, 8)
    return Data(cache, labels, cache[:2].float(), None, sha256="")


def test_a_batch_has_the_labels_of_its_images_where_there_are_any():
    recipe = load_recipe(RECIPES / "digits.toml")
    for labels in (None, torch.arange(10)):
        batch = data_of(labels).batch(torch.tensor([7, 2]), recipe, progress=0.5)
        assert batch.x[:, 0, 0, 0].tolist() == [7, 2]
        assert batch.y is None if labels is None else batch.y.tolist() == [7, 2]
        assert batch.labelled is None


M2 = (
    "vae.num_labels=10",
    "vae.classifier={ kind = 'mlp' }",
    "objective.kind=m2",
    "dataset.labels_per_class=1",
)


def test_where_few_labels_are_known_as_many_images_that_have_one_come_along():
    recipe = load_recipe(RECIPES / "digits.toml", overrides=M2)
    labels = torch.full((10,), UNLABELLED)
    labels[[3, 8]] = torch.tensor([5, 6])
    batch = data_of(labels).batch(torch.tensor([7, 3, 2]), recipe, progress=0.5)
    assert batch.x[:, 0, 0, 0].tolist() == [7, 3, 2]
    assert batch.y.tolist() == [UNLABELLED, 5, UNLABELLED]
    assert batch.labelled.labelled is None
    assert len(batch.labelled.x) == 3
    of = {3: 5, 8: 6}
    assert [of[int(v)] for v in batch.labelled.x[:, 0, 0, 0]] == batch.labelled.y.tolist()


def test_a_batch_is_labelled_where_every_label_of_the_data_is_known():
    recipe = load_recipe(RECIPES / "digits.toml")
    known = torch.arange(10)
    few = torch.cat([known[:9], torch.tensor([UNLABELLED])])
    for labels, is_labelled in ((known, True), (few, False), (None, False)):
        batch = data_of(labels).batch(torch.tensor([7, 3]), recipe, progress=0.5)
        assert batch.is_labelled == is_labelled


def test_the_labels_that_are_kept_are_as_many_of_each_class_and_chosen_by_the_seed():
    labels = torch.arange(40) % 4
    kept = keep_labels(labels, 3, seed=0)
    known = kept != UNLABELLED
    assert torch.equal(kept[known], labels[known])
    assert kept[known].bincount().tolist() == [3, 3, 3, 3]
    assert torch.equal(kept, keep_labels(labels, 3, seed=0))
    assert not torch.equal(kept, keep_labels(labels, 3, seed=1))
    with pytest.raises(
        ConfigError, match=r"labels_per_class = 11 is too large: class 0 has 10 .*per_class=10"
    ):
        keep_labels(labels, 11, seed=0)


def test_data_have_labels_for_a_model_that_takes_them_and_as_many():
    console = Console(quiet=True)
    plain = load_data(load_recipe(RECIPES / "digits.toml"), None, console)
    assert (plain.labels, plain.validation_labels) == (None, None)
    data = load_data(load_recipe(RECIPES / "digits.toml", overrides=M2), None, console)
    assert data.labels[data.labels != UNLABELLED].bincount().tolist() == [1] * 10
    assert len(data.validation_labels) == 300
    few = load_recipe(RECIPES / "digits.toml", overrides=[*M2, "vae.num_labels=9"])
    with pytest.raises(
        ConfigError, match=r"vae.num_labels = 9 .* digits, which has 10 .*num_labels=10"
    ):
        load_data(few, None, console)


def labelled(train: list[int], validation: list[int] | None, *, test: int = 2) -> Dataset:
    """Blank pictures of 8x8 with these labels, of the classes a, b and c."""

    def split(count: int, labels: list[int] | None = None) -> ArraySplit:
        images = np.zeros((count, 8, 8), np.uint8)
        return ArraySplit(images, None if labels is None else np.array(labels), levels=17)

    held_out = split(2 if validation is None else len(validation), validation)
    return Dataset(
        "abc", split(len(train), train), held_out, split(test), "", class_names=("a", "b", "c")
    )


@pytest.mark.parametrize(
    ("dataset", "fault"),
    [
        (labelled([0, 1, 2], None), r"needs labels of the validation split, and that of abc has"),
        (labelled([0, 2, 2], [0, 1]), r"only 2 of its 3 classes have training pictures"),
    ],
)
def test_a_model_of_labels_needs_each_class_in_train_and_labels_to_validate(
    dataset: Dataset, fault: str
):
    recipe = load_recipe(RECIPES / "digits.toml", overrides=["vae.num_labels=3"])
    with pytest.raises(ConfigError, match=fault):
        load_data(recipe, None, Console(quiet=True), dataset=dataset)
    assert load_data(
        recipe, None, Console(quiet=True), dataset=labelled([0, 1, 2], [0, 1])
    ).labels.tolist() == [0, 1, 2]


@pytest.mark.parametrize("dataset", [labelled([0] * 9, [0] * 3, test=1), labelled([0] * 9, [0])])
def test_what_cannot_be_scored_is_not_trained_on(dataset: Dataset):
    recipe = load_recipe(RECIPES / "digits.toml")
    with pytest.raises(DatasetError, match=r"^abc cannot be trained on\. The \w+ split has 1 pic"):
        load_data(recipe, None, Console(quiet=True), dataset=dataset)
