"""A repository with small models in it, and clients of an app over it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import pytest

from app.main import create_app
from app.settings import Settings
from tests.app.repository import make_repository

ClientFactory = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository that most tests share; none of them writes to it."""
    return make_repository(tmp_path_factory.mktemp("repository"))


@asynccontextmanager
async def client_of(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an app whose models are loaded."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        await app.state.service.registry.wait()
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            client.app = app  # type: ignore[attr-defined]
            yield client


@pytest.fixture
def open_client(repository: Path) -> ClientFactory:
    """A function from settings to a client."""

    def make(**settings: object) -> AbstractAsyncContextManager[httpx.AsyncClient]:
        return client_of(Settings(**{"model_repository": repository, **settings}))  # type: ignore[arg-type]

    return make
