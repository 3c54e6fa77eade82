"""Small files in the form of known data sets."""

import gzip
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training.data import standard_splits
from training.data.catalogue import DATASETS

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
