"""An `.npz` or `.npy` of pictures as a data set: names, axes and numbers of its arrays.

    train_images, val_images, test_images     splits as given, as in MedMNIST; or x_train, x_val,
                                              x_test; or train, val, test. `valid` and `validation`
                                              mean val. What is missing of val and test is split
                                              from train. Labels: train_labels or y_train, ...
    images, x, data or arr_0                  all pictures, split by content hash
                                              (`make_splits.py`), or train beside a test_images or
                                              x_test. Labels: labels or y
    any one array of three or four axes       the same
    class_names                               optional: the names of the labels 0, 1, ...

Capital letters in names count for nothing (X_train).

A `.npy` holds all pictures. Arrays of Python objects are skipped, never unpickled. Axes are (batch,
height, width), or four with 1 or 3 channels last or second; where another reading is as likely
(flat pictures, the batch last), the array is refused. Numbers are bytes, other integers in
0..255, bools, or floats in 0..1; integers that are all 0 or 1 are black and white.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np

from models.images.axes import as_stack, explain
from models.images.orders import Reading
from models.images.pixel_range import MAX_WHITE, likely_white
from training.data.array_split import ArraySplit, Images
from training.data.file_stamp import LENGTH, stamp_file
from training.data.formats import memory_doubt, read_npy, read_whole_npz
from training.data.held_out_labels import labels_from_train
from training.data.make_splits import PARTS
from training.data.split import Labels
from training.errors import DatasetError

_IMAGES = ("images", "x", "data", "arr_0")
_LABELS = ("labels", "y")
_ONLY = "array"


@dataclass(frozen=True)
class Arrays:
    """Splits and classes of a file."""

    parts: Mapping[str, ArraySplit]
    """The given splits, or all as "train"."""
    class_names: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    """What is doubtful in its arrays, a sentence or two each."""


def read_arrays(path: Path) -> Arrays:
    """Read a `.npz` or `.npy` file.

    Raises:
        DatasetError: There is no array of pictures (the message names those found), or shapes,
            types, ranges or labels are not what this module's docstring says.
    """
    objects: list[str] = []
    doubt, stamp = "", stamp_file(path)[0]
    if path.suffix.lower() == ".npy":
        arrays = {_ONLY: read_npy(path)}
        keys: dict[str, tuple[str, str | None]] = {"train": (_ONLY, None)}
    else:
        doubt = memory_doubt(path)
        arrays, objects = read_whole_npz(path)
        keys = _find_keys(path, arrays)
    levels = 2 if _are_zeros_and_ones(arrays[images] for images, _ in keys.values()) else 256
    parts = {}
    for part, (name, name_of_labels) in keys.items():
        images, labels = _as_images(path, name, arrays[name]), None
        if name_of_labels is not None:
            labels = _as_labels(path, name_of_labels, arrays[name_of_labels], count=len(images))
        of_array = blake2b(stamp + name.encode(), digest_size=LENGTH).digest() if stamp else stamp
        parts[part] = ArraySplit(images, labels, levels, stamp=of_array)
    warnings = [doubt] if doubt else []
    warnings += _unused(arrays, keys, objects)
    warnings += labels_from_train(parts, fix="Save {}_labels with the others")
    return Arrays(parts, _class_names(path, arrays, parts), tuple(warnings))


def _unused(
    arrays: Mapping[str, np.ndarray],
    keys: Mapping[str, tuple[str, str | None]],
    objects: Sequence[str],
) -> Iterator[str]:
    """Say which arrays are neither pictures nor labels, or hold Python objects."""
    used = {name for names in keys.values() for name in names}
    if any(labels is not None for _, labels in keys.values()):
        used.add(_first(("class_names",), arrays))
    if objects:
        yield (
            f"Arrays of Python objects are not read: {', '.join(objects)}. Save them as numbers "
            "or text, such as numpy.array(labels.tolist())."
        )
    if rest := sorted(name for name in arrays if name not in used):
        yield (
            f"Arrays that are not used: {', '.join(rest)}. Pictures are named images or "
            "train_images, labels are named labels or train_labels, and so on for val and test."
        )


def _find_keys(path: Path, arrays: Mapping[str, np.ndarray]) -> dict[str, tuple[str, str | None]]:
    """The names of the pictures' and the labels' arrays of each split."""
    found = {}
    for alias, part in PARTS.items():
        images = _first((f"{alias}_images", f"x_{alias}", alias), arrays)
        if images is not None:
            found[part] = images, _first((f"{alias}_labels", f"y_{alias}"), arrays)
    if "train" in found:
        return found
    images = _first(_IMAGES, arrays)
    if found and images is not None:
        return {"train": (images, _first(_LABELS, arrays)), **found}
    stacks = [name for name, array in arrays.items() if array.ndim in (3, 4)]
    images = images or (stacks[0] if len(stacks) == 1 else None)
    if images is None:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise DatasetError(
            f"{path} holds {shapes or 'no array'}: which are the pictures? Name them "
            f"{', '.join(_IMAGES)}, train_images or x_train, or save one array of three or four "
            'axes. For instance: numpy.savez("mine.npz", images=pictures).',
            received=list(arrays),
            allowed=(*_IMAGES, "train_images", "x_train"),
        )
    return {"train": (images, _first(_LABELS, arrays))}


def _first(names: Iterable[str], arrays: Mapping[str, np.ndarray]) -> str | None:
    """The array of the first of these names, in any case of letters."""
    by_name = {**{name.lower(): name for name in arrays}, **{name: name for name in arrays}}
    return next((by_name[name] for name in names if name in by_name), None)


def _are_zeros_and_ones(arrays: Iterable[np.ndarray]) -> bool:
    return all(array.dtype.kind in "bui" and array.size and array.max() <= 1 for array in arrays)


def _as_images(path: Path, name: str, array: np.ndarray) -> Images:
    """Colour last, one channel left out; integers as bytes."""
    batch = as_stack(array)
    if isinstance(batch, tuple):
        raise _wrong_shape(path, name, array, batch)
    _check_numbers(path, name, array)
    if array.dtype.kind != "f" and not isinstance(array, np.memmap):
        batch = batch.astype(np.uint8, copy=False)
    return batch[:, 0] if batch.shape[1] == 1 else batch.transpose(0, 2, 3, 1)


def _wrong_shape(
    path: Path, name: str, array: np.ndarray, readings: tuple[Reading, ...]
) -> DatasetError:
    shape = array.shape
    fault = f"{name} of {path} has the shape {shape}"
    if readings:
        kinds, fix, expression = explain(array, readings, name, verb="Save")
        return DatasetError(
            f"{fault}, which {kinds}. {fix}.",
            parameter=name,
            received=shape,
            suggestion=expression,
        )
    if 0 in shape:
        fix = "Save at least one picture"
    elif array.ndim == 4 and shape[-1] in (2, 4):
        fix = f"Leave out transparency: save {name}[..., :{shape[-1] - 1}] instead"
    else:
        fix = f"Save {name}.reshape(batch, height, width) instead"
    return DatasetError(
        f"{fault}. Pictures are (batch, height, width), or four axes with 1 or 3 channels last or "
        f"second. {fix}.",
        parameter=name,
        received=shape,
        suggestion=fix,
    )


def _check_numbers(path: Path, name: str, array: np.ndarray) -> None:
    """Refuse pixels on other scales than this module's docstring says."""
    high, is_number = 1 if array.dtype.kind == "f" else 255, array.dtype.kind in "buif"
    if is_number and array.min() >= 0 and array.max() <= high:  # false for NaN
        return
    found, fix = f"{array.dtype}", f'{name}.astype("uint8")'
    if is_number:
        low, top = array.min(), array.max()
        found += f" from {low} to {top}"
        fix = f"({name} - {name}.min()) / ({name}.max() - {name}.min())"
        if not np.isfinite(low) or not np.isfinite(top):
            fix = f"numpy.nan_to_num({name})"
        elif low >= -1 and top <= 1:
            fix = f"({name} + 1) / 2"
        elif low >= 0 and top <= MAX_WHITE:
            fix = f"{name} / {16 if top <= 16 else likely_white(max(float(top), 255.0))}"
    raise DatasetError(
        f"{name} of {path} holds {found}. Pixels are bytes, other integers in 0..255, bools, or "
        f"floats in 0..1. Save {fix} instead.",
        parameter=name,
        received=found,
        suggestion=fix,
    )


