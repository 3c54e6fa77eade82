"""The commands of `vae-lab datasets`, as typed."""

import io
from pathlib import Path

import pytest
from PIL import Image

from tests.training.vae_lab import exit_code


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
    with Image.open(io.BytesIO((tmp_path / "digits.png").read_bytes())) as picture:
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


def test_showing_absent_data_says_where_to_put_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("datasets", "show", "bccd", "--data-dir", str(tmp_path)) == 2
    assert "bccd_cells_32x32.npz" in capsys.readouterr().err
