"""Splits to tensors: the same for arrays and files, and the same as the service's."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from models.images import ImageSpec, ReadOptions, read_images, read_picture
from training.data import array_split
from training.data.array_split import ArraySplit
from training.data.file_split import FileSplit
from training.data.folders import read_folder
from training.errors import DatasetError

GREY = ImageSpec(channels=1, height=20, width=12, fit="crop")
SPECS = {
    "grey, cropped": GREY,
    "colour, stretched, 16 levels": ImageSpec(channels=3, height=9, width=9, levels=16),
    "grey, padded, unit": ImageSpec(
        channels=1, height=8, width=16, fit="pad", background=255, values="unit"
    ),
    "stochastically binarised": ImageSpec(
        channels=1, height=8, width=8, levels=2, binarization="stochastic", resample="lanczos"
    ),
    "binarised at one half": ImageSpec(
        channels=1, height=8, width=8, levels=2, binarization="threshold"
    ),
}


@pytest.fixture(scope="module")
def odd_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of every mode, three sizes, several formats, one turned by EXIF."""
    folder = tmp_path_factory.mktemp("odd")
    generator = np.random.default_rng(0)
    sizes = iter([(30, 17), (12, 20), (9, 9), (5, 64)] * 4)
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "F"):
        width, height = next(sizes)
        noise = generator.integers(0, 256, (height, width, 4), dtype=np.uint8)
        if mode == "I;16":
            picture = Image.fromarray(noise[..., 0].astype(np.uint16) * 250)
        elif mode == "F":
            picture = Image.fromarray(noise[..., 0].astype(np.float32) / 255)
        else:
            alpha = mode in ("LA", "RGBA")
            colour = Image.fromarray(noise if alpha else noise[..., :3])
            picture = colour.convert("RGB").convert(mode) if mode == "LAB" else colour.convert(mode)
        suffix = "tif" if mode in ("CMYK", "YCbCr", "LAB", "F") else "png"
        picture.save(folder / f"{mode.replace(';', '')}.{suffix}")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise[..., :3]).save(folder / "turned.jpg", exif=exif)
    Image.fromarray(noise[..., :3]).save(folder / "photo.webp", lossless=True)
    Image.fromarray(noise[..., 0]).save(folder / "old.gif")
    Image.fromarray(noise[..., :3]).save(folder / "plain.bmp")
    return folder


def assert_training_reads_as_the_service(folder: Path, spec: ImageSpec) -> int:
    split = read_folder(folder).parts["train"]
    assert isinstance(split, FileSplit)
    service = np.stack([read_picture(file.path.read_bytes(), spec).x for file in split.files])
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
    order = [int(file.path.stem) for file in files.files]
    array = ArraySplit(images).take(np.array(order))
    assert np.array_equal(files.read_levels(GREY), array.read_levels(GREY))
    assert files.statistics.sizes == array.statistics.sizes == {(6, 7): 9}
    assert files.statistics.num_colour == array.statistics.num_colour == 8
    assert np.array_equal(files.statistics.histogram, array.statistics.histogram)


def test_levels_come_back_exactly_by_way_of_grey() -> None:
    levels = np.arange(17, dtype=np.uint8).reshape(1, 1, 17)
    split = ArraySplit(levels, levels=17)
    spec = ImageSpec(channels=1, height=1, width=17, levels=17)
    assert np.array_equal(split.read_levels(spec)[:, 0], levels)
    assert np.count_nonzero(split.statistics.histogram) == split.statistics.levels == 17


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
