"""What every test gets: no ambient settings, no more threads than help, and the real data sets."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent


def pytest_configure() -> None:
    """Small tensors gain nothing from threads, and lose much when cores are shared."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own VAE_* settings change no test."""
    for name in list(os.environ):
        if name.startswith("VAE_") and name != "VAE_DATA_DIR":
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def data_dir() -> Callable[[str], Path]:
    """A function from the name of a data set to its folder; skips the test where it is absent.

    The sets are looked for in VAE_DATA_DIR, or else in ./data: data_dir("mnist") is
    <that folder>/mnist.
    """
    root = Path(os.environ.get("VAE_DATA_DIR") or ROOT / "data")

    def folder_of(name: str) -> Path:
        folder = root / name
        if not folder.is_dir():
            pytest.skip(f"needs the data set {name!r}: {folder} is no folder; set VAE_DATA_DIR")
        return folder

    return folder_of


@pytest.fixture
def anyio_backend() -> str:
    """The event loop of every async test, whatever others are installed."""
    return "asyncio"
