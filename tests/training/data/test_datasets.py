"""Data sets by name and by path, and the digest of their content."""

import os
from pathlib import Path

import numpy as np
import pytest

from training.data.array_split import ArraySplit
from training.data.catalogue import DATASETS
from training.data.datasets import Dataset, at_hand, load
from training.errors import DatasetError

DATA_DIR = os.environ.get("VAE_DATA_DIR")


def test_digest_changes_with_one_pixel_and_with_the_labels() -> None:
    images = np.zeros((2, 3, 3), dtype=np.uint8)
    other = images.copy()
    other[1, 2, 2] = 1
    labels = np.zeros(2, dtype=np.int64)
    blank = ArraySplit(images)
    digests = {
        Dataset("a", train, blank, blank, licence="").sha256
        for train in (
            blank,
            ArraySplit(other),
            ArraySplit(images, labels),
            ArraySplit(images, labels + 1),
        )
    }
    assert len(digests) == 4


def test_digest_does_not_depend_on_the_memory_layout() -> None:
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    blank = ArraySplit(images[:1])
    turned = ArraySplit(np.asfortranarray(images))
    first = Dataset("a", ArraySplit(images), blank, blank, licence="").sha256
    assert Dataset("a", turned, blank, blank, licence="").sha256 == first


def test_data_dir_comes_from_the_environment(
    small_mnist: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAE_DATA_DIR", str(small_mnist))
    assert at_hand("mnist")
    assert len(load("mnist").test) == 10


def test_unknown_set_is_refused_with_the_known_ones() -> None:
    with pytest.raises(DatasetError, match=r"no data set 'minst'.*digits, mnist-static") as caught:
        load("minst")
    assert "Did you mean 'mnist'?" in str(caught.value)
    assert caught.value.details["suggestion"] == "mnist"
    assert caught.value.details["allowed"] == list(DATASETS)


def test_a_path_is_looked_for_as_it_is_then_in_the_data_folder_then_there_by_its_last_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, 3, 3), dtype=np.uint8)
    for number, folder in enumerate(
        (tmp_path / "here", tmp_path / "data" / "sub", tmp_path / "new")
    ):
        folder.mkdir(parents=True)
        np.save(folder / "some.npy", images + np.uint8(number))
    monkeypatch.chdir(tmp_path / "here")
    found = [
        load(name, data_dir=tmp_path / data_dir).sha256
        for name, data_dir in [
            ("some.npy", "data"),
            ("sub/some.npy", "data"),
            (str(tmp_path / "gone" / "some.npy"), "new"),
        ]
    ]
    wanted = [load(str(path)).sha256 for path in sorted(tmp_path.rglob("some.npy"))]
    assert len(set(found)) == 3
    assert set(found) == set(wanted)


@pytest.mark.parametrize(
    ("name", "fault"),
    [("nothing", "no data set .*nothing' here or in"), ("notes.txt", "notes.txt is no data set")],
)
def test_a_path_to_nothing_of_use_says_what_is_taken(name: str, fault: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(
        DatasetError, match=rf"{fault}.*a folder of pictures, an \.npz, .*\.tar or \.parquet"
    ):
        load(str(tmp_path / name), data_dir=tmp_path)


def test_a_known_name_wins_over_a_folder_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path)
    assert len(load("digits").test) == 300
    with pytest.raises(DatasetError, match="digits holds no picture that can be read"):
        load("./digits")
