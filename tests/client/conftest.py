"""A service to call: in this process, and in one of its own."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import pytest

from app.main import create_app
from app.settings import Settings
from tests.app.repository import make_repository
from tests.app.server_process import Served, serving
from vae_client import AsyncVAEClient

Opened = Callable[..., AbstractAsyncContextManager[AsyncVAEClient]]


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository that tests share and do not write to."""
    return make_repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture
def open_client(repository: Path) -> Opened:
    """A function from settings, and a client's arguments, to a client of an app here."""

    @asynccontextmanager
    async def opened(
        *, settings: dict[str, object] | None = None, **arguments: object
    ) -> AsyncIterator[AsyncVAEClient]:
        app = create_app(Settings(**{"model_repository": repository, **(settings or {})}))  # type: ignore[arg-type]
        async with app.router.lifespan_context(app):
            await app.state.service.registry.wait()
            transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
            http = httpx.AsyncClient(transport=transport, base_url="http://test")
            async with AsyncVAEClient(http=http, **arguments) as client:  # type: ignore[arg-type]
                yield client

    return opened


@pytest.fixture(scope="session")
def served(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server in a process of its own, which tests share and do not stop."""
    log = tmp_path_factory.mktemp("server") / "log"
    with serving(repository, log) as server:
        yield server
