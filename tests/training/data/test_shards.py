"""Sets in shards: splits by names, labels of some, files beside them, and what is kept."""

import io
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from models.images import ImageSpec, read_picture
from tests.training.data.pictures import SMALL, SPECS, fill, paths_of, settle
from tests.training.data.readings import assert_equal, facts, pixels
from tests.training.data.shard_files import cells, picture, samples, write_parquet, write_tar
from training.data.datasets import Dataset, load
from training.errors import DatasetError


def write_set(folder: Path, form: str, seeds: range, *, shards: int = 3) -> Path:
    """Pictures of two classes in shards of one form."""
    for number in range(shards):
        some = seeds[number * len(seeds) // shards : (number + 1) * len(seeds) // shards]
        path = folder / f"part-{number:04}.{form}"
        if form == "tar":
            write_tar(path, samples(some))
        else:
            write_parquet(path, {"image": cells(some), "label": [seed % 2 for seed in some]})
    return folder


@pytest.fixture(params=["tar", "parquet"])
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def shards(tmp_path: Path, form: str) -> Path:
    """Forty pictures of two classes in three shards."""
    folder = write_set(tmp_path / "shards", form, range(40))
    settle(folder)
    return folder


@lru_cache(maxsize=1)
def of_pixels() -> dict[bytes, int]:
    return {read_picture(picture(seed), SMALL).x.tobytes(): seed for seed in range(130)}


def seeds_of(dataset: Dataset, split: str) -> list[int]:
    """Which pictures a split has, by their pixels."""
    return [of_pixels()[x.tobytes()] for x in dataset.splits[split].observations(SMALL)]


@pytest.mark.usefixtures("cache_dir")
def test_every_picture_is_in_a_split_with_its_own_label(shards: Path) -> None:
    dataset = load(str(shards))
    found = {name: seeds_of(dataset, name) for name in dataset.splits}
    assert sorted(seed for some in found.values() for seed in some) == list(range(40))
    for name, split in dataset.splits.items():
        assert split.labels is not None
        assert split.labels.tolist() == [seed % 2 for seed in found[name]]
        assert found[name] == sorted(found[name])  # the order of the shards
    assert dataset.about.startswith("the pictures of ")
    assert dataset.class_names == dataset.skipped == dataset.warnings == ()


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_training_and_the_service_make_the_same_tensor(shards: Path, spec: ImageSpec) -> None:
    dataset = load(str(shards))
    service = [read_picture(picture(seed), spec).x for seed in seeds_of(dataset, "test")]
    assert np.array_equal(dataset.test.observations(spec), np.stack(service))


def test_all_is_the_same_without_a_cache_with_an_empty_one_and_from_a_full_one(
    shards: Path, cache_dir: Path, uncached: Callable[[Path], Dataset]
) -> None:
    without = uncached(shards)
    assert not cache_dir.exists()
    for _ in range(2):
        assert facts(load(str(shards))) == facts(without)
        assert_equal(pixels(load(str(shards)), SMALL), pixels(without, SMALL))


def test_what_is_kept_is_mapped_and_nothing_is_decoded_again(shards: Path, cache_dir: Path) -> None:
    shown = io.StringIO()
    for _ in range(2):
        shown.seek(0)
        shown.truncate()
        console = Console(file=shown, force_terminal=True)
        levels = load(str(shards), console=console).train.read_levels(SMALL, console=console)
        assert isinstance(levels, np.memmap)
    assert "pictures" not in shown.getvalue()
    assert "shards" not in shown.getvalue()
    assert len(list(cache_dir.glob("levels-*"))) == 1


@pytest.mark.usefixtures("cache_dir")
def test_a_shard_that_changed_is_read_again(
    shards: Path, form: str, uncached: Callable[[Path], Dataset]
) -> None:
    before = load(str(shards))
    pixels(before, SMALL)
    write_set(shards, form, range(100, 130), shards=1)
    settle(shards)
    after = load(str(shards))
    assert facts(after) == facts(uncached(shards)) != facts(before)
    assert_equal(pixels(after, SMALL), pixels(uncached(shards), SMALL))
    assert {*range(100, 130)} < {seed for name in after.splits for seed in seeds_of(after, name)}


def test_a_shard_that_changes_after_it_was_looked_at_is_refused(shards: Path, form: str) -> None:
    dataset = load(str(shards))
    write_set(shards, form, range(100, 130), shards=1)
    with pytest.raises(DatasetError, match=r"part-0000\.\w+ changed after .* Run the command"):
        dataset.train.read_levels(SMALL)


@pytest.mark.parametrize(
    "names",
    [
        {"train-000.{}": "train", "train-001.{}": "train", "val-000.{}": "validation"},
        {"imagenet-train-0.{}": "train", "imagenet-validation-0.{}": "validation"},
        {"default/train/0000.{}": "train", "default/test/0000.{}": "test"},
    ],
)
def test_names_and_folders_of_shards_give_splits(
    names: dict[str, str], form: str, tmp_path: Path
) -> None:
    expected: dict[str, set[int]] = {"train": set(), "validation": set(), "test": set()}
    for number, (name, split) in enumerate(names.items()):
        seeds = range(20 * number, 20 * number + 20)
        write_set(tmp_path / "x", form, seeds, shards=1)
        path = tmp_path / "set" / name.format(form)
        path.parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "x" / f"part-0000.{form}").rename(path)
        expected[split] |= {*seeds}
    dataset = load(str(tmp_path / "set"))
    for split in set(names.values()) - {"train"}:
        assert {*seeds_of(dataset, split)} == expected[split]
    assert {*seeds_of(dataset, "train")} <= expected["train"]
    assert sum(map(len, dataset.splits.values())) == 20 * len(names)


