"""Options that commands share."""

from pathlib import Path

import numpy as np
import pytest

from tests.training.vae_lab import exit_code
from training.recipes.file import load_recipe

PLOT = ["plot", "bounds", "runs/none"]


def test_a_file_in_a_folder_that_is_missing_is_refused_before_anything_is_computed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for command in (
        ["plot", "bounds", "runs/none", "--output", "here/b.png"],
        ["plot", "bounds", "runs/none", "--csv", "here/b.csv"],
        ["datasets", "show", "digits", "--output", "here/d.png"],
    ):
        assert exit_code(*command) == 1
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
        assert exit_code(*command) == 1
        assert words in capsys.readouterr().err


def test_an_error_shows_names_without_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert exit_code("evaluate", "a\x1b[31m\udcff") == 1
    err = capsys.readouterr().err
    assert r"a\x1b[31m\udcff" in err
    assert "\x1b" not in err


def test_a_size_or_purpose_that_no_model_has_is_refused_before_the_data_are_read(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for code, words, flag in (
        (2, "0 is below 1. Use --size 1.", ["--size", "0"]),
        (1, "Did you mean 'embeddings'?", ["--for", "embedings"]),
    ):
        assert exit_code("train", "no-such-data", *flag) == code
        err = " ".join(capsys.readouterr().err.split())
        assert words in err
        assert "no-such-data" not in err


def test_a_recipe_takes_no_size_and_no_purpose(capsys: pytest.CaptureFixture[str]) -> None:
    for flag in ("--size", "64"), ("--for", "samples"):
        assert exit_code("train", "digits", *flag, "--device", "cpu") == 1
        message = (
            f"{' '.join(flag)} is for data that a recipe is chosen for, and digits is a recipe"
        )
        assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(("name", "kind"), [("digits", "shipped recipe"), ("omniglot", "data set")])
def test_a_folder_that_is_named_like_what_is_shipped_is_not_passed_over_in_silence(
    name: str, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(name).mkdir()
    assert exit_code("train", name, "--for", "samples", "--data-dir", "none") == 1
    said = f"{name} is a {kind}. For the folder of that name, write ./{name}"
    assert said in capsys.readouterr().out


@pytest.mark.slow
def test_size_and_purpose_choose_the_recipe_and_a_resumed_run_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("cells.npy", np.random.default_rng(0).integers(0, 256, (60, 8, 6), dtype=np.uint8))
    command = ["train", "cells.npy", "--size", "4", "--for", "reconstruction", "--device", "cpu"]
    command += ["--set", "training.epochs=1", "--no-tensorboard", "--limit-minutes", "0"]
    assert exit_code(*command) == 0
    assert "- size: 3x4, because the longer side is to be 4, and" in capsys.readouterr().out
    recipe = load_recipe(Path("runs/cells/recipe.toml"))
    assert recipe.image.shape == (1, 4, 3)
    assert recipe.vae.likelihood.kind == "discretized_normal"
    assert exit_code(*command, "--resume") == 0
    assert "keeps its recipe: --for reconstruction changes nothing" in capsys.readouterr().out
