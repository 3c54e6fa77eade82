"""A folder decoded once: the same from the cache, and whatever changed decoded again, no more."""

import hashlib
import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import models
from models.images import ImageSpec
from tests.training.data.pictures import GREY, SPECS, fill, save, settle
from training.data.datasets import Dataset, load
from training.data.file_split import FileSplit
from training.data.reading_code import reading_version

SMALL = ImageSpec(channels=3, height=6, width=6)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Forty pictures of two classes, one of them twice, and files that are left out."""
    folder = tmp_path / "photos"
    fill(folder / "cats", 20)
    fill(folder / "dogs", 20, start=20)
    save(folder / "dogs" / "copy.bmp", seed=0, form="BMP")
    (folder / "cats" / "notes.png").write_text("hello")
    (folder / "cats" / "empty.png").touch()
    (folder / "birds").mkdir()
    settle(folder)
    return folder


def facts(dataset: Dataset) -> dict[str, object]:
    """All that a data set says but its pixels."""
    return {
        "sha256": dataset.sha256,
        "classes": dataset.class_names,
        "skipped": dataset.skipped,
        "warnings": dataset.warnings,
        "labels": [None if one.labels is None else one.labels.tolist() for one in splits(dataset)],
        "digests": [one.digests for one in splits(dataset)],
        "paths": [[file.path for file in one.files] for one in splits(dataset)],
        "counts": [
            (one.statistics.sizes, one.statistics.modes, one.statistics.num_colour)
            for one in splits(dataset)
        ],
        "histograms": [one.statistics.histogram.tolist() for one in splits(dataset)],
    }


def splits(dataset: Dataset) -> list[FileSplit]:
    return [split for split in dataset.splits.values() if isinstance(split, FileSplit)]


def pixels(dataset: Dataset, spec: ImageSpec) -> list[np.ndarray]:
    found = []
    for split in dataset.splits.values():
        whole = split.observations(spec)
        assert np.array_equal(whole, np.concatenate([*split.observations_by_chunk(spec, 7)]))
        some = np.arange(len(split))[::-2]
        assert np.array_equal(split.take(some).observations(spec), whole[some])
        found += [split.read_levels(spec), whole]
    return found


def assert_equal(first: list[np.ndarray], second: list[np.ndarray]) -> None:
    for one, other in zip(first, second, strict=True):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        assert one.tobytes() == other.tobytes()


@pytest.fixture
def uncached(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Dataset]:
    """Loads a folder without any cache."""

    def load_uncached(folder: Path) -> Dataset:
        with monkeypatch.context() as changed:
            changed.setenv("VAE_CACHE_GB", "0")
            return load(str(folder))

    return load_uncached


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


@pytest.mark.parametrize("kept", ["files", "levels"])
def test_a_truncated_cache_is_read_as_none(
    kept: str, photos: Path, cache_dir: Path, opened: list[str]
) -> None:
    whole = pixels(load(str(photos)), SMALL)
    for path in cache_dir.glob(f"{kept}-*"):
        half = path.read_bytes()[: path.stat().st_size // 2]
        path.unlink()  # `whole` still has it mapped
        path.write_bytes(half)
    opened.clear()
    assert_equal(pixels(load(str(photos)), SMALL), whole)
    assert opened != []
    opened.clear()
    assert_equal(pixels(load(str(photos)), SMALL), whole)
    assert opened == []


def test_a_cache_that_cannot_be_written_is_said_once_and_changes_nothing(
    photos: Path, cache_dir: Path, uncached: Callable[[Path], Dataset]
) -> None:
    cache_dir.parent.parent.joinpath("kept").write_text("a file")
    console = Console(file=io.StringIO())
    dataset = load(str(photos), console=console)
    found = pixels(dataset, SMALL)
    without = uncached(photos)
    assert facts(dataset) == facts(without)
    assert_equal(found, pixels(without, SMALL))
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().count("cannot keep the pictures") == 1


def test_a_cache_that_goes_away_after_loading_changes_nothing(
    photos: Path, cache_dir: Path, uncached: Callable[[Path], Dataset]
) -> None:
    dataset = load(str(photos))
    cache_dir.rename(cache_dir.with_name("gone"))
    cache_dir.touch()
    assert_equal(pixels(dataset, SMALL), pixels(uncached(photos), SMALL))


@pytest.mark.usefixtures("cache_dir")
def test_a_disk_that_becomes_full_while_levels_are_written_changes_nothing(
    photos: Path,
    uncached: Callable[[Path], Dataset],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    console = Console(file=io.StringIO())
    dataset, without = load(str(photos), console=console), uncached(photos)
    monkeypatch.delattr(os, "posix_fallocate")
    request.getfixturevalue("no_large_files")
    assert_equal(pixels(dataset, SMALL), pixels(without, SMALL))
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().count("File too large") == 1


READ = """
import hashlib, os, sys
from models.images import ImageSpec
from training.data.datasets import load

dataset = load(sys.argv[1])
if len(sys.argv) > 2:  # a picture that is never read to its end
    os.unlink(sys.argv[2])
    os.mkfifo(sys.argv[2])
levels = dataset.train.read_levels(ImageSpec(channels=3, height=6, width=6))
print(dataset.sha256, hashlib.sha256(levels.tobytes()).hexdigest())
"""


def start(*arguments: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", READ, *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_a_writer_that_is_killed_leaves_nothing_that_is_read(
    photos: Path, cache_dir: Path, uncached: Callable[[Path], Dataset]
) -> None:
    pixels_of_train = load(str(photos)).train
    assert isinstance(pixels_of_train, FileSplit)
    last = pixels_of_train.files[-1].path
    with start(photos, last) as writer:
        while not (partial := list(cache_dir.glob("levels-*partial"))):
            assert writer.poll() is None
            time.sleep(0.01)
        time.sleep(0.1)
        writer.send_signal(signal.SIGKILL)
        assert writer.wait() == -signal.SIGKILL
    assert partial[0].exists()
    assert not list(cache_dir.glob("levels-*vae-cache"))
    last.unlink()
    dataset = load(str(photos))
    assert_equal(pixels(dataset, SMALL), pixels(uncached(photos), SMALL))
    assert not list(cache_dir.glob("*partial"))
    assert list(cache_dir.glob("levels-*vae-cache"))


@pytest.mark.slow
def test_two_processes_at_once_read_the_same_and_leave_one_cache(
    photos: Path, cache_dir: Path, opened: list[str]
) -> None:
    with start(photos) as first, start(photos) as second:
        said = {process.communicate()[0] for process in (first, second)}
        assert first.returncode == second.returncode == 0
    kept = sorted(re.sub("-[0-9a-f]{32}", "", path.name) for path in cache_dir.iterdir())
    assert kept == ["files.vae-cache", "levels-train.vae-cache"]
    opened.clear()
    dataset = load(str(photos))
    levels = dataset.train.read_levels(SMALL)
    assert opened == []
    assert said == {f"{dataset.sha256} {hashlib.sha256(levels.tobytes()).hexdigest()}\n"}


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