def test_shards_of_no_split_beside_those_of_splits_are_left_out(form: str, tmp_path: Path) -> None:
    for name in ("train", "test", "more"):
        write_set(tmp_path / "x", form, range(20), shards=1)
        (tmp_path / "x" / f"part-0000.{form}").rename(tmp_path / f"{name}-0.{form}")
    (tmp_path / "x").rmdir()
    (tmp_path / "README.md").write_text("hello")
    dataset = load(str(tmp_path))
    assert {one.path: one.reason for one in dataset.skipped} == {
        "README.md": f"no .{form}",
        f"more-0.{form}": "a shard of no split",
    }
    assert any("1 of no split is left out" in warning for warning in dataset.warnings)


def test_one_shard_is_a_data_set(form: str, tmp_path: Path) -> None:
    path = write_set(tmp_path, form, range(30), shards=1) / f"part-0000.{form}"
    dataset = load(str(path))
    assert dataset.name == path.name
    assert sum(map(len, dataset.splits.values())) == 30


def test_a_folder_of_pictures_beside_a_shard_stays_one_of_pictures(
    form: str, tmp_path: Path
) -> None:
    write_set(tmp_path, form, range(30), shards=1)
    fill(tmp_path, 10)
    assert len(paths_of(load(str(tmp_path)).train)) < 10


def test_shards_of_two_kinds_are_refused(tmp_path: Path) -> None:
    for kind in ("tar", "parquet"):
        write_set(tmp_path, kind, range(10), shards=1)
    with pytest.raises(DatasetError, match=r"shards of two kinds, \.parquet and \.tar\. Move"):
        load(str(tmp_path))


def labelled(path: Path, labels: list[str | None], *, start: int = 0) -> Path:
    """A tar or a Parquet file with these labels."""
    seeds = range(start, start + len(labels))
    if path.suffix == ".parquet":
        return write_parquet(path, {"image": cells(seeds), "label": labels})
    members = []
    for seed, label in zip(seeds, labels, strict=True):
        members.append((f"{seed}.png", picture(seed)))
        members += [] if label is None else [(f"{seed}.cls", label.encode())]
    return write_tar(path, members)


