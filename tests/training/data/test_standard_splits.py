"""The splits of known data sets, on digits and on files made here."""

import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from training.data import standard_splits
from training.data.datasets import load
from training.errors import DatasetError

DATA_DIR = os.environ.get("VAE_DATA_DIR")


def test_digits_need_no_files_and_have_their_counts() -> None:
    digits = load("digits")
    assert [len(digits.train), len(digits.validation), len(digits.test)] == [1197, 300, 300]


def test_digits_are_levels_0_to_16() -> None:
    digits = load("digits")
    assert digits.train.images.dtype == np.uint8
    assert (digits.train.images.min(), digits.train.images.max()) == (0, 16)
    assert digits.statistics.levels == digits.statistics.used.sum() == 17
    assert set(digits.statistics.sizes) == {(8, 8)}


def test_splits_of_digits_share_no_image() -> None:
    digits = load("digits")
    seen = [
        {image.tobytes() for image in split.images}
        for split in (digits.train, digits.validation, digits.test)
    ]
    assert sum(map(len, seen)) == len(set.union(*seen)) == 1797


def test_every_split_of_digits_has_every_label() -> None:
    digits = load("digits")
    for split in (digits.train, digits.validation, digits.test):
        assert split.labels is not None
        assert set(split.labels) == set(range(10))
        assert split.labels.dtype == np.int64


def test_idx_sets_keep_the_last_training_images_for_validation(small_mnist: Path) -> None:
    mnist = load("mnist", data_dir=small_mnist)
    assert [len(mnist.train), len(mnist.validation), len(mnist.test)] == [55, 5, 10]
    assert mnist.validation.labels is not None
    assert mnist.validation.labels.tolist() == [5, 6, 7, 8, 9]


def test_npz_and_amat_give_the_same_static_mnist(
    tmp_path: Path, unknown_content: Callable[[str], None]
) -> None:
    unknown_content("mnist-static")
    generator = np.random.default_rng(0)
    arrays = {
        name: generator.integers(0, 2, (count, 784), dtype=np.uint8)
        for name, count in (("train", 5), ("valid", 2), ("test", 3))
    }
    for kind in ("npz", "amat"):
        (tmp_path / kind).mkdir()
    np.savez(tmp_path / "npz/binarized_mnist.npz", **arrays)
    for name, rows in arrays.items():
        text = "".join(" ".join(map(str, row)) + " \n" for row in rows)
        path = tmp_path / f"amat/binarized_mnist_{name}.amat.gz"
        path.write_bytes(gzip.compress(text.encode()))
    from_npz = load("mnist-static", data_dir=tmp_path / "npz")
    from_amat = load("mnist-static", data_dir=tmp_path / "amat")
    assert from_npz.sha256 == from_amat.sha256
    assert np.array_equal(from_npz.test.images.reshape(3, 784), arrays["test"])


def test_cifar10_is_read_from_its_binary_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standard_splits, "NUM_VALIDATION", 2)
    path = tmp_path / "cifar-10-binary.tar.gz"
    red_top_left = np.zeros((3, 32, 32), dtype=np.uint8)
    red_top_left[0, 0, 0] = 255
    with tarfile.open(path, "w:gz") as archive:
        for number, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
            content = bytes([number]) + red_top_left.tobytes()
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}.bin")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    cifar = load("cifar10", data_dir=tmp_path)
    assert set(cifar.statistics.sizes) == {(32, 32)}
    assert cifar.statistics.colour_share == 1
    assert cifar.test.images[0, 0, 0].tolist() == [255, 0, 0]
    assert [part.labels.tolist() for part in (cifar.train, cifar.validation, cifar.test)] == [
        [0, 1, 2],
        [3, 4],
        [5],
    ]


def test_truncated_cifar10_archive_is_named(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "cifar-10-binary.tar.gz", "w:gz"):
        pass
    with pytest.raises(DatasetError, match="cifar-10-binary"):
        load("cifar10", data_dir=tmp_path)


def test_no_character_of_omniglot_is_in_two_splits(tmp_path: Path) -> None:
    characters = np.repeat(np.arange(100, dtype=np.int16), 2)
    path = tmp_path / "omniglot.npz"
    np.savez(path, images=np.zeros((200, 32, 32), dtype=np.uint8), character=characters)
    parts = [set(part.labels.tolist()) for part in standard_splits.split_omniglot([path])]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 100
    assert len(parts[0]) > 60


def test_crops_of_one_photograph_of_bccd_stay_together(tmp_path: Path) -> None:
    path = tmp_path / "bccd.npz"
    np.savez(
        path,
        images=np.arange(5, dtype=np.uint8).reshape(5, 1, 1).repeat(3, axis=2),
        labels=np.zeros(5, dtype=np.uint8),
        image_index=np.array([0, 1, 1, 2, 0], dtype=np.int16),
        image_split=np.array([2, 0, 1], dtype=np.uint8),
    )
    parts = standard_splits.split_bccd([path])
    assert [part.images[:, 0, 0].tolist() for part in parts] == [[1, 2], [3], [0, 4]]


def test_frey_faces_are_split_in_the_order_of_the_video(tmp_path: Path) -> None:
    path = tmp_path / "frey.npz"
    frames = (np.arange(410) // 2).astype(np.uint8).reshape(410, 1, 1)
    np.savez(path, images=frames)
    train, validation, test = standard_splits.split_frey_faces([path])
    assert [len(train), len(validation), len(test)] == [10, 200, 200]
    assert np.array_equal(np.concatenate([train.images, validation.images, test.images]), frames)
