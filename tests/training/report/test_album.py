"""The pictures that a run keeps: few, small, and the same after a resumption."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from training.errors import RunError
from training.report.album import (
    FOLDER,
    MAX_KEPT,
    keep_snapshot,
    read_latents,
    read_picture,
    read_strips,
    thin_out,
)
from training.report.snapshot import Snapshot


def snapshot(value: int = 0, *, side: int = 8, channels: int = 1, held_out: int = 32) -> Snapshot:
    """Pictures of one grey value, and two latent dimensions."""

    def pictures(count: int) -> np.ndarray:
        return np.full((count, channels, side, side), value, np.uint8)

    return Snapshot(
        pictures={"samples": pictures(64), "reconstructions": pictures(2 * held_out)},
        kl_parts={"kl_per_dimension_nats": torch.tensor([[1.0, 0.0], [3.0, 0.0]])},
        num_images=2,
        active_units=1,
        num_latents=2,
    )


def validate(run_dir: Path, epochs: list[int]) -> None:
    """Keep a snapshot at each of some epochs, as an uninterrupted run does."""
    for count in range(1, len(epochs) + 1):
        keep_snapshot(run_dir, snapshot(epochs[count - 1] % 256), epochs=epochs[:count])


def kept(run_dir: Path) -> list[int]:
    return [strips.epoch for strips in read_strips(run_dir)]


def pixels(png: bytes | None) -> np.ndarray:
    assert png is not None
    return np.asarray(Image.open(io.BytesIO(png)))


def test_a_run_keeps_every_validation_until_there_are_twelve(tmp_path: Path) -> None:
    validate(tmp_path, list(range(5, 65, 5)))
    assert kept(tmp_path) == list(range(5, 65, 5))


def test_of_many_validations_the_first_the_last_and_ten_between_them_stay(tmp_path: Path) -> None:
    validate(tmp_path, list(range(1, 101)))
    found = kept(tmp_path)
    assert len(found) == MAX_KEPT
    assert (found[0], found[-1]) == (1, 100)
    ratios = np.divide(found[1:], found[:-1])
    assert ratios.max() < 2.5  # twelve epochs in equal ratios would have 1.52


def test_the_strip_of_an_epoch_is_of_that_epoch(tmp_path: Path) -> None:
    validate(tmp_path, [3, 7])
    for strips in read_strips(tmp_path):
        for png in (strips.samples, strips.reconstructions):
            assert set(np.unique(pixels(png))) == {0, strips.epoch}  # black is the padding
    assert pixels(read_picture(tmp_path, "samples.png")).max() == 7


@pytest.mark.parametrize("killed_after", [13, 41])
def test_a_resumed_run_keeps_what_an_uninterrupted_one_keeps(
    tmp_path: Path, killed_after: int
) -> None:
    epochs = list(range(1, 51))
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    for folder in (whole, resumed):
        folder.mkdir()
    validate(whole, epochs)
    validate(resumed, epochs[:killed_after])  # and is killed before the checkpoint of the last
    for count in range(killed_after, len(epochs) + 1):
        keep_snapshot(resumed, snapshot(epochs[count - 1]), epochs=epochs[:count])
    assert kept(resumed) == kept(whole)


def test_strips_after_the_checkpoint_that_a_run_resumes_from_are_deleted(tmp_path: Path) -> None:
    validate(tmp_path, [1, 2, 3])
    keep_snapshot(tmp_path, snapshot(9), epochs=[1, 2])
    assert kept(tmp_path) == [1, 2]
    assert pixels(read_strips(tmp_path)[1].samples).max() == 9


def test_thinning_keeps_few_epochs_as_they_are() -> None:
    assert list(thin_out([4, 5])) == [4, 5]


@pytest.mark.parametrize(("side", "tile"), [(8, 64), (28, 56), (64, 64), (65, 32), (256, 64)])
def test_pictures_of_every_size_become_tiles_of_at_most_64_pixels(
    tmp_path: Path, side: int, tile: int
) -> None:
    keep_snapshot(tmp_path, snapshot(200, side=side, channels=3), epochs=[1])
    shape = pixels(read_strips(tmp_path)[0].samples).shape
    assert shape == (tile + 4, 8 * (tile + 2) + 2, 3)
    assert pixels(read_picture(tmp_path, "samples.png")).max() == 200


def test_few_held_out_images_make_a_short_strip_of_reconstructions(tmp_path: Path) -> None:
    keep_snapshot(tmp_path, snapshot(held_out=3), epochs=[1])
    strips = read_strips(tmp_path)[0]
    assert pixels(strips.reconstructions).shape[1] == 3 * 66 + 2
    assert pixels(read_picture(tmp_path, "originals.png")).shape[1] == 3 * 66 + 2


def test_a_model_without_samples_keeps_its_reconstructions_only(tmp_path: Path) -> None:
    found = snapshot()
    del found.pictures["samples"]
    keep_snapshot(tmp_path, found, epochs=[1])
    strips = read_strips(tmp_path)[0]
    assert strips.samples is None
    assert strips.reconstructions is not None


def test_the_parts_of_the_kl_are_means_over_the_images(tmp_path: Path) -> None:
    assert read_latents(tmp_path) == {}
    keep_snapshot(tmp_path, snapshot(), epochs=[4])
    assert read_latents(tmp_path) == {
        "epoch": 4,
        "num_images": 2,
        "num_latents": 2,
        "active_units": 1,
        "kl_per_dimension_nats": [2.0, 0.0],
    }
    keep_snapshot(tmp_path, replace(snapshot(), kl_parts={}), epochs=[4, 5])
    written = json.loads((tmp_path / FOLDER / "latents.json").read_text())
    assert written.keys() == {"epoch", "num_images", "num_latents", "active_units"}


def test_a_folder_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("a file where the folder should be")
    with pytest.raises(RunError, match=r"pictures: .*File exists"):
        keep_snapshot(tmp_path, snapshot(), epochs=[1])
