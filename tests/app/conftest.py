"""A repository with small models in it, and clients of an app over it.

Every test that needs an app in this process opens a client here; one that needs sockets or signals
starts a process with `server_process.serving`.
"""

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import lru_cache
from pathlib import Path

import httpx
import pytest

from app.api.keys import hash_key
from app.main import create_app
from app.serving import loading
from app.settings import Settings
from models.bundle.loading import load_bundle
from tests.app.repository import make_repository
from tests.app.server_process import Served, serving

ClientFactory = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture(scope="session", autouse=True)
def _each_bundle_is_loaded_once() -> Iterator[None]:
    """Apps share loaded bundles: no test changes one, and loading them is most of a test's time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "load_bundle", lru_cache(maxsize=64)(load_bundle))
        yield


@pytest.fixture(autouse=True)
def _logging_stays_as_it_is() -> Iterator[None]:
    """Put back what a server that runs in this process sets."""
    loggers = [logging.getLogger(name) for name in ("app", "app.access", "uvicorn")]
    before = [(one.handlers[:], one.level, one.propagate) for one in loggers]
    yield
    for one, (handlers, level, propagate) in zip(loggers, before, strict=True):
        one.handlers[:] = handlers
        one.setLevel(level)
        one.propagate = propagate


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository that tests share and do not write to."""
    return make_repository(tmp_path_factory.mktemp("repository"))


@asynccontextmanager
async def client_of(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an app whose models are loaded; `client.app` is the app."""
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


@pytest.fixture(scope="session")
def served(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server in a process of its own, which tests share and do not stop.

    The admin key `root` loads and unloads its models.
    """
    log = tmp_path_factory.mktemp("server") / "log"
    flags = ("--model-control", "explicit", "--admin-keys-sha256", hash_key("root"))
    with serving(repository, log, "--max-body-bytes", "1000000", *flags) as server:
        yield server
