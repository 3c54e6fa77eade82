"""The words of `vae serve` on a terminal."""

from pathlib import Path

import pytest

from app.cli.welcome import welcome
from app.serving.registry import Registry
from tests.app.repository import make_repository


def loaded(repository: Path) -> Registry:
    registry = Registry(repository)
    registry.load()
    return registry


def test_the_models_are_named_and_the_default_one(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    welcome("http://127.0.0.1:8000", loaded(repository), docs=True)
    words = capsys.readouterr().err
    assert "vae-serve listens on http://127.0.0.1:8000\n" in words
    rows = [line.strip("│ ").split() for line in words.splitlines() if "│" in line]
    assert ["colour", "│", "1", "│", "5", "x", "6", "colour"] in rows
    assert ["mnist", "│", "2", "│", "8", "x", "8", "grey", "│", "default"] in rows
    assert "API: http://127.0.0.1:8000/docs\n" in words
    assert "Stop: Ctrl-C\n" in words


def test_a_repository_without_models_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "torn" / "1").mkdir(parents=True)
    welcome("http://127.0.0.1:8000", loaded(tmp_path), docs=False)
    words = capsys.readouterr().err
    assert words.count("torn is broken: ") == 1
    assert "/docs" not in words
    (tmp_path / "torn" / "1").rmdir()
    (tmp_path / "torn").rmdir()
    welcome("http://127.0.0.1:8000", loaded(tmp_path), docs=False)
    assert "VAE_MODEL_REPOSITORY holds no bundles." in capsys.readouterr().err


def test_models_that_each_worker_loads_are_not_listed(capsys: pytest.CaptureFixture[str]) -> None:
    welcome("http://127.0.0.1:8000", None, docs=False)
    assert capsys.readouterr().err == "vae-serve listens on http://127.0.0.1:8000\nStop: Ctrl-C\n"


def test_a_broken_model_beside_others_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_repository(tmp_path)
    (tmp_path / "torn" / "1").mkdir(parents=True)
    welcome("http://127.0.0.1:8000", loaded(tmp_path), docs=False)
    words = capsys.readouterr().err
    assert "mnist" in words
    assert words.count("torn is broken: ") == 1
