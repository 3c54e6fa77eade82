"""Any npz or npy: which arrays it takes for pictures, in which axes and numbers."""

import io
from pathlib import Path

import numpy as np
import pytest

from models.images import ImageSpec
from training.data.array_split import ArraySplit
from training.data.arrays import read_arrays
from training.data.datasets import Dataset, load
from training.errors import DatasetError


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def saved(folder: Path, **arrays: np.ndarray) -> Path:
    path = folder / "some.npz"
    np.savez(path, **arrays)
    return path


def lengths(dataset: Dataset) -> list[int]:
    return [len(split) for split in dataset.splits.values()]


@pytest.mark.parametrize("images", ["images", "x", "data", "arr_0", "anything"])
@pytest.mark.parametrize("labels", ["labels", "y", None])
def test_pictures_are_found_under_the_usual_names(
    images: str, labels: str | None, tmp_path: Path
) -> None:
    arrays = {images: noise(30, 6, 7), "numbers": np.arange(30)}
    if labels is not None:
        arrays[labels] = np.arange(30).reshape(30, 1) % 3
    path = saved(tmp_path, **arrays)
    dataset = load(str(path))
    assert (dataset.name, dataset.licence) == ("some.npz", "not stated")
    assert sum(lengths(dataset)) == 30
    assert min(lengths(dataset)) >= 4
    for split in dataset.splits.values():
        assert isinstance(split, ArraySplit)
        assert (split.labels is None) == (labels is None)
        for image, label in zip(split.images, split.labels if labels else [], strict=bool(labels)):
            (position,) = np.flatnonzero((arrays[images] == image).all(axis=(1, 2)))
            assert label == position % 3


def test_exact_copies_in_an_array_never_straddle(tmp_path: Path) -> None:
    dataset = load(str(saved(tmp_path, images=noise(20, 3, 3).repeat(3, axis=0))))
    seen = [set(map(bytes, split.digests)) for split in dataset.splits.values()]
    assert sum(map(len, seen)) == len(set.union(*seen)) == 20


@pytest.mark.parametrize(
    ("keys", "labels"),
    [
        (
            ("train_images", "val_images", "test_images"),
            ("train_labels", "val_labels", "test_labels"),
        ),
        (("x_train", "x_valid", "x_test"), ("y_train", "y_valid", "y_test")),
        (("train", "validation", "test"), ("train_labels", "y_validation", "test_labels")),
    ],
)
def test_given_splits_are_kept(
    keys: tuple[str, ...], labels: tuple[str, ...], tmp_path: Path
) -> None:
    stack, classes = noise(9, 4, 4), np.array([0, 1, 2, 3, 0, 0, 1, 3, 2])
    parts = [slice(0, 4), slice(4, 7), slice(7, 9)]
    arrays = {key: stack[part] for key, part in zip(keys, parts, strict=True)}
    arrays |= {key: classes[part] for key, part in zip(labels, parts, strict=True)}
    dataset = load(str(saved(tmp_path, **arrays)))
    assert lengths(dataset) == [4, 3, 2]
    assert dataset.test.labels is not None
    assert dataset.test.labels.tolist() == [3, 2]


def test_validation_is_taken_from_train_where_it_is_not_given(tmp_path: Path) -> None:
    path = saved(tmp_path, x_train=noise(40, 4, 4), x_test=noise(5, 4, 4, seed=1))
    train, validation, test = lengths(load(str(path)))
    assert train + validation == 40
    assert validation >= 4
    assert test == 5


@pytest.mark.parametrize(
    "shape", [(9, 4, 5), (9, 4, 5, 1), (9, 1, 4, 5), (9, 4, 5, 3), (9, 3, 4, 5)]
)
def test_axes_follow_the_rules_of_the_layout(shape: tuple[int, ...], tmp_path: Path) -> None:
    path = tmp_path / "some.npy"
    np.save(path, noise(*shape))
    (split,) = read_arrays(path).parts.values()
    colour = 3 in shape
    spec = ImageSpec(channels=3 if colour else 1, height=4, width=5)
    levels = split.read_levels(spec)
    found = noise(*shape)
    wanted = found.reshape(9, -1, 4, 5) if shape[1] in (1, 3) or shape[-1] == 5 else None
    if wanted is None:
        wanted = found.transpose(0, 3, 1, 2)
    assert np.array_equal(levels, wanted)