def _as_labels(path: Path, name: str, array: np.ndarray, *, count: int) -> Labels:
    is_whole = array.dtype.kind in "bui"
    if is_whole and array.shape in ((count,), (count, 1), (1, count)) and array.min() >= 0:
        return array.reshape(-1).astype(np.int64)
    found = f"has the shape {array.shape} and holds {array.dtype}"
    if array.dtype.kind in "buif" and array.size:
        found += f" from {array.min()} to {array.max()}"
    fix = _fix_of_labels(name, array, count)
    raise DatasetError(
        f"{name} of {path} {found}. Labels are one integer from 0 on for each of the {count:,} "
        f"pictures. {fix}, or leave {name} out of the file.",
        parameter=name,
        received=array.shape,
        suggestion=fix,
    )


def _fix_of_labels(name: str, array: np.ndarray, count: int) -> str:
    is_number = array.dtype.kind in "buif"
    if is_number and array.ndim == 2 and len(array) == count and (array.sum(1) == 1).all():
        return f"Save {name}.argmax(1) instead"
    if array.size != count or len(array) != count:
        return "Save one label for each picture"
    if array.dtype.kind == "f" and (array == np.floor(array)).all() and array.min() >= 0:
        return f'Save {name}.astype("int64") instead'
    if is_number and array.dtype.kind != "f":
        return f"Save the pictures and the labels where {name} >= 0"
    if name.lower() in _LABELS:
        return f"Save numpy.unique({name}, return_inverse=True)[1] instead"
    train = "y_train" if name.lower().startswith("y_") else "train_labels"
    return f"Save numpy.searchsorted(numpy.unique({train}), {name}) instead"


def _class_names(
    path: Path, arrays: Mapping[str, np.ndarray], parts: Mapping[str, ArraySplit]
) -> tuple[str, ...]:
    found = _first(("class_names",), arrays)
    names = None if found is None else arrays[found]
    labels = [split.labels for split in parts.values() if split.labels is not None]
    if names is None or not labels:
        return ()
    highest = max(int(one.max()) for one in labels)
    if names.dtype.kind != "U" or names.ndim != 1 or len(names) <= highest:
        raise DatasetError(
            f"class_names of {path} is {names.dtype} of shape {names.shape}; the labels "
            f"0..{highest} need {highest + 1} strings. Correct it, or save the file without it.",
            parameter="class_names",
            received=names.shape,
        )
    return tuple(str(name) for name in names)
