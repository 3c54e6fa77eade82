"""Loading and unloading by requests: who may, what is answered, and what serves afterwards."""

import asyncio
import gc
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from app.api.keys import hash_key
from app.api.model_descriptions import ModelControl, ModelDescription, ModelList
from app.operations.table import OPERATIONS
from app.serving import loading
from app.serving.wishes import Action
from models.bundle import loading as bundle_loading
from tests.app.changing_repository import put, put_broken
from tests.app.conftest import ClientFactory
from tests.app.refusals import refused
from tests.app.repository import SIDE

pytestmark = pytest.mark.anyio

ADMIN = {"Authorization": "Bearer root"}
OPEN = {"model_control": "explicit", "admin_keys_sha256": (hash_key("root"),)}


@pytest.fixture(autouse=True)
def _each_load_reads_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "load_bundle", bundle_loading.load_bundle)


async def until(
    client: httpx.AsyncClient, path: str, condition: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    """The first answer of a path that meets a condition."""
    deadline = time.monotonic() + 30
    while not condition(found := (await client.get(path)).json()):
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.01)  # a request in this process alone lets nothing else run
    return dict(found)


# Who may ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("control", ["none", "poll"])
async def test_elsewhere_than_under_explicit_control_it_is_closed(
    open_client: ClientFactory, control: str
) -> None:
    keys = (hash_key("root"),)
    async with open_client(model_control=control, admin_keys_sha256=keys) as client:
        for path in ("/v1/models/mnist/load", "/v1/models/mnist/versions/1/unload"):
            answer = await client.post(path, headers=ADMIN)
            problem = refused(answer, 403, "model-control-closed")
            assert problem["received"] == control
            assert problem["suggestion"] == "VAE_MODEL_CONTROL=explicit"
        assert (await client.get("/v1/sample")).status_code == 200


