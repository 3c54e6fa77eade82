"""What tests of the models share: a tiny bundle on disk."""

from pathlib import Path

import pytest

from tests.models.bundle_cases import (
    save,
    tiny_vae,
)


@pytest.fixture
def bundle(tmp_path) -> Path:
    """A tiny bundle that loads."""
    path = tmp_path / "tiny" / "1"
    save(path, tiny_vae())
    return path
