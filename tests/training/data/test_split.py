"""Splits to tensors: the same for arrays and files, and the same as the service's."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from models.images import ImageSpec, ReadOptions, read_images, read_picture
from tests.training.data.pictures import GREY, SPECS, paths_of
from training.data import array_split
from training.data.array_split import ArraySplit
from training.data.folders import read_folder
from training.errors import DatasetError


def assert_training_reads_as_the_service(folder: Path, spec: ImageSpec) -> int:
    split = read_folder(folder).parts["train"]
    service = np.stack([read_picture(path.read_bytes(), spec).x for path in paths_of(split)])
    assert np.array_equal(split.observations(spec), service)
    cache = split.read_levels(spec)
    assert cache.dtype == np.uint8
    if spec.binarization == "stochastic":  # drawn anew at each step, from grey
        assert np.array_equal(cache == 255, (cache == 255) & (service == 1))
        assert np.array_equal(cache == 0, (cache == 0) & (service == 0))
    else:
        scale = np.float32(spec.levels - 1 if spec.values == "unit" else 1)
        assert np.array_equal(cache.astype(np.float32) / scale, service)
    return len(split)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_training_and_the_service_make_the_same_tensor_of_pictures_of_every_mode(
    spec: ImageSpec, odd_folder: Path
) -> None:
    assert assert_training_reads_as_the_service(odd_folder, spec) == 15


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_training_and_the_service_make_the_same_tensor_of_the_odd_files(
    spec: ImageSpec, data_dir
) -> None:
    assert assert_training_reads_as_the_service(data_dir("odd_images"), spec) > 30


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("colour", [(), (3,)])
def test_arrays_are_read_as_the_service_reads_them(
    spec: ImageSpec, colour: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(array_split, "_CHUNK", 10)
    images = np.random.default_rng(0).integers(0, 256, (33, 6, 7, *colour), dtype=np.uint8)
    service = [one.x for one in read_images(images, spec, options=ReadOptions(pixel_max=255))]
    split = ArraySplit(images)
    assert np.array_equal(split.observations(spec), np.stack(service))
    floats = ArraySplit(images / 255)
    service = [one.x for one in read_images(floats.images, spec)]
    assert np.array_equal(floats.observations(spec), np.stack(service))


def test_an_array_and_its_pictures_as_files_are_alike(
    tmp_path: Path,
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (9, 6, 7, 3), dtype=np.uint8)
    images[0] = images[0, :, :, :1]
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    files = read_folder(tmp_path).parts["train"]
    order = [int(path.stem) for path in paths_of(files)]
    array = ArraySplit(images).take(np.array(order))
    assert np.array_equal(files.read_levels(GREY), array.read_levels(GREY))
    assert files.statistics.sizes == array.statistics.sizes == {(6, 7): 9}
    assert files.statistics.num_colour == array.statistics.num_colour == 8
    assert np.array_equal(files.statistics.used, array.statistics.used)
    assert files.statistics.mean == array.statistics.mean == images.mean()
    assert files.statistics.deviation == array.statistics.deviation == pytest.approx(images.std())


def test_levels_come_back_exactly_by_way_of_grey() -> None:
    levels = np.arange(17, dtype=np.uint8).reshape(1, 1, 17)
    split = ArraySplit(levels, levels=17)
    spec = ImageSpec(channels=1, height=1, width=17, levels=17)
    assert np.array_equal(split.read_levels(spec)[:, 0], levels)
    assert split.statistics.used.sum() == split.statistics.levels == 17


def test_labels_go_with_the_pictures_that_are_taken() -> None:
    split = ArraySplit(np.zeros((3, 2, 2), np.uint8), np.array([5, 6, 7]))
    taken = split.take(np.array([2, 0]))
    assert taken.labels is not None
    assert taken.labels.tolist() == [7, 5]


def test_a_picture_that_vanished_after_loading_is_named(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "here.png")
    split = read_folder(tmp_path).parts["train"]
    (tmp_path / "here.png").unlink()
    with pytest.raises(DatasetError, match=r"here\.png"):
        split.read_levels(GREY)


def test_progress_is_shown_where_there_is_a_console(odd_folder: Path) -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True)
    split = read_folder(odd_folder, console=console).parts["train"]
    split.read_levels(GREY, console=console)
    assert "looking at pictures" in shown.getvalue()
    assert "15/15" in shown.getvalue()