@pytest.mark.parametrize(
    "images",
    [
        noise(9, 4, 4),
        noise(9, 4, 4).astype(np.int64),
        noise(9, 4, 4) / 255,
        (noise(9, 4, 4) / 255).astype(np.float32),
    ],
    ids=["bytes", "integers", "float64", "float32"],
)
def test_numbers_of_every_kind_give_the_same_levels(images: np.ndarray, tmp_path: Path) -> None:
    (split,) = read_arrays(saved(tmp_path, images=images)).parts.values()
    spec = ImageSpec(channels=1, height=4, width=4)
    assert np.array_equal(split.read_levels(spec)[:, 0], noise(9, 4, 4))
    assert split.statistics.levels == 256


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32, np.float32])
def test_zeros_and_ones_are_black_and_white(dtype: type, tmp_path: Path) -> None:
    images = noise(9, 4, 4) % 2
    (split,) = read_arrays(saved(tmp_path, images=images.astype(dtype))).parts.values()
    spec = ImageSpec(channels=1, height=4, width=4, levels=2, binarization="threshold")
    assert np.array_equal(split.observations(spec)[:, 0], images)
    assert split.statistics.is_binary


def test_a_dark_split_is_read_on_the_scale_of_the_others(tmp_path: Path) -> None:
    path = saved(tmp_path, x_train=noise(40, 4, 4), x_test=np.ones((3, 4, 4), np.uint8))
    test = load(str(path)).test
    assert test.read_levels(ImageSpec(channels=1, height=4, width=4)).max() == 1


def test_a_column_of_labels_is_a_list_of_labels(tmp_path: Path) -> None:
    path = saved(tmp_path, images=noise(9, 4, 4), labels=np.arange(9, dtype=np.uint8)[:, None])
    labels = read_arrays(path).parts["train"].labels
    assert labels is not None
    assert labels.tolist() == list(range(9))


def test_capital_letters_in_names_count_for_nothing(tmp_path: Path) -> None:
    path = saved(tmp_path, X_train=noise(9, 4, 4), Y_Train=np.arange(9) % 2, X_TEST=noise(3, 4, 4))
    parts = read_arrays(path).parts
    assert parts["train"].labels is not None
    assert len(parts["test"]) == 3
    whole = saved(tmp_path, X=noise(9, 4, 4), Y=np.arange(9))
    assert read_arrays(whole).parts["train"].labels is not None


def test_all_pictures_beside_a_test_split_train(tmp_path: Path) -> None:
    path = saved(
        tmp_path,
        **{"x": noise(40, 4, 4), "y": np.arange(40) % 2},
        **{"x_test": noise(5, 4, 4, seed=1), "y_test": np.arange(5) % 2},
    )
    dataset = load(str(path))
    assert len(dataset.test) == 5
    assert len(dataset.train) + len(dataset.validation) == 40


def test_arrays_that_are_not_used_are_named(tmp_path: Path) -> None:
    path = saved(tmp_path, images=noise(9, 4, 4), targets=np.arange(9), masks=noise(9, 4, 4))
    (said,) = read_arrays(path).warnings
    assert said.startswith("Arrays that are not used: masks, targets. Pictures are named images")


def test_labels_come_from_train(tmp_path: Path) -> None:
    train = {"x_train": noise(9, 4, 4), "y_train": np.arange(9) % 3}
    images = noise(4, 4, 4, seed=1)
    for given, kept, words in [
        ([0, 1, 2, 2], [0, 1, 2, 2], None),
        ([0, 1, 2, 5], [0, 1, 2], "1 of the 4 pictures of the test split are left out: train has"),
        ([5, 6, 7, 2], None, "The test split has no labels: most are not labels of train (5, 6"),
        (None, None, "The test split has no labels. Save test_labels with the others."),
    ]:
        labels = {} if given is None else {"y_test": np.array(given)}
        found = read_arrays(saved(tmp_path, **train, x_test=images, **labels))
        test = found.parts["test"]
        assert (None if test.labels is None else test.labels.tolist()) == kept
        assert len(test) == (4 if kept is None else len(kept))
        assert len(found.warnings) == (words is not None)
        assert all(said.startswith(words or "") for said in found.warnings)
    alone = saved(tmp_path, x_train=noise(9, 4, 4), x_test=images, y_test=np.arange(4))
    found = read_arrays(alone)
    assert found.parts["test"].labels is None
    assert found.warnings == ("The labels of the test split are not used, since train has none.",)


