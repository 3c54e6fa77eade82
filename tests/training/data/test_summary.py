"""What people are shown of a data set."""

import io
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console

from training.data.array_split import ArraySplit
from training.data.datasets import Dataset, load
from training.data.summary import (
    class_counts,
    picture_of_dataset,
    sizes_and_modes,
    statistics_table,
)


def dataset_of(*images: np.ndarray, labels: np.ndarray | None = None) -> Dataset:
    train, validation, test = (ArraySplit(part) for part in images)
    return Dataset(
        "a", ArraySplit(train.images, labels), validation, test, "", class_names=("x", "y")
    )


def ramp(first: int, count: int) -> np.ndarray:
    return np.arange(first, first + count, dtype=np.uint8).reshape(-1, 1, 1).repeat(4, axis=1)


def shown(thing: object) -> str:
    written = io.StringIO()
    Console(file=written, width=120).print(thing)
    return written.getvalue()


def test_small_pictures_are_enlarged_by_whole_pixels() -> None:
    with Image.open(io.BytesIO(picture_of_dataset(load("digits")))) as picture:
        assert (picture.size, picture.mode) == ((530, 530), "L")


def test_pictures_of_different_sizes_are_fitted_into_squares(tmp_path: Path) -> None:
    for number in range(12):
        colour = (20 * number, 100, 200)
        Image.new("RGB", (30 + number, 300)).save(tmp_path / f"{number}-black.png")
        Image.new("RGB", (30 + number, 300), colour).save(tmp_path / f"{number}.png")
    dataset = load(str(tmp_path))
    with Image.open(io.BytesIO(picture_of_dataset(dataset))) as picture:
        assert picture.mode == "RGB"
        assert picture.width == 8 * 66 + 2
    forms = sizes_and_modes(dataset)
    assert forms.startswith("Sizes: ")
    assert "12 sizes from 30 to 41 wide, 300 to 300 high" in forms
    assert "Modes: RGB, 8 bits 24" in forms


def test_statistics_count_copies_levels_and_classes() -> None:
    labels = np.array([0, 1, 1, 1])
    dataset = dataset_of(
        ramp(0, 4).repeat(1, axis=0), ramp(10, 2)[[0, 0]], ramp(20, 2), labels=labels
    )
    lines = [line.split() for line in shown(statistics_table(dataset)).splitlines() if line.strip()]
    rows = {cells[0]: cells[1:] for cells in lines}
    assert rows["train"] == ["4", "4", "0", "3", "1.50", "1.12", "2"]
    assert rows["validation"] == ["2", "1", "10", "10", "10.00", "0.00", "-"]
    assert class_counts(dataset) == "Training images by class: x 1, y 3"


def test_nothing_is_said_of_classes_without_names_or_labels() -> None:
    assert class_counts(dataset_of(ramp(0, 4), ramp(0, 1), ramp(0, 1))) == ""
