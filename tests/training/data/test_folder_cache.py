"""A folder decoded once: the same from the cache, and whatever changed decoded again, no more."""

import io
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import models
from models.images import ImageSpec
from tests.training.data.pictures import GREY, SMALL, SPECS, fill, save, settle
from tests.training.data.readings import assert_equal, facts, pixels
from training.data.datasets import Dataset, load
from training.data.reading_code import reading_version


def test_all_is_the_same_without_a_cache_with_an_empty_one_and_from_a_full_one(
    photos: Path, cache_dir: Path, uncached: Callable[[Path], Dataset]
) -> None:
    without = uncached(photos)
    assert not cache_dir.exists()
    assert len(without.skipped) == 2
    assert any("more than one label" in warning for warning in without.warnings)
    assert any("birds" in warning for warning in without.warnings)
    for _ in range(2):
        assert facts(load(str(photos))) == facts(without)
        assert_equal(pixels(load(str(photos)), SMALL), pixels(without, SMALL))


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.usefixtures("cache_dir")
def test_pictures_of_every_mode_are_the_same_from_the_cache(
    spec: ImageSpec, odd_folder: Path, uncached: Callable[[Path], Dataset]
) -> None:
    settle(odd_folder)
    expected = pixels(uncached(odd_folder), spec)
    for _ in range(2):
        assert_equal(pixels(load(str(odd_folder)), spec), expected)


@pytest.mark.usefixtures("cache_dir")
def test_odd_files_are_left_out_for_the_same_reasons(
    data_dir: Callable[[str], Path], uncached: Callable[[Path], Dataset]
) -> None:
    folder = data_dir("odd_images")
    without = facts(uncached(folder))
    for _ in range(2):
        assert facts(load(str(folder))) == without


@pytest.mark.usefixtures("cache_dir")
def test_what_is_kept_is_mapped_and_no_picture_is_opened(photos: Path, opened: list[str]) -> None:
    first = load(str(photos)).train.read_levels(SMALL)
    assert isinstance(first, np.memmap)
    opened.clear()
    dataset = load(str(photos))
    second = dataset.train.read_levels(SMALL)
    assert isinstance(second, np.memmap)
    assert second.flags.writeable  # torch warns of others
    assert opened == []
    dataset.validation.read_levels(SMALL)
    assert len(opened) == len(dataset.validation)


@pytest.mark.usefixtures("cache_dir")
def test_progress_is_shown_of_what_is_decoded_only(photos: Path) -> None:
    said = []
    for _ in range(2):
        console = Console(file=io.StringIO(), force_terminal=True)
        load(str(photos), console=console).train.read_levels(SMALL, console=console)
        assert isinstance(console.file, io.StringIO)
        said.append(console.file.getvalue())
    assert "looking at pictures" in said[0]
    assert "reading pictures" in said[0]
    assert "reading pictures" not in said[1]


@pytest.mark.usefixtures("cache_dir")
def test_added_files_alone_are_decoded(
    photos: Path, opened: list[str], uncached: Callable[[Path], Dataset]
) -> None:
    pixels(load(str(photos)), SMALL)
    fill(photos / "cats", 10, start=900)
    settle(photos)
    opened.clear()
    dataset = load(str(photos))
    found = pixels(dataset, SMALL)
    assert set(opened) == {f"{seed}.png" for seed in range(900, 910)}
    without = uncached(photos)
    assert facts(dataset) == facts(without)
    assert_equal(found, pixels(without, SMALL))
    opened.clear()
    pixels(load(str(photos)), SMALL)
    assert opened == []


def change_at_the_same_size_and_time(path: Path) -> None:
    status, other = path.stat(), save(path.with_suffix(".other"), seed=5_000)
    data = other.read_bytes()
    other.unlink()
    assert len(data) == status.st_size
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def remove(path: Path) -> None:
    path.unlink()


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


def rename(path: Path) -> None:
    path.rename(path.with_name("renamed.png"))


def move_to_the_other_class(path: Path) -> None:
    path.rename(path.parent.parent / "dogs" / path.name)