def test_class_names_are_taken_when_they_are_there(tmp_path: Path) -> None:
    arrays = {"images": noise(9, 4, 4), "labels": np.arange(9) % 2}
    assert read_arrays(saved(tmp_path, **arrays)).class_names == ()
    named = saved(tmp_path, **arrays, class_names=np.array(["cat", "dog"]))
    assert read_arrays(named).class_names == ("cat", "dog")
    without = saved(tmp_path, images=noise(9, 4, 4), class_names=np.array(["cat"]))
    assert read_arrays(without).class_names == ()
    assert "not used: class_names." in read_arrays(without).warnings[0]


def test_arrays_of_python_objects_are_passed_over(tmp_path: Path) -> None:
    path = saved(tmp_path, images=noise(9, 4, 4), metadata=np.array([{}], dtype=object))
    found = read_arrays(path)
    assert len(found.parts["train"]) == 9
    (said,) = found.warnings
    assert said.startswith("Arrays of Python objects are not read: metadata. Save them as numbers")
    np.save(tmp_path / "some.npy", np.array([{}], dtype=object))
    with pytest.raises(DatasetError, match="pickle"):
        read_arrays(tmp_path / "some.npy")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"rows": noise(9, 16)}, r"holds rows \(9, 16\).*savez\(.*images="),
        (
            {"a": noise(9, 4, 4), "b": noise(9, 4, 4)},
            r"holds a \(9, 4, 4\), b \(9, 4, 4\): which are the pictures",
        ),
        (
            {"images": noise(9, 64)},
            r"images of .* has the shape \(9, 64\).*Save images\.reshape\(-1, 1, 8, 8\)\.",
        ),
        ({"images": noise(9, 15)}, r"\(9, 15\).*images\.reshape\(-1, 1, height, width\)"),
        ({"images": noise(0, 4, 4)}, r"has the shape \(0, 4, 4\).*at least one picture"),
        (
            {"images": noise(9, 4, 4, 2)},
            r"\(9, 4, 4, 2\).* 1 or 3 channels.*save images\[\.\.\., :1\]",
        ),
        (
            {"images": noise(9, 4, 4) * 1.0},
            r"holds float64 from 0.*floats in 0\.\.1\. Save images / 255",
        ),
        ({"images": noise(9, 4, 4) / 255 * 16}, r"holds float64 from 0.*Save images / 16 instead"),
        ({"images": noise(9, 4, 4) / 255 * 2 - 1}, r"from -.*Save \(images \+ 1\) / 2 instead"),
        ({"images": noise(9, 4, 4).astype(int) * 16}, r"holds int64 from .*Save images / 4095"),
        ({"images": noise(9, 4, 4) * np.nan}, r"holds float64 from nan.*nan_to_num\(images\)"),
        (
            {"images": noise(9, 4, 4).astype(np.int16) - 1},
            r"holds int16 from -1.*images - images\.min\(\)",
        ),
        ({"images": noise(9, 4, 4).astype(str)}, r'holds <U3.*images\.astype\("uint8"\)'),
        (
            {"images": noise(9, 4, 4), "labels": np.arange(8)},
            r"labels of .* shape \(8,\).*each of the 9 pictures.*one label for each",
        ),
        (
            {"images": noise(8, 4, 4), "labels": np.arange(8).reshape(2, 4)},
            r"labels of .* shape \(2, 4\).*each of the 8 pictures.*one label for each",
        ),
        ({"images": noise(9, 4, 4), "labels": noise(9, 14)}, r"labels of .* shape \(9, 14\)"),
        (
            {"images": noise(9, 4, 4), "labels": np.arange(9) / 2},
            r"labels of .*float64.*numpy\.unique\(labels, return_inverse",
        ),
        (
            {"images": noise(9, 4, 4), "labels": np.array(["cat", "dog", "fish"] * 3)},
            r"holds <U4\. .*numpy\.unique\(labels, return_inverse=True\)\[1\] instead",
        ),
        (
            {"x_train": noise(9, 4, 4), "y_train": np.array(["cat", "dog", "fish"] * 3)},
            r"numpy\.searchsorted\(numpy\.unique\(y_train\), y_train\) instead",
        ),
        (
            {"images": noise(9, 4, 4), "labels": np.eye(9, dtype=np.uint8)},
            r"shape \(9, 9\) and holds uint8 from 0 to 1\. .*Save labels\.argmax\(1\) instead",
        ),
        (
            {"images": noise(9, 4, 4), "labels": np.arange(9.0)},
            r'float64 from 0\.0 to 8\.0\. .*labels\.astype\("int64"\)',
        ),
        (
            {"images": noise(9, 4, 4), "labels": np.arange(9) - 1},
            r"int64 from -1 to 7\. .*where labels >= 0",
        ),
        (
            {"images": noise(9, 4, 4), "labels": np.full(9, np.nan)},
            r"float64 from nan to nan\. .*numpy\.unique\(labels",
        ),
        (
            {"images": noise(9, 4, 4), "y": np.arange(9), "class_names": np.array(["cat"])},
            r"class_names of .* shape \(1,\); the labels 0\.\.8 need 9 strings",
        ),
        ({"images": noise(7, 4, 4)}, "has 7 distinct pictures.*at least 8"),
    ],
)
def test_what_is_no_data_set_is_refused_with_what_was_found(
    arrays: dict[str, np.ndarray], words: str, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=words):
        load(str(saved(tmp_path, **arrays)))


