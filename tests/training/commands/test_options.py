"""Options that commands share."""

from pathlib import Path

import pytest

from tests.training.vae_lab import exit_code

PLOT = ["plot", "bounds", "runs/none"]


def test_a_file_in_a_folder_that_is_missing_is_refused_before_anything_is_computed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for command in (
        ["plot", "bounds", "runs/none", "--output", "here/b.png"],
        ["plot", "bounds", "runs/none", "--csv", "here/b.csv"],
        ["datasets", "show", "digits", "--output", "here/d.png"],
    ):
        assert exit_code(*command) == 2
        assert "no folder here. Make it first: mkdir -p here\n" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("bounds.png").mkdir()
    for words, *command in (
        ("--output file/b.png: file is a file", *PLOT, "--output", "file/b.png"),
        ("--output bounds.png: it is a folder. Name a file in it", *PLOT),
        ("--csv /proc/b.csv: /proc cannot be written (", *PLOT, "--csv", "/proc/b.csv"),
        ("--run-dir file: file is a file", "train", "digits", "--run-dir", "file"),
        ("--run-dir /proc/a/b: /proc cannot", "train", "digits", "--run-dir", "/proc/a/b"),
    ):
        assert exit_code(*command) == 2
        assert words in capsys.readouterr().err


def test_an_error_shows_names_without_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert exit_code("evaluate", "a\x1b[31m\udcff") == 2
    err = capsys.readouterr().err
    assert r"a\x1b[31m\udcff" in err
    assert "\x1b" not in err
