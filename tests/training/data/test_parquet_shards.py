"""Parquet files as Hugging Face writes them: columns, classes, row groups, and damaged files."""

import sys
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from models.images import read_picture
from tests.training.data.pictures import SMALL
from tests.training.data.shard_files import cells, picture, write_parquet
from training.data.datasets import Dataset, load
from training.errors import DatasetError

IMAGE = {"_type": "Image"}


def labels_in(dataset: Dataset) -> set[int]:
    return {
        int(label)
        for split in dataset.splits.values()
        if split.labels is not None
        for label in split.labels
    }


def test_classes_that_the_schema_names_are_the_names_of_labels(tmp_path: Path) -> None:
    path = write_parquet(
        tmp_path / "x.parquet",
        {"img": cells(range(30)), "fine": [0, 2] * 15, "note": ["hello"] * 30},
        features={"img": IMAGE, "fine": {"_type": "ClassLabel", "names": ["ant", "bee", "cow"]}},
    )
    dataset = load(str(path))
    assert dataset.class_names == ("ant", "bee", "cow")
    assert labels_in(dataset) == {0, 2}
    assert any("No training picture: class bee" in warning for warning in dataset.warnings)


def test_several_columns_of_classes_are_not_guessed_from(tmp_path: Path) -> None:
    kind = {"_type": "ClassLabel", "names": ["a", "b"]}
    path = write_parquet(
        tmp_path / "x.parquet",
        {"img": cells(range(30)), "fine": [0, 1] * 15, "coarse": [0, 1] * 15},
        features={"img": IMAGE, "fine": kind, "coarse": kind},
    )
    dataset = load(str(path))
    assert dataset.train.labels is None
    assert dataset.warnings == (
        "Labels are not read, since several columns hold classes: fine, coarse. Call one of them "
        "label.",
    )


@pytest.mark.parametrize("features", [None, {}, {"x": "text"}, "text"])
def test_bytes_without_a_declaration_are_pictures(features: object, tmp_path: Path) -> None:
    path = write_parquet(
        tmp_path / "x.parquet",
        {"x": [picture(seed) for seed in range(30)], "label": [-1, *[0, 1] * 14, -1]},
        features=features,  # type: ignore[arg-type]
    )
    dataset = load(str(path))
    assert labels_in(dataset) == {0, 1}
    assert [one.reason for one in dataset.skipped] == ["no label", "no label"]


@pytest.mark.parametrize(
    ("columns", "declared", "chosen"),
    [
        (("image", "mask"), None, "image"),
        (("a", "mask"), "a", "a"),
        (("mask", "image"), "mask", "mask"),
    ],
)
def test_of_several_columns_the_declared_one_or_one_by_name_is_taken(
    columns: tuple[str, str], declared: str | None, chosen: str, tmp_path: Path
) -> None:
    found = {name: cells(range(30 * i, 30 * i + 30)) for i, name in enumerate(columns)}
    features = None if declared is None else {declared: IMAGE}
    dataset = load(str(write_parquet(tmp_path / "x.parquet", found, features=features)))
    first = 30 * columns.index(chosen)
    of_pixels = {
        read_picture(picture(seed), SMALL).x.tobytes() for seed in range(first, first + 30)
    }
    assert {x.tobytes() for x in dataset.train.observations(SMALL)} < of_pixels


def test_several_columns_of_pictures_are_named(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "x.parquet", {"a": cells(range(9)), "b": cells(range(9))})
    with pytest.raises(DatasetError, match=r"several columns .*: a, b\. Call the one .* image\."):
        load(str(path))


def test_a_table_without_pictures_lists_its_columns(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "x.parquet", {"text": ["a"] * 9, "label": [1] * 9})
    with pytest.raises(
        DatasetError,
        match=r"no column of pictures; .* are text \(string\), label \(int64\)",
    ):
        load(str(path))


def test_a_file_of_other_columns_is_named(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", {"image": cells(range(9))})
    write_parquet(tmp_path / "b.parquet", {"img": cells(range(9))})
    with pytest.raises(DatasetError, match=r"b\.parquet lacks the column image.* columns are img"):
        load(str(tmp_path))


@pytest.mark.parametrize("data", [b"", b"hello", b"cut"])
def test_a_damaged_file_is_named(data: bytes, tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "x.parquet", {"image": cells(range(9))})
    path.write_bytes(path.read_bytes()[:-9] if data == b"cut" else data)
    with pytest.raises(DatasetError, match=r"x\.parquet is no whole Parquet file: .* Fetch or"):
        load(str(path))


def test_pyarrow_is_asked_for_where_it_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_parquet(tmp_path / "x.parquet", {"image": cells(range(9))})
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(DatasetError, match=r"not installed\. Run pip install"):
        load(str(path))


@pytest.mark.usefixtures("cache_dir")
def test_row_groups_are_read_once_in_order_and_only_where_a_row_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_parquet(tmp_path / "x.parquet", {"image": cells(range(40))}, rows=4)
    dataset, read = load(str(path)), list[int]()
    original = parquet.ParquetFile.iter_batches

    def note(file, *arguments, row_groups, **options):
        read.extend(row_groups)
        return original(file, *arguments, row_groups=row_groups, **options)

    monkeypatch.setattr(parquet.ParquetFile, "iter_batches", note)
    few = dataset.train.take(np.array([5, 3, 4]))
    whole, some = dataset.train.observations(SMALL), few.observations(SMALL)
    assert read[:10] == sorted({*read[:10]}) == list(range(10))
    assert len(read) < 14
    assert np.array_equal(some, whole[[5, 3, 4]])
