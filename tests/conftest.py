"""Fixtures of every test: no VAE_* settings, one thread of torch, and the real data sets."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import tests.checked  # noqa: F401  (pyproject.toml names it)

ROOT = Path(__file__).resolve().parent.parent


def pytest_configure() -> None:
    """Use one thread, since small tensors gain little from more; and a cache of the tests' own."""
    torch.set_num_threads(1)
    os.environ["VAE_CACHE_DIR"] = tempfile.mkdtemp(prefix="vae-cache-")


def pytest_unconfigure() -> None:
    """Delete the tests' cache of decoded pictures."""
    shutil.rmtree(os.environ["VAE_CACHE_DIR"], ignore_errors=True)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove a developer's own VAE_* settings, so that no test depends on them."""
    for name in list(os.environ):
        if name.startswith("VAE_") and name not in ("VAE_DATA_DIR", "VAE_CACHE_DIR"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def data_dir() -> Callable[[str], Path]:
    """Function from the name of a data set to its folder; skips the test without that folder.

    data_dir("mnist") is the folder mnist in VAE_DATA_DIR, or else in ./data.
    """
    root = Path(os.environ.get("VAE_DATA_DIR") or ROOT / "data")

    def folder_of(name: str) -> Path:
        folder = root / name
        if not folder.is_dir():
            pytest.skip(
                f"There is no folder {folder}. Set VAE_DATA_DIR to the folder that has {name}/"
            )
        return folder

    return folder_of


@pytest.fixture
def anyio_backend() -> str:
    """Run async tests on asyncio, even where other event loops are installed."""
    return "asyncio"
