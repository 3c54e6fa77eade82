"""The app over models that are loaded already, as a worker's process gets them."""

import gc
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request
from starlette.types import Message

from app.api.problems import answer_vae_error
from app.cli.server import keep_out_of_collections
from app.main import create_app, entry, make_registry
from app.settings import Settings
from models.errors import ConfigError

pytestmark = pytest.mark.anyio


async def test_loaded_models_are_served_at_once(repository: Path) -> None:
    settings = Settings(model_repository=repository)
    registry = make_registry(settings, 1)
    registry.load()
    app = create_app(settings, registry)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            assert (await client.get("/readyz")).json() == {"status": "ok"}
            assert (await client.get("/v1/sample")).status_code == 200


async def test_a_server_enters_behind_fastapis_own_layers(repository: Path) -> None:
    app = create_app(Settings(model_repository=repository))
    inside = entry(app)
    transport = httpx.ASGITransport(app=inside)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.get("/livez")).status_code == 200
    asked = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    said: list[str] = []

    async def receive() -> Message:
        return asked.pop(0)

    async def send(message: Message) -> None:
        said.append(message["type"])

    await inside({"type": "lifespan", "state": {}}, receive, send)
    assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_what_there_is_is_kept_out_of_collections() -> None:
    before = gc.get_threshold()
    try:
        keep_out_of_collections()
        assert gc.get_freeze_count() > 10_000
        assert gc.get_threshold()[0] > before[0]
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


async def test_a_fault_of_the_server_is_raised_for_the_log() -> None:
    with pytest.raises(ConfigError):
        await answer_vae_error(Request({"type": "http"}), ConfigError("no fault of the caller"))
