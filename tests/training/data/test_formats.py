"""Files of arrays that are damaged, or hold something else."""

import os
from pathlib import Path

import numpy as np
import pytest

from training.data.datasets import load
from training.errors import DatasetError

DATA_DIR = os.environ.get("VAE_DATA_DIR")


@pytest.mark.parametrize("damage", [b"", b"not idx at all", b"\x1f\x8b\x08\x00cut"])
def test_damaged_idx_file_is_named(small_mnist: Path, damage: bytes) -> None:
    path = small_mnist / "mnist/t10k-images-idx3-ubyte.gz"
    path.write_bytes(damage)
    with pytest.raises(DatasetError, match="t10k-images-idx3-ubyte"):
        load("mnist", data_dir=small_mnist)


def test_idx_file_of_another_length_than_it_promises_is_refused(small_mnist: Path) -> None:
    path = small_mnist / "mnist/train-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DatasetError, match=r"train-labels.* says \(60,\), 60 bytes, and 59"):
        load("mnist", data_dir=small_mnist)


def test_npz_that_would_unpickle_is_refused(tmp_path: Path) -> None:
    objects = np.array([{}], dtype=object)
    np.savez(tmp_path / "binarized_mnist.npz", train=objects, valid=objects, test=objects)
    with pytest.raises(DatasetError, match="pickle"):
        load("mnist-static", data_dir=tmp_path)


def test_npz_without_the_arrays_is_refused_with_those_it_has(tmp_path: Path) -> None:
    np.savez(tmp_path / "binarized_mnist.npz", train=np.zeros((1, 784)), held_out=np.zeros(1))
    with pytest.raises(DatasetError, match="lacks valid, test; it holds train, held_out"):
        load("mnist-static", data_dir=tmp_path)


def test_amat_with_another_number_is_refused(tmp_path: Path) -> None:
    for name in ("train", "valid", "test"):
        (tmp_path / f"binarized_mnist_{name}.amat").write_text("0 2 " * 392)
    with pytest.raises(
        DatasetError, match=r"train\.amat .* row 0 .* other than 0 and 1 in column 1 "
    ):
        load("mnist-static", data_dir=tmp_path)
