"""Small files in the form of known data sets, odd pictures, and what is opened."""

import gzip
import os
import resource
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.data.pictures import fill, save, settle
from training.data import standard_splits
from training.data.catalogue import DATASETS
from training.data.datasets import Dataset, load

DATA_DIR = os.environ.get("VAE_DATA_DIR")


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + np.asarray(array.shape, dtype=">u4").tobytes()
    return header + array.tobytes()


@pytest.fixture
def unknown_content(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets small files stand for the set of that name."""

    def accept(name: str) -> None:
        monkeypatch.setitem(DATASETS, name, replace(DATASETS[name], sha256=None))

    return accept


@pytest.fixture
def small_mnist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unknown_content: Callable[[str], None]
) -> Path:
    """60 + 10 images of noise in the layout of MNIST, of which the last 5 are for validation."""
    unknown_content("mnist")
    monkeypatch.setattr(standard_splits, "NUM_VALIDATION", 5)
    generator = np.random.default_rng(0)
    folder = tmp_path / "mnist"
    folder.mkdir()
    for stem, count in (("train", 60), ("t10k", 10)):
        images = generator.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 10
        (folder / f"{stem}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (folder / f"{stem}-labels-idx1-ubyte").write_bytes(idx(labels))
    return tmp_path


@pytest.fixture(scope="session")
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


OPENED: list[str] = []


def note_opened(event: str, arguments: tuple[object, ...]) -> None:
    """Note the name of a picture file that this process opens."""
    if event == "open" and str(arguments[0]).endswith((".png", ".jpg", ".bmp")):
        OPENED.append(os.path.basename(str(arguments[0])))


@pytest.fixture(scope="session")
def _opened() -> list[str]:
    sys.addaudithook(note_opened)  # for good
    return OPENED


@pytest.fixture
def opened(_opened: list[str]) -> Iterator[list[str]]:
    """Names of the picture files that were opened, as the interpreter reports them."""
    _opened.clear()
    yield _opened
    _opened.clear()


@pytest.fixture
def cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty place for the cache, in a folder that is not made yet."""
    folder = tmp_path / "kept" / "pictures"
    monkeypatch.setenv("VAE_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def no_large_files() -> Iterator[None]:
    """Files end at 500 bytes, as on a disk that is nearly full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


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


@pytest.fixture
def uncached(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Dataset]:
    """Loads a folder without any cache."""

    def load_uncached(folder: Path) -> Dataset:
        with monkeypatch.context() as changed:
            changed.setenv("VAE_CACHE_GB", "0")
            return load(str(folder))

    return load_uncached