@pytest.mark.parametrize("name", ["some.npz", "some.npy"])
@pytest.mark.parametrize("damage", [b"", b"nothing of the kind", "cut"])
def test_a_damaged_file_is_named(name: str, damage: bytes | str, tmp_path: Path) -> None:
    whole = io.BytesIO()
    if name.endswith("npz"):
        np.savez(whole, images=noise(9, 40, 40))
    else:
        np.save(whole, noise(9, 40, 40))
    content = whole.getvalue()[:1_000] if isinstance(damage, str) else damage
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match=name):
        load(str(tmp_path / name))


@pytest.mark.parametrize(
    ("shape", "words", "made"),
    [
        ((90, 784), "looks like 90 flat pictures of 784 numbers", (90, 1, 28, 28)),
        ((784, 90), "looks like 90 flat pictures of 784 numbers", (90, 1, 28, 28)),
        ((90, 784, 1), "looks like 90 flat pictures of 784 numbers", (90, 1, 28, 28)),
        ((90, 1, 784), "looks like 90 flat pictures of 784 numbers", (90, 1, 28, 28)),
        ((90, 1, 1, 784), "looks like 90 flat pictures of 784 numbers", (90, 1, 28, 28)),
        ((90, 3072), "channels first, or channels last", (90, 3, 32, 32)),
        ((28, 28, 90), "28 grey pictures, or 90 pictures, the batch last", (28, 1, 28, 90)),
        ((20, 28, 999), "20 grey pictures, or 999 pictures, the batch last", (20, 1, 28, 999)),
        ((32, 32, 3, 90), "looks like 90 pictures, the batch last", (90, 3, 32, 32)),
        ((32, 32, 1, 90), "looks like 90 pictures, the batch last", (90, 1, 32, 32)),
        ((3, 32, 32, 90), "looks like 90 pictures, the batch last", (90, 3, 32, 32)),
    ],
)
@pytest.mark.parametrize("suffix", ["npz", "npy"])
def test_flat_pictures_and_the_batch_last_are_refused_with_what_to_save(
    shape: tuple[int, ...], words: str, made: tuple[int, ...], suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"some.{suffix}"
    array = noise(*shape)
    if suffix == "npz":
        np.savez(path, images=array)
    else:
        np.save(path, array)
    with pytest.raises(DatasetError, match=words) as refused:
        read_arrays(path)
    name = "images" if suffix == "npz" else "array"
    expression = refused.value.details["suggestion"]
    assert f"Save {expression}" in str(refused.value)
    mended = eval(expression, {name: array})
    assert mended.shape == made
    np.save(path.with_suffix(".npy"), mended)
    (split,) = read_arrays(path.with_suffix(".npy")).parts.values()
    assert len(split) == made[0]


@pytest.mark.parametrize("largest", [16, 255.0])
def test_flat_pictures_on_another_scale_are_also_divided(largest: float, tmp_path: Path) -> None:
    path = saved(tmp_path, data=np.full((90, 64), largest))
    with pytest.raises(DatasetError, match=rf"reach {largest:g}\. Save data\.reshape") as refused:
        read_arrays(path)
    assert refused.value.details["suggestion"] == f"data.reshape(-1, 1, 8, 8) / {largest:g}"


@pytest.mark.parametrize("size", [(4, 6), (24, 1), (1, 24), (6, 3)])
def test_a_recipe_may_ask_for_any_other_size(size: tuple[int, int], tmp_path: Path) -> None:
    (split,) = read_arrays(saved(tmp_path, images=noise(9, 6, 4))).parts.values()
    spec = ImageSpec(channels=1, height=size[0], width=size[1])
    assert split.read_levels(spec).shape == (9, 1, *size)