def test_names_of_classes_become_labels_in_sorted_order(form: str, tmp_path: Path) -> None:
    path = labelled(tmp_path / f"x.{form}", ["zebra", "ant", "ant"] * 10)
    dataset = load(str(path))
    assert dataset.class_names == ("ant", "zebra")
    for name, split in dataset.splits.items():
        assert split.labels is not None
        assert split.labels.tolist() == [int(seed % 3 == 0) for seed in seeds_of(dataset, name)]


def test_a_few_pictures_without_labels_are_left_out(form: str, tmp_path: Path) -> None:
    dataset = load(str(labelled(tmp_path / f"x.{form}", [None, *"ababababab" * 3])))
    assert sum(map(len, dataset.splits.values())) == 30
    assert dataset.train.labels is not None
    (left_out,) = dataset.skipped
    assert left_out.reason == "no label"
    assert "0.png" in left_out.path or "[0]" in left_out.path
    assert any("1 of the 31 pictures of the train split are" in one for one in dataset.warnings)


def test_a_few_labels_are_not_used(form: str, tmp_path: Path) -> None:
    dataset = load(str(labelled(tmp_path / f"x.{form}", ["a", "b", *[None] * 28])))
    assert dataset.train.labels is None
    assert dataset.class_names == dataset.skipped == ()
    assert any("since 28 of its 30 pictures have none" in one for one in dataset.warnings)


def test_labels_of_a_held_out_split_come_from_train(form: str, tmp_path: Path) -> None:
    labelled(tmp_path / f"train.{form}", list("ab" * 12))
    labelled(tmp_path / f"val.{form}", list("abz"), start=50)
    labelled(tmp_path / f"test.{form}", [None, None], start=60)
    dataset = load(str(tmp_path))
    assert (len(dataset.validation), dataset.test.labels) == (2, None)
    said = "\n".join(dataset.warnings)
    assert "1 of the 3 pictures of the validation split are left out: train has no label z." in said
    assert "The test split has no labels. Add " in said


def test_a_picture_of_two_labels_is_named(form: str, tmp_path: Path) -> None:
    path = labelled(tmp_path / f"x.{form}", list("ab" * 12))
    again = labelled(tmp_path / f"y.{form}", ["b"])
    assert again != path
    (warning,) = [one for one in load(str(tmp_path)).warnings if "more than one label" in one]
    assert f"x.{form}" in warning
    assert f"y.{form}" in warning


def test_what_cannot_be_decoded_is_left_out_with_its_reason(form: str, tmp_path: Path) -> None:
    broken = picture(0)[:60]
    if form == "tar":
        path = write_tar(
            tmp_path / "x.tar",
            [*samples(range(1, 20)), ("bad.png", broken), ("bad.cls", b"1"), ("empty.jpg", b"")],
        )
        names = ["x.tar/bad.png", "x.tar/empty.jpg"]
    else:
        found = [*cells(range(1, 20)), {"bytes": broken}, {"bytes": b""}, {"path": "a.png"}, None]
        path = write_parquet(tmp_path / "x.parquet", {"image": found, "label": [0] * 23})
        names = [f"x.parquet[{row}]" for row in (19, 20, 21, 22)]
    dataset = load(str(path))
    assert [one.path for one in dataset.skipped] == names
    assert "damaged or cut short" in dataset.skipped[0].reason
    assert "empty" in dataset.skipped[1].reason
    if form == "parquet":
        assert dataset.skipped[2].reason == "its bytes are not in the table, but in a.png"
    assert sum(map(len, dataset.splits.values())) == 19


def test_a_set_without_a_picture_that_can_be_decoded_is_refused(form: str, tmp_path: Path) -> None:
    if form == "tar":
        path = write_tar(tmp_path / "x.tar", [("a.png", b"hello"), ("b.png", b"hello")])
    else:
        path = write_parquet(tmp_path / "x.parquet", {"image": [b"hello", b"hello"]})
    with pytest.raises(DatasetError, match=r"no picture that can be read \(x\..*a.*text"):
        load(str(path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_shard_that_may_not_be_read_is_named(shards: Path, form: str) -> None:  # pragma: no cover
    (shards / f"part-0001.{form}").chmod(0)
    with pytest.raises((DatasetError, PermissionError), match="part-0001"):
        load(str(shards))
