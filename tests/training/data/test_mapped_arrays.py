"""Large arrays: read from their file as they are used, and the same as those in memory."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from models.images import ImageSpec
from tests.training.data.pictures import SPECS, settle
from tests.training.data.readings import assert_equal, facts, pixels
from training.data import array_split, formats
from training.data.array_split import ArraySplit
from training.data.datasets import Dataset, load
from training.errors import DatasetError

SAME_SIZE = ImageSpec(channels=1, height=7, width=5)


def noise(count: int, *, channels: int = 1, dtype: type = np.uint8) -> np.ndarray:
    shape = (count, 7, 5, 3)[: 3 + (channels == 3)]
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8).astype(dtype)


@pytest.fixture
def mapped(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Dataset]:
    """Loads a file as one of many gigabytes is: mapped, some pictures at once."""

    def load_mapped(path: Path) -> Dataset:
        with monkeypatch.context() as changed:
            changed.setattr(formats, "MAPPED_FROM", 1_000)
            changed.setattr(array_split, "_CHUNK", 25)
            dataset = load(str(path))
            for split in dataset.splits.values():
                assert isinstance(split, ArraySplit)
                assert split.is_mapped
                assert split.digests.shape == (len(split), 32)
                assert split.statistics.count == len(split)
            assert dataset.sha256
            return dataset

    return load_mapped


FORMS = {
    "grey": noise(60),
    "colour": noise(60, channels=3),
    "channels first": noise(60, channels=3).transpose(0, 3, 1, 2),
    "by columns": np.asfortranarray(noise(60)),
    "wide integers": noise(60, dtype=np.int64),
    "black and white": noise(60) > 127,
    "floats": (noise(60) / 255).astype(np.float32),
}


@pytest.mark.slow
@pytest.mark.parametrize("images", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("form", ["npy", "npz"])
@pytest.mark.usefixtures("cache_dir")
def test_a_mapped_array_is_the_same_as_one_in_memory(
    images: np.ndarray, form: str, tmp_path: Path, mapped: Callable[[Path], Dataset]
) -> None:
    path, spec = tmp_path / f"x.{form}", SAME_SIZE
    if form == "npy":
        np.save(path, images)
    else:
        np.savez(path, images=images, labels=np.arange(60) % 3)
        spec = SPECS["stochastically binarised"]
    expected, found = load(str(path)), mapped(path)
    assert facts(found) == facts(expected)
    assert_equal(pixels(found, spec), pixels(expected, spec))


def test_levels_are_kept_until_the_file_changes(
    tmp_path: Path, cache_dir: Path, mapped: Callable[[Path], Dataset]
) -> None:
    path = tmp_path / "x.npz"
    for number in range(2):
        np.savez(path, train=noise(60) // (number + 1), test=noise(40)[::-1], val=noise(50)[::-1])
        settle(path)
        expected = pixels(load(str(path)), SAME_SIZE)
        for is_kept in (False, True):
            shown = io.StringIO()
            console = Console(file=shown, force_terminal=True)
            levels = mapped(path).train.read_levels(SAME_SIZE, console=console)
            assert isinstance(levels, np.memmap)
            assert ("reading pictures" not in shown.getvalue()) is is_kept
            assert_equal(pixels(mapped(path), SAME_SIZE), expected)
    assert len(list(cache_dir.iterdir())) == 3


def test_small_and_compressed_arrays_are_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "x.npy", noise(60))
    np.savez_compressed(tmp_path / "x.npz", images=noise(60))
    for path in tmp_path.iterdir():
        train = load(str(path)).train
        assert isinstance(train, ArraySplit)
        assert not train.is_mapped
        monkeypatch.setattr(formats, "MAPPED_FROM", 1_000_000)
    monkeypatch.setattr(formats, "MAPPED_FROM", 1)
    train = load(str(tmp_path / "x.npz")).train
    assert isinstance(train, ArraySplit)
    assert not train.is_mapped


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_a_mapped_file_that_is_cut_short_is_refused(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "MAPPED_FROM", 1_000)
    path = tmp_path / f"x.{suffix}"
    (np.save if suffix == "npy" else np.savez)(path, noise(60))
    path.write_bytes(path.read_bytes()[:1_500])
    with pytest.raises(DatasetError, match=rf"x\.{suffix} cannot be read"):
        load(str(path))


def test_another_version_of_the_format_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "MAPPED_FROM", 1)
    path = tmp_path / "x.npy"
    with path.open("wb") as file:
        np.lib.format.write_array(file, noise(60), version=(3, 0))
    train = load(str(path)).train
    assert isinstance(train, ArraySplit)
    assert not train.is_mapped


@pytest.mark.parametrize(("memory", "is_refused"), [(3_000, False), (2_000, True), (10_000, None)])
def test_compressed_arrays_that_fill_the_memory_are_told_how_to_be_stored(
    memory: int, is_refused: bool | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, images=noise(60))  # 2,228 bytes
    monkeypatch.setattr(formats, "usable_memory", lambda: memory)
    if is_refused:
        with pytest.raises(DatasetError, match=r"x\.npz is compressed, .* zip -0 '\.\./x-stored"):
            load(str(path))
        return
    assert any("is compressed" in one for one in load(str(path)).warnings) is (is_refused is False)


def test_this_machine_has_memory() -> None:
    assert formats.usable_memory() > 2**28
