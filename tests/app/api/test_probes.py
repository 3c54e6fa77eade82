"""Probes: alive, ready, loading, draining, without a model."""

from pathlib import Path

import httpx
import pytest

from app.main import create_app
from app.settings import Settings
from tests.app.conftest import ClientFactory

pytestmark = pytest.mark.anyio


async def test_without_any_model_the_service_is_not_ready(
    open_client: ClientFactory, tmp_path: Path
) -> None:
    async with open_client(model_repository=tmp_path) as client:
        ready = await client.get("/readyz")
        sample = await client.get("/v1/sample")
        assert (await client.get("/livez")).status_code == 200
    assert ready.status_code == 503
    assert ready.json() == {"status": "no model"}
    assert (sample.status_code, sample.json()["type"]) == (404, "/problems/unknown-model")


async def test_until_models_are_loaded_probes_answer_and_operations_say_when(
    repository: Path,
) -> None:
    app = create_app(Settings(model_repository=repository))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.get("/livez")).json() == {"status": "ok"}
        ready = await client.get("/readyz")
        early = await client.get("/v1/sample")
    assert (ready.status_code, ready.json()) == (503, {"status": "loading"})
    assert (early.status_code, early.json()["type"]) == (503, "/problems/model-not-ready")
    assert early.headers["retry-after"] == "1"


async def test_a_draining_service_says_so_to_probes_and_still_answers(
    open_client: ClientFactory,
) -> None:
    async with open_client() as client:
        client.app.state.lifecycle.draining = True  # type: ignore[attr-defined]
        ready = await client.get("/readyz")
        assert (await client.get("/healthz")).status_code == 503
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/v1/sample")).status_code == 200
    assert (ready.status_code, ready.json()) == (503, {"status": "draining"})
