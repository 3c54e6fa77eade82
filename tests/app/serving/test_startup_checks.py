"""What is checked before any model is loaded, whoever starts the service."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.main import create_app
from app.serving.startup_checks import check_bounds, check_startup
from models.errors import ConfigError
from tests.app.repository import make_repository
from tests.app.server_process import ROOT, free_port


@pytest.mark.parametrize(
    "device", ["cuda:99", "meta", "gpu", "CPU", "cpu ", "xla", "privateuseone", ""]
)
def test_a_device_that_cannot_compute_is_refused(repository: Path, device: str) -> None:
    with pytest.raises(ConfigError, match=r"^VAE_DEVICE=.* Use VAE_DEVICE=cpu\.$"):
        check_startup(repository, None, device)


@pytest.mark.parametrize("kind", ["missing", "file", "link", "loop", "pipe"])
def test_a_repository_that_is_no_folder_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind == "file":
        path.write_text("")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind != "missing":
        path.symlink_to(path if kind == "loop" else tmp_path / "gone")
    with pytest.raises(ConfigError) as caught:
        check_startup(path, None, "cpu")
    fault = {"missing": "does not exist", "file": "is not a folder", "pipe": "is not a folder"}
    words = fault.get(kind, "is a link that leads to no folder")
    assert str(caught.value).startswith(f"VAE_MODEL_REPOSITORY={path} {words}. Set it to a folder")


def test_a_default_model_is_a_folder_of_the_repository(repository: Path, tmp_path: Path) -> None:
    check_startup(repository, "colour", "cpu")
    check_startup(tmp_path, "colour", "cpu")  # empty: what is missing is said by /readyz
    with pytest.raises(
        ConfigError, match=r"VAE_DEFAULT_MODEL=colur names .* mean 'colour'\? Avail"
    ):
        check_startup(repository, "colur", "cpu")


def test_all_bodies_together_have_room_for_the_largest() -> None:
    check_bounds(max_body_bytes=100, max_buffered_bytes=100)
    with pytest.raises(ConfigError) as caught:
        check_bounds(max_body_bytes=100, max_buffered_bytes=99)
    words = str(caught.value)
    assert words.startswith("VAE_MAX_BUFFERED_BYTES=99 is below VAE_MAX_BODY_BYTES=100: ")
    assert words.endswith(" Set VAE_MAX_BUFFERED_BYTES=100, or more.")


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("VAE_DEVICE", "cuda:99", "VAE_DEVICE=cuda:99 is not available on this machine."),
        ("VAE_DEFAULT_MODEL", "nope", "VAE_DEFAULT_MODEL=nope names no model here."),
        ("VAE_MODEL_REPOSITORY", "/nowhere", "VAE_MODEL_REPOSITORY=/nowhere does not exist."),
        (
            "VAE_MAX_BUFFERED_BYTES",
            "1000",
            "VAE_MAX_BUFFERED_BYTES=1000 is below VAE_MAX_BODY_BYTES=33554432: ",
        ),
        ("VAE_API_KEYS_SHA256", "hush", "VAE_API_KEYS_SHA256 holds a value that is not a sha256"),
        ("VAE_SETTINGS_FILE", "/nowhere", "VAE_SETTINGS_FILE=/nowhere is not a file."),
    ],
)
def test_an_app_of_the_environment_ends_with_one_message(
    repository: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
) -> None:
    monkeypatch.setenv("VAE_MODEL_REPOSITORY", str(repository))
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as stopped:
        create_app()
    assert str(stopped.value).startswith(f"Error: {words}")
    assert "hush" not in str(stopped.value)


def test_an_app_of_the_environment_warns_of_a_misspelt_variable(
    repository: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("VAE_MODEL_REPOSITORY", str(repository))
    monkeypatch.setenv("VAE_MAX_ITMES", "5")
    create_app()
    (record,) = caplog.records
    assert record.fields == {"variable": "VAE_MAX_ITMES", "suggestion": "VAE_MAX_ITEMS"}  # type: ignore[attr-defined]


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ["-m", "uvicorn", "--factory", "app.main:create_app", "--port"],
        ["-m", "app", "serve", "--port"],
    ],
)
def test_a_server_without_its_device_stops_at_once_with_one_message(
    tmp_path: Path, command: list[str]
) -> None:
    environment = {**os.environ, "VAE_DEVICE": "cuda:99"}
    environment["VAE_MODEL_REPOSITORY"] = str(make_repository(tmp_path))
    ended = subprocess.run(
        [sys.executable, *command, str(free_port())],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 1
    last = ended.stderr.strip().splitlines()[-1]
    assert last == "Error: VAE_DEVICE=cuda:99 is not available on this machine. Use VAE_DEVICE=cpu."
    assert "Traceback" not in ended.stderr