async def test_without_an_admin_key_it_is_closed(open_client: ClientFactory) -> None:
    async with open_client(model_control="explicit") as client:
        answer = await client.post("/v1/models/mnist/unload", headers=ADMIN)
        problem = refused(answer, 403, "model-control-closed")
        assert problem["parameter"] == "VAE_ADMIN_KEYS_SHA256"
        assert "vae hash-key" in problem["detail"]
        assert (await client.get("/v1/sample")).status_code == 200


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer user"}, {"Authorization": "Basic root"}]
)
@pytest.mark.parametrize("with_api_keys", [False, True])
async def test_only_an_admin_key_opens_it(
    open_client: ClientFactory, headers: dict[str, str], with_api_keys: bool
) -> None:
    keys = {"api_keys_sha256": (hash_key("user"),)} if with_api_keys else {}
    async with open_client(**OPEN, **keys) as client:
        answer = await client.post("/v1/models/mnist/unload", headers=headers)
        problem = refused(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"].startswith("Bearer")
        listed = await client.get("/v1/models", headers=ADMIN)  # an admin key is an API key, too
        assert "unloaded" not in listed.text
        document = (await client.get("/openapi.json")).json()
    if headers == {"Authorization": "Bearer user"}:
        assert "not one of this server's admin keys" in problem["detail"]
    described = document["paths"]["/v1/models/{model}/load"]["post"]
    assert described["security"] == [{"key": []}]
    assert document["security"] == ([{"key": []}] if with_api_keys else [])


# Memory ----------------------------------------------------------------------------------------


async def test_the_memory_of_a_model_that_served_comes_back(
    open_client: ClientFactory, tmp_path: Path
) -> None:
    put(tmp_path, "a", 1)
    image = np.ones((SIDE, SIDE)).tolist()
    async with open_client(model_repository=tmp_path, **OPEN) as client:
        for operation in OPERATIONS.values():
            path = f"/v1/models/a/{operation.name}"
            if operation.method == "GET":
                assert (await client.get(f"{path}?seed=1")).status_code == 200
            elif operation.takes[0] == "images" and operation.name != "classify":
                images = [image] * (2 if operation.name == "interpolate" else 1)
                answer = await client.post(f"{path}?pixel_max=1", json={"images": images})
                assert answer.status_code == 200, answer.text
        service = client.app.state.service  # type: ignore[attr-defined]
        served = service.registry.find("a")
        kept = [weakref.ref(served), weakref.ref(next(served.vae.parameters()))]
        held = served
        del served, service
        await client.post("/v1/models/a/unload", headers=ADMIN)
        await client.get("/v1/sample")  # a refusal, which holds no model of its own
        models = (await client.get("/v1/models")).json()["models"]
        assert {entry["status"] for entry in models} == {"unloaded", "draining"}
        del held
        gc.collect()
        assert [one() for one in kept] == [None, None]
        models = (await client.get("/v1/models")).json()["models"]
        assert [entry["status"] for entry in models] == ["unloaded"]


# What is answered ------------------------------------------------------------------------------


@pytest.fixture
def without_collections() -> Iterator[None]:
    """No garbage collection: what is let go of is gone at once, or stays."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("without_collections")
async def test_unload_and_load_answer_with_the_states_and_count_them(
    open_client: ClientFactory,
) -> None:
    async with open_client(**OPEN) as client:
        unloaded = await client.post("/v1/models/mnist/versions/2/unload", headers=ADMIN)
        assert unloaded.status_code == 200
        first = ModelControl.model_validate_json(unloaded.content)
        assert [(s.version, s.state) for s in first.states] == [(1, "ready"), (2, "unloaded")]
        assert (first.action, first.version, first.default) == ("unload", 2, True)
        assert (first.workers.done, first.workers.total, first.note) == (1, 1, None)
        assert (await client.get("/v1/sample?format=json")).json()["version"] == 1
        problem = refused(
            await client.get("/v1/models/mnist/versions/2/sample"), 404, "unknown-model"
        )
        assert problem["detail"].startswith("Version 2 of mnist is not loaded. Available: 1.")
        listed = ModelList.model_validate_json((await client.get("/v1/models")).content)
        assert ("mnist", 2, "unloaded") in [(m.name, m.version, m.status) for m in listed.models]
        metrics = (await client.get("/metrics")).text
        assert 'vae_model_state{model="mnist",state="unloaded",version="2"} 1.0' in metrics
        assert 'vae_model_state{model="mnist",state="ready",version="2"} 0.0' in metrics
        assert 'vae_bundles{status="ready"} 4.0' in metrics
        loaded = await client.post("/v1/models/mnist/load", headers=ADMIN, json={})
        states = ModelControl.model_validate_json(loaded.content).states
        assert [(s.version, s.state) for s in states] == [(1, "ready"), (2, "ready")]
        described = ModelDescription.model_validate_json(
            (await client.get("/v1/models/mnist")).content
        )
        assert (described.version, described.states) == (2, states)
        metrics = (await client.get("/metrics")).text
        assert 'vae_model_state{model="mnist",state="ready",version="2"} 1.0' in metrics


async def test_unloading_the_default_model_is_allowed_and_said(
    open_client: ClientFactory, tmp_path: Path
) -> None:
    for name in ("mnist", "other"):
        put(tmp_path, name, 1)
    async with open_client(model_repository=tmp_path, **OPEN) as client:
        answer = await client.post("/v1/models/mnist/unload", headers=ADMIN)
        assert answer.json()["default"] is False
        assert answer.json()["note"] == (
            "mnist was the default model: paths that name no model are refused until it is loaded "
            "again, or VAE_DEFAULT_MODEL names another. Load it: POST /v1/models/mnist/load."
        )
        refused(await client.get("/v1/sample"), 409, "no-default-model")  # none stands in
        named = refused(await client.get("/v1/models/mnist/sample"), 404, "unknown-model")
        assert named["detail"] == (
            "The model 'mnist' is not loaded. Its operator can load it. Available: other."
        )
        again = await client.post("/v1/models/mnist/unload", headers=ADMIN)
        assert (again.status_code, again.json()["note"]) == (200, None)
        await client.post("/v1/models/other/unload", headers=ADMIN)
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "no model")
        assert ready.json()["reason"].startswith("The models are not loaded")
        await client.post("/v1/models/mnist/load", headers=ADMIN)
        assert (await client.get("/v1/sample")).status_code == 200


async def test_a_named_default_that_is_unloaded_is_said_to_be(
    open_client: ClientFactory,
) -> None:
    async with open_client(default_model="oracle", **OPEN) as client:
        await client.post("/v1/models/oracle/unload", headers=ADMIN)
        problem = refused(await client.get("/v1/sample"), 404, "unknown-model")
    assert "'oracle', this server's default (VAE_DEFAULT_MODEL), is not loaded" in problem["detail"]


async def test_a_broken_bundle_is_a_409_that_says_why_and_the_old_one_serves(
    open_client: ClientFactory, tmp_path: Path
) -> None:
    put(tmp_path, "a", 1)
    async with open_client(model_repository=tmp_path, **OPEN) as client:
        put_broken(tmp_path, "a", 2)
        answer = await client.post("/v1/models/a/load", headers=ADMIN)
        problem = refused(answer, 409, "broken-model")
        assert "model.safetensors has a size of 7 bytes" in problem["detail"]
        assert str(tmp_path) not in problem["detail"]
        assert (await client.get("/v1/sample?format=json")).json()["version"] == 1
        states = (await client.get("/v1/models/a")).json()["states"]
        assert [(s["version"], s["state"]) for s in states] == [(1, "ready"), (2, "broken")]
        put(tmp_path, "a", 2)
        assert (await client.post("/v1/models/a/load", headers=ADMIN)).status_code == 200
        assert (await client.get("/v1/sample?format=json")).json()["version"] == 2


async def test_a_new_model_can_be_loaded_and_is_reached_and_suggested(
    open_client: ClientFactory, tmp_path: Path
) -> None:
    put(tmp_path, "a", 1)
    async with open_client(model_repository=tmp_path, **OPEN) as client:
        put(tmp_path, "fresh", 1)
        refused(await client.get("/v1/models/fresh/sample"), 404, "unknown-model")
        assert (await client.post("/v1/models/fresh/load", headers=ADMIN)).status_code == 200
        assert (await client.get("/v1/models/fresh/sample")).status_code == 200
        problem = refused(await client.get("/v1/models/frehs/sample"), 404, "unknown-model")
        assert problem["suggestion"] == "fresh"


@pytest.mark.parametrize(
    ("path", "status", "slug", "suggestion"),
    [
        ("/v1/models/mnits/load", 404, "unknown-model", "mnist"),
        ("/v1/models/mnist/versions/9/load", 404, "unknown-model", 2),
        ("/v1/models/mnist/versions/01/load", 422, "invalid-parameter", "GET /v1/models"),
        ("/v1/models/mnist/laod", 404, "not-found", "/v1/models/mnist/load"),
    ],
)
async def test_what_is_not_there_is_refused_with_the_closest(
    open_client: ClientFactory, path: str, status: int, slug: str, suggestion: object
) -> None:
    async with open_client(**OPEN) as client:
        problem = refused(await client.post(path, headers=ADMIN), status, slug)
    assert problem["suggestion"] == suggestion


async def test_the_other_method_is_refused(open_client: ClientFactory) -> None:
    async with open_client(**OPEN) as client:
        answer = await client.get("/v1/models/mnist/load", headers=ADMIN)
    assert answer.headers["allow"] == "POST"
    refused(answer, 405, "method-not-allowed")


async def test_while_the_models_load_commands_wait_for_a_retry(
    open_client: ClientFactory,
) -> None:
    async with open_client(**OPEN) as client:
        registry = client.app.state.service.registry  # type: ignore[attr-defined]
        registry._done.clear()
        answer = await client.post("/v1/models/mnist/load", headers=ADMIN)
        registry._done.set()
    refused(answer, 503, "model-not-ready")
    assert answer.headers["retry-after"] == "1"


async def test_a_model_that_is_loading_is_a_503(open_client: ClientFactory) -> None:
    async with open_client(**OPEN) as client:
        registry = client.app.state.service.registry  # type: ignore[attr-defined]
        await client.post("/v1/models/mnist/unload", headers=ADMIN)
        waiting = {("mnist", 1): "loading"}
        registry.publish(loading.Snapshot(registry.models, waiting=waiting))  # type: ignore[arg-type]
        answer = await client.get("/v1/models/mnist/sample")
    problem = refused(answer, 503, "model-not-ready")
    assert problem["detail"] == "The model mnist is still loading. Retry in a second."


async def test_workers_that_have_not_done_it_yet_make_a_202(
    open_client: ClientFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def by_some(self: object, action: Action, target: object, **options: float) -> object:
        assert options == {"seconds": 120.0}
        return 3, 4

    monkeypatch.setattr("app.api.model_control.Reloader.command", by_some)
    async with open_client(**OPEN) as client:
        answer = await client.post("/v1/models/mnist/load", headers=ADMIN)
        other = await client.post("/v2/repository/models/mnist/load", headers=ADMIN)
    assert (answer.status_code, answer.json()["workers"]) == (202, {"done": 3, "total": 4})
    assert other.status_code == 504  # its clients know no success but 200
    assert other.json()["error"].startswith("3 of 4 workers have done the load of mnist after 120")


# Polling ---------------------------------------------------------------------------------------


async def test_a_repository_that_cannot_be_read_is_said_beside_what_serves(
    open_client: ClientFactory, tmp_path: Path
) -> None:
    repository = tmp_path / "models"
    repository.mkdir()
    put(repository, "a", 1)
    settings = {"model_repository": repository, "model_control": "poll"}
    async with open_client(**settings, model_poll_seconds=0.01) as client:
        repository.rename(tmp_path / "away")
        answer = await until(client, "/v1/models", lambda found: found["fault"] is not None)
        assert [entry["status"] for entry in answer["models"]] == ["ready"]
        assert "cannot be read" in answer["fault"]
        assert answer["reason"] is None
        assert (await client.get("/v1/sample")).status_code == 200
        assert (await client.get("/readyz")).status_code == 200
        (tmp_path / "away").rename(repository)
        await until(client, "/v1/models", lambda found: found["fault"] is None)


async def test_seeded_answers_of_a_named_version_stay_when_another_comes(
    open_client: ClientFactory, tmp_path: Path
) -> None:
    put(tmp_path, "a", 1, seed=1)
    settings = {"model_repository": tmp_path, "model_control": "poll"}
    async with open_client(**settings, model_poll_seconds=0.01) as client:
        before = await client.get("/v1/models/a/versions/1/sample?seed=3&format=npy")
        put(tmp_path, "a", 2, seed=2)
        await until(client, "/v1/models/a", lambda found: found["version"] == 2)
        after = await client.get("/v1/models/a/versions/1/sample?seed=3&format=npy")
        newest = await client.get("/v1/models/a/sample?seed=3&format=npy")
    assert before.content == after.content != newest.content
    assert before.headers["etag"] == after.headers["etag"] != newest.headers["etag"]
    assert newest.headers["x-model-version"] == "2"


async def test_a_bundle_replaced_under_its_version_has_another_etag(
    open_client: ClientFactory, tmp_path: Path
) -> None:
    put(tmp_path, "a", 1, seed=1)
    path = "/v1/models/a/versions/1/sample?seed=3&format=npy"
    async with open_client(model_repository=tmp_path, **OPEN) as client:
        before = await client.get(path)
        put(tmp_path, "a", 1, seed=2)
        await client.post("/v1/models/a/load", headers=ADMIN)
        after = await client.get(path, headers={"If-None-Match": before.headers["etag"]})
    assert after.status_code == 200
    assert after.headers["etag"] != before.headers["etag"]
    assert after.headers["x-bundle-digest"] != before.headers["x-bundle-digest"]
