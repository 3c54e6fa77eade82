"""Splits and classes by folders: labels come from train, and what is doubtful is said."""

import unicodedata
from pathlib import Path

import pytest

from tests.training.data.pictures import fill, paths_of, save
from training.data.datasets import Dataset, load


def dataset_of(root: Path, **counts: int) -> Dataset:
    """The data set of folders with so many pictures each; `__` stands for a slash."""
    for start, (name, count) in enumerate(counts.items()):
        fill(root / name.replace("__", "/"), count, start=100 * start)
    return load(str(root))


def said(dataset: Dataset) -> str:
    return "\n".join(dataset.warnings)


def classes_in(dataset: Dataset, name: str) -> set[str]:
    labels = dataset.splits[name].labels
    assert labels is not None
    return {dataset.class_names[label] for label in labels}


def test_a_loose_picture_beside_class_folders_is_left_out_and_labels_stay(tmp_path: Path) -> None:
    save(tmp_path / "cover.png", seed=999)
    dataset = dataset_of(tmp_path, cats=10, dogs=10)
    assert dataset.class_names == ("cats", "dogs")
    assert sum(map(len, dataset.splits.values())) == 20
    assert [one.path for one in dataset.skipped] == ["cover.png"]
    assert "1 picture is left out, such as 'cover.png'" in said(dataset)


def test_folders_beside_more_loose_pictures_are_no_classes_and_nothing_is_lost(
    tmp_path: Path,
) -> None:
    fill(tmp_path, 30, start=500)
    dataset = dataset_of(tmp_path, edited=6, raw=6)
    assert dataset.class_names == ()
    assert dataset.train.labels is None
    assert sum(map(len, dataset.splits.values())) == 42
    assert "30 of the 42 pictures of the folder lie beside its folders 'edited', 'raw'" in said(
        dataset
    )


@pytest.mark.parametrize("place", ["test", "test__test1", "test__unknown__all"])
def test_a_test_split_without_classes_has_no_labels_and_invents_none(
    place: str, tmp_path: Path
) -> None:
    dataset = dataset_of(tmp_path, train__cats=20, train__dogs=20, **{place: 5})
    assert dataset.class_names == ("cats", "dogs")
    assert classes_in(dataset, "train") == {"cats", "dogs"}
    assert (len(dataset.test), dataset.test.labels) == (5, None)
    assert "The test split has no labels" in said(dataset)


def test_a_class_that_only_validation_has_is_left_out(tmp_path: Path) -> None:
    dataset = dataset_of(
        tmp_path, train__cats=20, train__dogs=20, val__cats=3, val__dogs=3, val__birds=3
    )
    assert dataset.class_names == ("cats", "dogs")
    assert len(dataset.validation) == 6
    assert classes_in(dataset, "validation") == {"cats", "dogs"}
    assert len(dataset.skipped) == 3
    assert all(one.path.startswith("val/birds/") for one in dataset.skipped)
    assert "3 pictures are left out of the validation split, in 'birds'" in said(dataset)


def test_a_loose_picture_in_a_held_out_split_is_left_out(tmp_path: Path) -> None:
    save(tmp_path / "test" / "cover.png", seed=999)
    dataset = dataset_of(tmp_path, train__cats=20, train__dogs=20, test__cats=2, test__dogs=2)
    assert len(dataset.test) == 4
    assert "1 picture is left out of the test split, in 'no folder'" in said(dataset)


@pytest.mark.parametrize(
    ("trained", "tested"),
    [
        ("Cat", "cat"),
        ("polar bear", "polar_bear"),
        (unicodedata.normalize("NFC", "café"), unicodedata.normalize("NFD", "café")),
    ],
)
def test_a_class_is_known_again_in_another_case_or_form(
    trained: str, tested: str, tmp_path: Path
) -> None:
    for start, name in enumerate((f"train/{trained}", "train/dog", f"test/{tested}", "test/dog")):
        fill(tmp_path / name, 12, start=100 * start)
    dataset = load(str(tmp_path))
    assert set(dataset.class_names) == {trained, "dog"}
    assert classes_in(dataset, "test") == {trained, "dog"}
    assert "of test is read as the class" in said(dataset)


def test_classes_with_nearly_one_name_are_kept_apart_and_said(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, Cat=10, cat=10)
    if len(list(tmp_path.iterdir())) == 1:
        pytest.skip("the file system takes both names for one")
    assert dataset.class_names == ("Cat", "cat")
    assert "The classes 'Cat', 'cat' are kept apart" in said(dataset)


def test_folders_around_the_classes_of_a_split_count_for_nothing(tmp_path: Path) -> None:
    dataset = dataset_of(
        tmp_path,
        train__images__cats=20,
        train__images__dogs=20,
        test__images__cats=2,
        test__images__dogs=2,
    )
    assert dataset.class_names == ("cats", "dogs")
    assert classes_in(dataset, "test") == {"cats", "dogs"}
    assert said(dataset) == ""


def test_a_test_split_of_one_class_keeps_its_label(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, train__cats=20, train__dogs=20, test__dogs=3)
    assert classes_in(dataset, "test") == {"dogs"}
    assert said(dataset) == ""


