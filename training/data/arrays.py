"""Any `.npz` or `.npy` of pictures as a data set: which arrays, which axes, which numbers.

    train_images, val_images, test_images     splits as given, as in MedMNIST; or x_train, x_val,
                                              x_test; or train, val, test. `valid` and `validation`
                                              mean val. What is missing of val and test is split
                                              from train. Labels: train_labels or y_train, ...
    images, x, data or arr_0                  all pictures, split by the pixels' digests
                                              (`division.py`). Labels: labels or y
    any one array of three or four axes       the same
    class_names                               optional: the names of the labels 0, 1, ...

A `.npy` holds all pictures. Arrays of Python objects are passed over, never unpickled. Axes are
(batch, height, width), or four by the rules of `models.layout`. Numbers are bytes, other integers
in 0..255, bools, or floats in 0..1; integers that are all 0 or 1 are black and white.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.errors import ShapeMismatch
from models.images.axes import as_batch
from models.images.spec import ImageSpec
from training.data.formats import read_npy, read_whole_npz
from training.data.split import ArraySplit, Images, Labels
from training.data.splitting import PARTS
from training.errors import DatasetError

_IMAGES = ("images", "x", "data", "arr_0")
_LABELS = ("labels", "y")
_ONLY = "the array"
_ANY = ImageSpec(channels=1, height=1, width=1)


@dataclass(frozen=True)
class Arrays:
    """What was found in a file."""

    parts: Mapping[str, ArraySplit]
    """The given splits, or all as "train"."""
    class_names: tuple[str, ...]


def read_arrays(path: Path) -> Arrays:
    """Read a `.npz` or `.npy` file.

    Raises:
        DatasetError: No array of pictures (it names the arrays found), or other shapes, types,
            ranges or labels than this module's docstring says.
    """
    if path.suffix.lower() == ".npy":
        arrays = {_ONLY: read_npy(path)}
        keys: dict[str, tuple[str, str | None]] = {"train": (_ONLY, None)}
    else:
        arrays = read_whole_npz(path)
        keys = _find_keys(path, arrays)
    levels = 2 if _are_zeros_and_ones(arrays[images] for images, _ in keys.values()) else 256
    parts = {}
    for part, (name, name_of_labels) in keys.items():
        images, labels = _as_images(path, name, arrays[name]), None
        if name_of_labels is not None:
            labels = _as_labels(path, name_of_labels, arrays[name_of_labels], count=len(images))
        parts[part] = ArraySplit(images, labels, levels)
    return Arrays(parts, _class_names(path, arrays, parts))


def _find_keys(path: Path, arrays: Mapping[str, np.ndarray]) -> dict[str, tuple[str, str | None]]:
    """The names of the pictures' and the labels' arrays of each split."""
    found = {}
    for alias, part in PARTS.items():
        images = _first((f"{alias}_images", f"x_{alias}", alias), arrays)
        if images is not None:
            found[part] = images, _first((f"{alias}_labels", f"y_{alias}"), arrays)
    if "train" in found:
        return found
    stacks = [name for name, array in arrays.items() if array.ndim in (3, 4)]
    images = _first(_IMAGES, arrays) or (stacks[0] if len(stacks) == 1 else None)
    if images is None:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise DatasetError(
            f"A data set's npz holds pictures as {', '.join(_IMAGES)}, as train_images or "
            f"x_train, or in its only array of three or four axes; received {shapes} in {path}. "
            "Save it with one of these names."
        )
    return {"train": (images, _first(_LABELS, arrays))}


def _first(names: Iterable[str], arrays: Mapping[str, np.ndarray]) -> str | None:
    return next((name for name in names if name in arrays), None)


def _are_zeros_and_ones(arrays: Iterable[np.ndarray]) -> bool:
    return all(array.dtype.kind in "bui" and array.size and array.max() <= 1 for array in arrays)


def _as_images(path: Path, name: str, array: np.ndarray) -> Images:
    """Colour last, one channel left out; integers as bytes."""
    if array.ndim not in (3, 4) or 0 in array.shape:
        raise DatasetError(
            "Pictures are (batch, height, width), with 1 or 3 channels last or second, none of "
            f"them 0; received {name} of shape {array.shape} in {path}. Reshape it."
        )
    high, is_number = 1 if array.dtype.kind == "f" else 255, array.dtype.kind in "buif"
    if not is_number or not (array.min() >= 0 and array.max() <= high):  # true for NaN
        limits = f" from {array.min()} to {array.max()}" if is_number else ""
        raise DatasetError(
            "Pixels are bytes, other integers in 0..255, bools, or floats in 0..1; received "
            f"{array.dtype}{limits} in {name} of {path}. Scale or convert them."
        )
    values = array if array.dtype.kind == "f" else array.astype(np.uint8, copy=False)
    if values.ndim == 3:
        return values
    try:
        batch = as_batch(values, _ANY)
    except ShapeMismatch as error:
        raise DatasetError(
            "Pictures have 1 or 3 channels, last or second of four axes; received "
            f"{name} of shape {array.shape} in {path}. Reshape it."
        ) from error
    return batch[:, 0] if batch.shape[1] == 1 else batch.transpose(0, 2, 3, 1)


def _as_labels(path: Path, name: str, array: np.ndarray, *, count: int) -> Labels:
    if array.dtype.kind not in "bui" or array.size != count or array.min() < 0:
        raise DatasetError(
            f"Labels are one integer from 0 on for each of {count} pictures; received {name} of "
            f"shape {array.shape} and {array.dtype} in {path}. Convert it, or save the file "
            "without it."
        )
    return array.reshape(-1).astype(np.int64)


def _class_names(
    path: Path, arrays: Mapping[str, np.ndarray], parts: Mapping[str, ArraySplit]
) -> tuple[str, ...]:
    names = arrays.get("class_names")
    labels = [split.labels for split in parts.values() if split.labels is not None]
    if names is None or not labels:
        return ()
    highest = max(int(one.max()) for one in labels)
    if names.dtype.kind != "U" or names.ndim != 1 or len(names) <= highest:
        raise DatasetError(
            f"class_names holds one string for each label 0..{highest}; received {names.dtype} of "
            f"shape {names.shape} in {path}. Mend it, or save the file without it."
        )
    return tuple(str(name) for name in names)
