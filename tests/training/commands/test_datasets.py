"""The commands of `vae-lab datasets`, as typed."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.images import ImageSpec
from tests.training.data.pictures import fill, settle
from tests.training.vae_lab import exit_code
from training.data.datasets import load


def test_datasets_are_listed_with_whether_they_are_at_hand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("datasets", "--data-dir", str(tmp_path)) == 0
    lines = capsys.readouterr().out.splitlines()
    found = {line.split()[1]: line for line in lines if "x8x8" in line or "1x28x20" in line}
    assert "yes" in found["digits"]
    assert "1197/300/300" in found["digits"]
    assert "no" in found["frey-faces"].split()


def test_dataset_is_shown_as_a_picture_and_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("datasets", "show", "digits") == 0
    printed = capsys.readouterr().out
    assert "1,197" in printed
    assert "d522fc1a" in printed
    assert "Training images by class: 0 " in printed
    with Image.open(
        io.BytesIO((tmp_path / "runs" / "digits" / "dataset.png").read_bytes())
    ) as picture:
        assert picture.size == (530, 530)


def test_a_folder_of_images_is_shown_with_what_was_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "my [photos]"
    folder.mkdir()
    for number in range(20):
        Image.new("RGB", (40 + number, 30), (9 * number, 0, 90)).save(folder / f"{number}.png")
    (folder / "notes.txt").write_text("hello")
    assert exit_code("datasets", "show", str(folder), "--output", str(tmp_path / "grid.png")) == 0
    printed = capsys.readouterr().out
    assert "notes.txt" in printed
    assert "my [photos]: the pictures of a folder. Licence: not stated." in printed
    assert "20 sizes from 40 to 59 wide, 30 to 30 high" in printed
    assert "Modes: RGB, 8 bits 20" in printed
    with Image.open(tmp_path / "grid.png") as picture:
        assert picture.mode == "RGB"


def test_showing_the_folder_itself_twice_counts_no_picture_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "photos"
    fill(folder, 12)
    monkeypatch.chdir(folder)
    for _ in range(2):
        assert exit_code("datasets", "show", ".") == 0
        assert "Modes: RGB, 8 bits 12" in capsys.readouterr().out
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == sorted(
        f"{number}.png" for number in range(12)
    )
    assert (folder / "runs" / "photos" / "dataset.png").is_file()


def test_more_files_left_out_than_the_screen_shows_are_all_in_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path / "photos", 12)
    for number in range(30):
        (tmp_path / "photos" / f"{number}.txt").write_text("hello")
    assert exit_code("datasets", "show", str(tmp_path / "photos"), "--output", "grid.png") == 0
    assert "Left out: 30 files, each listed with its reason in runs/photos/left-out.csv." in (
        capsys.readouterr().out
    )
    with (tmp_path / "runs" / "photos" / "left-out.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 30


def test_what_is_doubtful_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path / "data" / "cats", 10)
    fill(tmp_path / "data" / "dogs", 10, start=10)
    fill(tmp_path / "data", 1, start=50)
    (tmp_path / "data" / "birds").mkdir()
    assert exit_code("datasets", "show", "data") == 0
    printed = capsys.readouterr().out
    assert "Warning: 1 picture is left out, such as '50.png'" in printed
    assert "Warning: 1 folder has no picture that can be read" in printed


def test_a_file_that_is_no_data_says_what_data_may_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "faces.zip").write_bytes(b"PK")
    assert exit_code("datasets", "show", "faces.zip") == 1
    assert capsys.readouterr().err == (
        "Error: faces.zip is an archive. Data are a folder of pictures, an .npz, an .npy, "
        "and .tar or .parquet shards. "
        "Unpack it and name the folder: unzip 'faces.zip' -d 'faces'\n"
    )


def test_showing_absent_data_says_where_to_put_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("datasets", "show", "bccd", "--data-dir", str(tmp_path)) == 1
    assert "bccd_cells_32x32.npz" in capsys.readouterr().err


def test_the_cache_is_listed_and_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VAE_CACHE_DIR", str(tmp_path / "kept"))
    monkeypatch.setenv("VAE_CACHE_GB", "3")
    assert exit_code("datasets", "cache") == 0
    assert "The cache has 0.00 of at most 3 GB (VAE_CACHE_GB)." in capsys.readouterr().out
    fill(tmp_path / "[photos]", 12)
    settle(tmp_path / "[photos]")  # what changed a moment ago is not kept
    dataset = load(str(tmp_path / "[photos]"))
    dataset.train.read_levels(ImageSpec(channels=3, height=5, width=4))
    assert exit_code("datasets", "cache") == 0
    printed = capsys.readouterr().out
    rows = [line for line in printed.splitlines() if f"{tmp_path}/[photos]" in line]
    assert ["train, 4x5x3" in row for row in rows] == [True, False]
    assert ["statistics" in row for row in rows] == [False, True]
    assert f"Its folder is {tmp_path}/kept (VAE_CACHE_DIR)." in printed
    assert exit_code("datasets", "cache", "--clear") == 0
    assert "Deleted 2 files of 0.0 MB in " in capsys.readouterr().out
    assert list((tmp_path / "kept").iterdir()) == []


def test_the_split_is_shown_with_its_groups(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = np.random.default_rng(0)
    for number in range(60):
        pixels = generator.integers(0, 256, (8, 8), dtype=np.uint8)
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"p{number % 20}_{number}.png")
    assert exit_code("datasets", "show", "photos", "--group-by", "^([^_]+)_") == 0
    assert "Split: at random by group; 20 groups kept whole." in capsys.readouterr().out
    assert exit_code("datasets", "show", "photos") == 0
    assert "Split: at random by content hash." in capsys.readouterr().out
    assert exit_code("datasets", "show", "photos", "--group-by", "(") == 1
    assert "'(' is no regular expression" in capsys.readouterr().err