def test_folders_below_the_classes_count_for_nothing(tmp_path: Path) -> None:
    dataset = dataset_of(
        tmp_path, train__cat__tabby=15, train__cat__manx=15, train__dog=15, test__cat__manx=3
    )
    assert dataset.class_names == ("cat", "dog")
    assert classes_in(dataset, "test") == {"cat"}


def test_one_folder_of_train_is_no_class_and_test_gives_none(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, train__cats=30, test__cats=3, test__dogs=3)
    assert dataset.class_names == ()
    assert dataset.test.labels is None
    assert len(dataset.test) == 6
    assert "all in one folder, 'cats', so they have no labels" in said(dataset)
    assert "The folders of test ('cats', 'dogs') are no labels" in said(dataset)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("training_set", "test_set"),
        ("train2017", "val2017"),
        ("seg_train", "seg_test"),
        ("Train Images", "Test Images"),
    ],
)
def test_folders_called_nearly_like_splits_are_splits_and_said(
    train: str, test: str, tmp_path: Path
) -> None:
    dataset = dataset_of(
        tmp_path,
        **{f"{train}__cats": 20, f"{train}__dogs": 20, f"{test}__cats": 3, f"{test}__dogs": 3},
    )
    assert dataset.class_names == ("cats", "dogs")
    assert sorted(map(len, dataset.splits.values()))[0] >= 4
    assert f"The folders are read as splits: {min(train, test)} as " in said(dataset)


def test_dev_is_a_validation_split(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, TRAIN=40, Dev=5)
    assert len(dataset.validation) == 5


@pytest.mark.parametrize("names", [("test", "val"), ("train", "unlabelled"), ("contest", "dev")])
def test_a_class_called_like_a_split_is_said(names: tuple[str, str], tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, **dict.fromkeys(names, 15))
    assert dataset.class_names == tuple(sorted(names))
    assert "Folders counted as classes, not as splits: " in said(dataset)


def test_splits_below_the_classes_are_said_not_to_be_splits(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, cats__train=20, cats__test=5, dogs__train=20, dogs__test=5)
    assert dataset.class_names == ("cats", "dogs")
    assert "The folders 'test', 'train' lie below the classes and are no splits" in said(dataset)


def test_a_picture_beside_the_folder_of_the_splits_hides_them_not(tmp_path: Path) -> None:
    save(tmp_path / "preview.png", seed=999)
    dataset = dataset_of(
        tmp_path, data__train__cats=20, data__train__dogs=20, data__test__cats=2, data__test__dogs=2
    )
    assert dataset.class_names == ("cats", "dogs")
    assert len(dataset.test) == 4
    assert [(one.path, one.reason) for one in dataset.skipped] == [
        ("preview.png", "outside the splits in data")
    ]


@pytest.mark.parametrize(
    ("empty", "filled"),
    [
        ("birds", ("cats", "dogs")),
        ("dogs", ("cats",)),
        ("train/birds", ("train/cats", "train/dogs", "test/cats")),
        ("val", ("train", "test")),
        ("val", ("train",)),
        ("test/dogs", ("train/cats", "train/dogs", "test/cats")),
    ],
)
def test_an_empty_folder_of_a_class_or_split_is_said(
    empty: str, filled: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / empty).mkdir(parents=True)
    for start, name in enumerate(filled):
        fill(tmp_path / name, 12, start=100 * start)
    assert (
        f"1 folder has no picture that can be read, so it is no class and no split: {empty!r}."
        in (load(str(tmp_path)).warnings)
    )


def test_a_class_of_broken_pictures_is_said_like_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "birds").mkdir()
    (tmp_path / "birds" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    (tmp_path / "fish").mkdir()
    assert "2 folders have no picture that can be read" in said(
        dataset_of(tmp_path, cats=10, dogs=10)
    )


def test_folders_of_systems_and_hidden_ones_are_no_classes(tmp_path: Path) -> None:
    names = [".ipynb_checkpoints", "__pycache__", "__MACOSX", "@eaDir", "cats", "dogs"]
    dataset = dataset_of(tmp_path, **{name: 10 for name in names[4:]})
    for start, name in enumerate(names[:4]):
        fill(tmp_path / name, 2, start=1_000 + 10 * start)
    save(tmp_path / "cats" / "._0.png", seed=2_000)
    again = load(str(tmp_path))
    assert again.class_names == dataset.class_names == ("cats", "dogs")
    assert again.sha256 == dataset.sha256
    assert len(again.skipped) == 5


def test_linked_class_folders_are_listed_and_circles_end(tmp_path: Path) -> None:
    dataset_of(tmp_path, cats=10, dogs=10)
    (tmp_path / "cats" / "self").symlink_to(tmp_path)
    (tmp_path / "birds").symlink_to(tmp_path / "cats")
    dataset = load(str(tmp_path))
    assert dataset.class_names == ("cats", "dogs")
    assert {one.path for one in dataset.skipped} == {"birds", "cats/self"}


def test_labels_of_given_files_are_those_of_their_folders(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, train__a=12, train__b=12, test__b=2, test__a=2)
    for split in dataset.splits.values():
        assert split.labels is not None
        folders = [path.parent.name for path in paths_of(split)]
        assert folders == [dataset.class_names[label] for label in split.labels]
