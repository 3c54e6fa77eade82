"""The first start decodes each picture once: its levels are made while it is looked at."""

import errno
import os
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.images import ImageSpec, decoding, reading
from models.images.decoding import Pixels
from tests.training.data.pictures import GREY, SMALL, SPECS, fill, settle
from tests.training.data.readings import assert_equal, facts, pixels
from tests.training.data.shard_files import cells, samples, write_parquet, write_tar
from training.data import disk_cache, inspection
from training.data.datasets import Dataset, load
from training.recipes.asked import Asked
from training.recipes.choose import choose_recipe, load_to_choose


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each content was decoded."""
    counts: Counter[str] = Counter()

    def decode(data: bytes, **options: Any) -> Pixels:
        counts[sha256(data).hexdigest()] += 1
        return decoding.decode(data, **options)

    for module in (inspection, reading):
        monkeypatch.setattr(module, "decode", decode)
    return counts


def read_as_training_does(dataset: Dataset, spec: ImageSpec) -> list[np.ndarray]:
    """Levels of train, and observations of the others."""
    dataset.keep_levels(spec)
    held_out = [split.observations(spec) for split in (dataset.validation, dataset.test)]
    return [np.array(dataset.train.read_levels(spec)), *held_out]


@pytest.mark.parametrize(
    "spec", [SMALL, SPECS["stochastically binarised"]], ids=["levels", "binarised"]
)
@pytest.mark.usefixtures("cache_dir")
def test_a_folder_is_decoded_once_by_its_first_start(
    spec: ImageSpec,
    photos: Path,
    decoded: Counter[str],
    uncached: Callable[[Path], Dataset],
) -> None:
    (photos / "dogs" / "copy.bmp").unlink()
    dataset = load(str(photos), specs=(spec,))
    found = read_as_training_does(dataset, spec)
    assert sum(map(len, found)) == 40
    assert set(decoded.values()) == {1}
    decoded.clear()
    assert_equal(read_as_training_does(load(str(photos), specs=(spec,)), spec), found)
    assert not decoded
    without = uncached(photos)
    assert facts(dataset) == facts(without)
    assert_equal(found, read_as_training_does(without, spec))


@pytest.mark.parametrize("form", ["tar", "parquet"])
@pytest.mark.usefixtures("cache_dir")
def test_shards_are_decoded_once_by_their_first_start(
    form: str, tmp_path: Path, decoded: Counter[str]
) -> None:
    path = tmp_path / f"all.{form}"
    if form == "tar":
        write_tar(path, samples(range(40)))
    else:
        write_parquet(path, {"image": cells(range(40))})
    settle(path)
    found = read_as_training_does(load(str(path), specs=(SMALL,)), SMALL)
    assert sum(map(len, found)) == 40
    assert len(decoded) == 40
    assert set(decoded.values()) == {1}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.usefixtures("cache_dir")
def test_levels_of_pictures_of_every_mode_are_the_same(
    spec: ImageSpec, odd_folder: Path, uncached: Callable[[Path], Dataset]
) -> None:
    settle(odd_folder)
    dataset = load(str(odd_folder), specs=(spec,))
    assert dataset.train.pictures.ahead.specs  # type: ignore[attr-defined]
    dataset.keep_levels(spec)
    assert_equal(pixels(dataset, spec), pixels(uncached(odd_folder), spec))


@pytest.mark.usefixtures("cache_dir")
def test_a_recipe_is_chosen_and_read_by_one_decoding_but_of_the_few_that_it_is_guessed_by(
    tmp_path: Path, decoded: Counter[str]
) -> None:
    fill(tmp_path / "photos", 160)
    settle(tmp_path / "photos")
    source = str(tmp_path / "photos")
    dataset = load_to_choose(
        source, overrides=(), asked=Asked(), data_dir=None, download=False, console=None
    )
    recipe = choose_recipe(dataset, source=source).recipe
    assert sum(map(len, read_as_training_does(dataset, recipe.image))) == 160
    assert len(decoded) == 160
    assert sum(count > 1 for count in decoded.values()) == 160 // 16


@pytest.mark.parametrize("overrides", [("image.height=0",), ("image=3",)])
@pytest.mark.usefixtures("cache_dir")
def test_a_recipe_that_cannot_be_chosen_stops_no_loading(
    overrides: tuple[str, ...], tmp_path: Path
) -> None:
    fill(tmp_path / "photos", 40)
    settle(tmp_path / "photos")
    source = str(tmp_path / "photos")
    dataset = load_to_choose(
        source, overrides=overrides, asked=Asked(), data_dir=None, download=False, console=None
    )
    assert sum(map(len, dataset.splits.values())) == 40


@pytest.mark.usefixtures("cache_dir")
def test_a_wrong_guess_costs_a_second_decoding_and_changes_nothing(
    photos: Path, decoded: Counter[str], uncached: Callable[[Path], Dataset]
) -> None:
    dataset = load(str(photos), specs=lambda some, count: (GREY,))
    found = read_as_training_does(dataset, SMALL)
    assert max(decoded.values()) >= 2
    assert_equal(found, read_as_training_does(uncached(photos), SMALL))


@pytest.mark.usefixtures("cache_dir")
def test_added_files_are_decoded_once_too(photos: Path, decoded: Counter[str]) -> None:
    read_as_training_does(load(str(photos), specs=(SMALL,)), SMALL)
    fill(photos / "cats", 10, start=900)
    settle(photos)
    decoded.clear()
    dataset = load(str(photos), specs=(SMALL,))
    assert sum(map(len, read_as_training_does(dataset, SMALL))) == 51
    assert len(decoded) == 10
    assert set(decoded.values()) == {1}


def test_a_cache_without_room_for_both_copies_takes_one(
    photos: Path,
    cache_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    uncached: Callable[[Path], Dataset],
) -> None:
    monkeypatch.setenv("VAE_CACHE_GB", "0.000007")  # 7 kB, of which levels take 4.4
    found = read_as_training_does(load(str(photos), specs=(SMALL,)), SMALL)
    assert_equal(found, read_as_training_does(uncached(photos), SMALL))
    assert sum(path.stat().st_size for path in cache_dir.iterdir()) <= 7000


def test_a_folder_that_cannot_be_written_has_no_scratch_file(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("VAE_CACHE_DIR", str(tmp_path / "file"))
    dataset = load(str(photos), specs=(SMALL,))
    assert len(read_as_training_does(dataset, SMALL)[0]) == len(dataset.train)


@pytest.mark.parametrize("when", ["reserved", "written"])
def test_a_full_disk_costs_a_second_decoding(
    when: str, photos: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if when == "reserved":
        monkeypatch.setattr(disk_cache, "_reserve", full)
    else:
        monkeypatch.setattr(os, "pwrite", full)
    dataset = load(str(photos), specs=(SMALL,))
    assert len(read_as_training_does(dataset, SMALL)[0]) == len(dataset.train)
    assert (list(cache_dir.iterdir()) == []) == (when == "reserved")


def test_the_scratch_file_has_no_name_and_is_gone_when_levels_are_kept(
    photos: Path, cache_dir: Path
) -> None:
    def open_files() -> list[str]:
        links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
        return [os.readlink(link) for link in links if os.path.islink(link)]

    dataset = load(str(photos), specs=(SMALL,))
    assert all(path.suffix == ".vae-cache" for path in cache_dir.iterdir())
    held = [path for path in open_files() if path.startswith(str(cache_dir))]
    assert len([path for path in held if path.endswith("(deleted)")]) == 1
    dataset.keep_levels(SMALL)
    held = [path for path in open_files() if path.startswith(str(cache_dir))]
    assert not [path for path in held if path.endswith("(deleted)")]