@pytest.mark.parametrize(
    ("change", "decoded"),
    [
        (change_at_the_same_size_and_time, {"7.png"}),
        (remove, set()),
        (damage, {"7.png"}),
        (rename, {"renamed.png"}),
        (move_to_the_other_class, {"7.png"}),
    ],
)
@pytest.mark.usefixtures("cache_dir")
def test_a_changed_file_alone_is_decoded_and_nothing_of_it_is_remembered(
    change: Callable[[Path], None],
    decoded: set[str],
    photos: Path,
    opened: list[str],
    uncached: Callable[[Path], Dataset],
) -> None:
    before = load(str(photos))
    pixels(before, SMALL)
    change(photos / "cats" / "7.png")
    settle(photos)
    opened.clear()
    dataset = load(str(photos))
    found = pixels(dataset, SMALL)
    assert set(opened) == decoded
    without = uncached(photos)
    assert facts(dataset) == facts(without) != facts(before)
    assert_equal(found, pixels(without, SMALL))


@pytest.mark.usefixtures("cache_dir")
def test_a_file_that_changes_after_it_was_looked_at_is_not_kept_as_what_it_was(
    photos: Path, uncached: Callable[[Path], Dataset]
) -> None:
    dataset = load(str(photos))
    change_at_the_same_size_and_time(photos / "cats" / "7.png")
    settle(photos)
    pixels(dataset, SMALL)
    assert_equal(pixels(load(str(photos)), SMALL), pixels(uncached(photos), SMALL))


@pytest.mark.usefixtures("cache_dir")
def test_files_that_changed_a_moment_ago_are_decoded_again(photos: Path, opened: list[str]) -> None:
    ahead = time.time() + 1_000
    os.utime(photos / "cats" / "7.png", (ahead, ahead))
    for _ in range(2):
        opened.clear()
        load(str(photos)).train.read_levels(SMALL)
        assert "7.png" in opened
    assert set(opened) == {"7.png"}


def test_another_spec_is_decoded_and_both_are_kept(
    photos: Path, cache_dir: Path, opened: list[str]
) -> None:
    load(str(photos)).train.read_levels(SMALL)
    for change in (
        {"height": 5},
        {"channels": 1},
        {"background": 3},
        {"fit": "crop"},
        {"resample": "box"},
        {"levels": 16},
        {"levels": 2, "binarization": "threshold"},
    ):
        opened.clear()
        load(str(photos)).train.read_levels(SMALL.model_copy(update=change))
        assert opened != []
    opened.clear()
    for same in (
        SMALL,
        SMALL.model_copy(update={"values": "unit"}),
        SMALL.model_copy(update={"levels": 2, "binarization": "stochastic"}),  # trains on grey
    ):
        load(str(photos)).train.read_levels(same)
    assert opened == []
    assert len(list(cache_dir.iterdir())) == 9


@pytest.mark.usefixtures("cache_dir")
def test_another_version_of_the_reading_code_decodes_anew(
    photos: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    load(str(photos)).train.read_levels(SMALL)
    opened.clear()
    reading_version.cache_clear()
    monkeypatch.setattr(models, "__version__", "another")
    load(str(photos)).train.read_levels(SMALL)
    reading_version.cache_clear()
    assert len(set(opened)) == 42  # all but the empty one


@pytest.mark.usefixtures("cache_dir")
def test_a_file_left_out_for_want_of_memory_is_looked_at_again(
    photos: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    convert = Image.Image.convert

    def convert_no_cmyk(picture: Image.Image, *arguments: str) -> Image.Image:
        if picture.mode == "CMYK":
            raise MemoryError
        return convert(picture, *arguments)

    Image.new("CMYK", (4, 4)).save(photos / "cats" / "ink.jpg")
    settle(photos)
    with monkeypatch.context() as changed:
        changed.setattr(Image.Image, "convert", convert_no_cmyk)
        assert "cats/ink.jpg" in {one.path for one in load(str(photos)).skipped}
    opened.clear()
    assert "cats/ink.jpg" not in {one.path for one in load(str(photos)).skipped}
    assert opened == ["ink.jpg"]


@pytest.mark.usefixtures("cache_dir")
def test_split_folders_keep_their_labels_and_a_whole_split_of_another_form(
    tmp_path: Path, opened: list[str]
) -> None:
    for number, name in enumerate(("train", "val", "test")):
        fill(tmp_path / "data" / name / "a", 3, start=10 * number)
        fill(tmp_path / "data" / name / "b", 3, start=10 * number + 5)
    settle(tmp_path / "data")
    first = load(str(tmp_path / "data"))
    before = pixels(first, GREY)
    opened.clear()
    again = load(str(tmp_path / "data"))
    assert facts(again) == facts(first)
    assert_equal(pixels(again, GREY), before)
    assert opened == []
