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
        listed = await client.get("/v1/models")
        assert (await client.get("/livez")).status_code == 200
    assert ready.status_code == 503
    reason = "VAE_MODEL_REPOSITORY holds no bundles. Put one into it, <model>/<version>/."
    assert ready.json() == {"status": "no model", "reason": reason}
    assert listed.json() == {"models": [], "reason": reason, "fault": None}
    assert (sample.status_code, sample.json()["type"]) == (404, "/problems/unknown-model")
    assert sample.json()["detail"] == f"This server has no models. {reason}"


async def test_with_broken_bundles_alone_the_reason_of_the_first_is_said(
    open_client: ClientFactory, tmp_path: Path
) -> None:
    (tmp_path / "a" / "1").mkdir(parents=True)
    for reason in (
        "a is broken: <repository>/a/1 has no manifest.json. Export the bundle again.",
    ) * 2:
        async with open_client(model_repository=tmp_path) as client:
            found = (await client.get("/readyz")).json()["reason"]
        assert found.startswith(reason)
        (tmp_path / "b").mkdir(exist_ok=True)
    assert found.endswith(" 1 more are broken: see GET /v1/models.")


async def test_until_models_are_loaded_probes_answer_and_operations_say_when(
    repository: Path,
) -> None:
    app = create_app(Settings(model_repository=repository))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.get("/livez")).json() == {"status": "ok"}
        ready = await client.get("/readyz")
        early = await client.get("/v1/sample")
        listed = await client.get("/v1/models")
    assert listed.json() == {
        "models": [],
        "reason": early.json()["detail"],
        "fault": None,
    }
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
