"""The standard train, validation and test split of each known data set, read from its files.

`catalogue.py` says which files these are; `datasets.py` finds them and checks the content.
"""

import hashlib
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from training.data.array_split import ArraySplit
from training.data.formats import read_amat, read_content, read_idx, read_npz, reading

NUM_VALIDATION = 5_000
IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)

Splits = tuple[ArraySplit, ArraySplit, ArraySplit]
"""Train, validation, test."""


def split_digits(_: Sequence[Path]) -> Splits:
    """1,797 images ranked by a digest of their pixels: stable, whatever the library's order."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = bunch.images.astype(np.uint8)
    labels = bunch.target.astype(np.int64)
    ranks = np.argsort([hashlib.sha256(image.tobytes()).hexdigest() for image in images])
    train, validation, test = np.split(ranks, (1197, 1497))
    return (
        ArraySplit(images[train], labels[train]),
        ArraySplit(images[validation], labels[validation]),
        ArraySplit(images[test], labels[test]),
    )


def split_idx(paths: Sequence[Path]) -> Splits:
    """The last 5,000 training images are the validation split."""
    images, labels, test_images, test_labels = (read_idx(path) for path in paths)
    labels, test_labels = labels.astype(np.int64), test_labels.astype(np.int64)
    end = len(images) - NUM_VALIDATION
    return (
        ArraySplit(images[:end], labels[:end]),
        ArraySplit(images[end:], labels[end:]),
        ArraySplit(test_images, test_labels),
    )


def split_static_npz(paths: Sequence[Path]) -> Splits:
    """Larochelle's binarisation, all three parts in one file."""
    train, validation, test = (
        ArraySplit(rows.reshape(-1, 28, 28))
        for rows in read_npz(paths[0], "train", "valid", "test")
    )
    return train, validation, test


def split_static_amat(paths: Sequence[Path]) -> Splits:
    """Larochelle's binarisation as published, one text file a part."""
    train, validation, test = (
        ArraySplit(read_amat(path, columns=784).reshape(-1, 28, 28)) for path in paths
    )
    return train, validation, test


def split_cifar10(paths: Sequence[Path]) -> Splits:
    """The binary version: records of a label and 3x32x32 bytes. The last 5,000 are validation."""
    parts = []
    with reading(paths[0]), tarfile.open(fileobj=io.BytesIO(read_content(paths[0]))) as archive:
        for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
            member = archive.extractfile(f"cifar-10-batches-bin/{name}.bin")
            assert member is not None  # a regular file by its name
            parts.append(np.frombuffer(member.read(), dtype=np.uint8).reshape(-1, 3073))
    train, validation = np.split(np.concatenate(parts[:-1]), (-NUM_VALIDATION,))
    return _cifar_records(train), _cifar_records(validation), _cifar_records(parts[-1])


def _cifar_records(records: UInt8[np.ndarray, "record byte"]) -> ArraySplit:
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return ArraySplit(np.ascontiguousarray(images), records[:, 0].astype(np.int64))


def split_cifar10_sample(paths: Sequence[Path]) -> Splits:
    """A part of CIFAR-10, losslessly stored. The last 500 training images are validation."""
    images, labels, test_images, test_labels = read_npz(
        paths[0], "train_images", "train_labels", "test_images", "test_labels"
    )
    return (
        _labelled(images[:-500], labels[:-500]),
        _labelled(images[-500:], labels[-500:]),
        _labelled(test_images, test_labels),
    )


def split_medmnist(paths: Sequence[Path]) -> Splits:
    """A 2D set of MedMNIST, whose splits are given."""
    train, validation, test = (
        _labelled(*read_npz(paths[0], f"{part}_images", f"{part}_labels"))
        for part in ("train", "val", "test")
    )
    return train, validation, test


def split_bccd(paths: Sequence[Path]) -> Splits:
    """Crops of blood cells: those of one photograph are all in the split that it was given."""
    images, labels, photographs, split_of = read_npz(
        paths[0], "images", "labels", "image_index", "image_split"
    )
    train, validation, test = (
        _labelled(images[chosen], labels[chosen])
        for chosen in (split_of[photographs] == number for number in range(3))
    )
    return train, validation, test


def split_frey_faces(paths: Sequence[Path]) -> Splits:
    """Frames of a video in order: the last 200 test, the 200 before them validate.

    Neighbouring frames are near-copies, so that splits taken at random would share faces.
    """
    (images,) = read_npz(paths[0], "images")
    train, validation, test = np.split(images, (-400, -200))
    return ArraySplit(train), ArraySplit(validation), ArraySplit(test)


def split_omniglot(paths: Sequence[Path]) -> Splits:
    """Eight characters in ten train, one validates, one tests: no character is in two splits."""
    images, characters = read_npz(paths[0], "images", "character")
    digests = {int(c): hashlib.sha256(f"{c}".encode()).digest()[0] for c in np.unique(characters)}
    fraction = np.array([digests[int(character)] for character in characters]) / 256
    train, validation, test = (
        _labelled(images[chosen], characters[chosen])
        for chosen in (fraction < 0.8, (fraction >= 0.8) & (fraction < 0.9), fraction >= 0.9)
    )
    return train, validation, test


def _labelled(images: np.ndarray, labels: np.ndarray) -> ArraySplit:
    return ArraySplit(images, labels.reshape(-1).astype(np.int64))
