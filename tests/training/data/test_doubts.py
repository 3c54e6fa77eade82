"""Warnings about labels, copies and splits that are too small."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.data.pictures import fill, save
from training.data.array_split import ArraySplit
from training.data.datasets import load
from training.data.doubts import copies_of_training_images, doubts, too_small, unused_range
from training.data.split import Split


def ramp(first: int, count: int) -> np.ndarray:
    """Pictures of one grey each, with a white pixel."""
    pictures = np.arange(first, first + count, dtype=np.uint8).reshape(-1, 1, 1).repeat(4, axis=1)
    pictures[:, 3] = 255
    return pictures


def splits_of(*images: np.ndarray, labels: tuple[list[int] | None, ...] = ()) -> dict[str, Split]:
    given = [*labels, None, None, None]
    return {
        name: ArraySplit(array, None if one is None else np.array(one))
        for name, array, one in zip(("train", "validation", "test"), images, given, strict=False)
    }


def test_a_clean_data_set_gives_no_doubts() -> None:
    splits = splits_of(ramp(0, 4), ramp(10, 2), ramp(20, 2), labels=([0, 1, 0, 1], [0, 1], [1, 1]))
    assert list(doubts(splits, ("x", "y"))) == []


def test_copies_between_given_splits_are_told() -> None:
    said = copies_of_training_images(splits_of(ramp(0, 4), ramp(10, 2), ramp(3, 3)))
    assert said.startswith(
        "Exact copies of training images: 0 of the validation split and 1 of the test split"
    )


@pytest.mark.parametrize(
    ("counts", "fault"),
    [
        ((8, 1, 2), "The validation split has 1 picture; a score with a standard error needs 2."),
        ((8, 2, 1), "The test split has 1 picture;"),
        ((8, 2, 0), "The test split has 0 pictures;"),
        ((8, 2, 2), ""),
    ],
)
def test_a_held_out_split_needs_two_pictures(counts: tuple[int, int, int], fault: str) -> None:
    starts = (0, 50, 100)
    splits = splits_of(*(ramp(start, n) for start, n in zip(starts, counts, strict=True)))
    assert too_small(splits).startswith(fault)
    assert (too_small(splits) == "") == (fault == "")


@pytest.mark.parametrize(
    ("white", "said"),
    [(25, "All training pixels lie in 0..25 of 0..255"), (26, "")],
)
def test_training_pictures_that_use_less_than_a_tenth_of_the_range_are_told(
    white: int, said: str
) -> None:
    splits = splits_of(np.array([[[0]], [[white]]], np.uint8))
    assert unused_range(splits["train"]).startswith(said)
    assert (unused_range(splits["train"]) == "") == (said == "")


def test_a_folder_of_twelve_bits_in_sixteen_is_told(tmp_path: Path) -> None:
    for number in range(10):
        deep = np.random.default_rng(number).integers(0, 4096, (6, 5)).astype(np.uint16)
        Image.fromarray(deep).save(tmp_path / f"{number}.tif")
    (said,) = load(str(tmp_path)).warnings
    assert said.startswith("All training pixels lie in 0..16 of 0..255")


def test_one_picture_under_two_labels_is_said_within_a_split_and_across() -> None:
    train = np.concatenate([ramp(0, 4), ramp(0, 1)])
    splits = splits_of(train, ramp(1, 2), ramp(20, 2), labels=([0, 1, 0, 1, 1], [0, 0], [1, 1]))
    (said, copies) = doubts(splits, ())
    assert said == (
        "2 pictures have more than one label, such as train[0] and train[4]. Keep each under one "
        "label."
    )
    assert copies.startswith("Exact copies")


def test_the_files_of_one_picture_under_two_labels_are_named(tmp_path: Path) -> None:
    fill(tmp_path / "cats", 10)
    fill(tmp_path / "dogs", 10, start=10)
    save(tmp_path / "dogs" / "rex.bmp", seed=3, form="BMP")
    (said,) = load(str(tmp_path)).warnings
    assert said.startswith("1 picture has more than one label, such as ")
    assert "cats/3.png" in said
    assert "dogs/rex.bmp" in said


def test_classes_without_training_pictures_are_named() -> None:
    splits = splits_of(ramp(0, 4), ramp(10, 2), ramp(20, 2), labels=([0, 2, 0, 2],))
    assert "No training picture: class b." in next(doubts(splits, ("a", "b", "c")))
    assert "No training picture: class 1." in next(doubts(splits, ()))
    names = tuple("abcdefghij")
    assert "class b, d, e, f, g and 3 more." in next(doubts(splits, names))


def test_labels_that_are_hardly_classes_are_said() -> None:
    splits = splits_of(ramp(0, 2), ramp(10, 2), ramp(20, 2), labels=([0, 2**62],))
    assert "they are hardly classes" in next(doubts(splits, ()))
