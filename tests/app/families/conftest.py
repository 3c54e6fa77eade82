"""A service of every family, for all tests of a file."""

from pathlib import Path
from typing import Any

import pytest

from app.settings import Settings
from tests.app.conftest import client_of
from tests.app.family_repository import make_families


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop for all tests here, so that one service can answer all of them."""
    return "asyncio"


@pytest.fixture(scope="session")
def families(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository of all families; no test writes to it."""
    return make_families(tmp_path_factory.mktemp("families"))


@pytest.fixture(scope="module")
async def client(families: Path) -> Any:
    """A client of a service that serves them."""
    async with client_of(Settings(model_repository=families)) as opened:
        yield opened
