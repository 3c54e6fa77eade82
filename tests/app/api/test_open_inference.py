"""The Open Inference Protocol: its pages, inference as under /v1, refusals in its form."""

import base64
import io
import logging
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from starlette.routing import Route

from app.api.keys import hash_key
from app.api.unknown_paths import INFERENCE_TEMPLATES
from app.main import create_app
from app.operations.table import OPERATIONS
from app.settings import Settings
from tests.app.api.calls import body_of
from tests.app.changing_repository import put, put_broken
from tests.app.conftest import ClientFactory
from tests.app.inference_calls import (
    LATENT_ROWS,
    PICTURES,
    arrays_of,
    entry,
    inputs_of,
    raw_body,
    refused,
)
from tests.app.pictures import encoded

pytestmark = pytest.mark.anyio

ADMIN = {"Authorization": "Bearer root"}
OPEN = {"model_control": "explicit", "admin_keys_sha256": (hash_key("root"),)}
EVERYTHING: dict[str, dict[str, Any]] = {
    "encode": {"num_samples": 3},
    "reconstruct": {"with_error": True},
    "elbo": {"pixels": True},
    "log-likelihood": {"num_samples": 200},
    "anomaly": {"map": "overlay"},
    "sample": {"n": 2},
    "interpolate": {"steps": 3},
}
"""Parameters that give every output of an operation that there can be."""


async def infer(
    client: httpx.AsyncClient, name: str, *inputs: dict[str, Any], **members: Any
) -> httpx.Response:
    """An inference request in JSON."""
    path = f"/v2/models/{name}/infer"
    return await client.post(path, json={"inputs": list(inputs), **members})


def test_every_path_may_be_suggested_and_is_documented() -> None:
    routes = {
        route.path.replace("/v2/models/{model}", "/v2/models/{name}")
        for route in create_app(Settings()).routes
        if isinstance(route, Route) and route.path.startswith("/v2")
    }
    assert routes == set(INFERENCE_TEMPLATES)
    page = (Path(__file__).parents[3] / "docs" / "open-inference.md").read_text(encoding="utf-8")
    assert not [path for path in routes if path.replace("/versions/{version}", "") not in page]


# Pages -----------------------------------------------------------------------------------------


async def test_health_and_the_server(open_client: ClientFactory) -> None:
    async with open_client() as client:
        for page in ("live", "ready"):
            health = await client.get(f"/v2/health/{page}")
            assert (health.status_code, health.json()) == (200, {"live": True, "ready": True})
        server = (await client.get("/v2")).json()
        assert server["name"] == "vae-serve"
        assert server["extensions"] == ["binary_tensor_data", "model_repository"]
        client.app.state.lifecycle.draining = True  # type: ignore[attr-defined]
        ready = await client.get("/v2/health/ready")
        assert (ready.status_code, ready.json()) == (503, {"live": True, "ready": False})
        assert (await client.get("/v2/health/live")).status_code == 200


async def test_each_operation_that_a_model_has_is_a_model(open_client: ClientFactory) -> None:
    async with open_client() as client:
        listed = (await client.post("/v2/repository/index", json={"ready": True})).json()
        names = {(known["name"], known["version"]) for known in listed}
        assert {("mnist", "1"), ("mnist.encode", "1"), ("mnist.encode", "2")} <= names
        assert ("mnist-labelled.classify", "1") in names
        assert ("mnist.classify", "1") not in names
        for name, version in sorted(names):
            prefix = f"/v2/models/{name}/versions/{version}"
            ready = await client.get(f"{prefix}/ready")
            assert (ready.status_code, ready.json()) == (200, {"name": name, "ready": True})
            described = (await client.get(prefix)).json()
            assert (described["name"], described["platform"]) == (name, "vae")
            assert version in described["versions"]
            assert bool(described["outputs"]) == ("." in name)
        assert "cannot classify" in refused(await client.get("/v2/models/mnist.classify"), 409)
        message = refused(await client.get("/v2/models/mnist.encod/ready"), 404)
        assert message == "mnist.encod names no operation. Did you mean mnist.encode?"
        message = refused(await infer(client, "mnist"), 404)
        assert message.startswith("mnist names no operation. Name one: mnist.encode, ")
        assert "'mnit'" in refused(await client.get("/v2/models/mnit.encode"), 404)
        refused(await client.get("/v2/models/mnist.encode/versions/01"), 422)
        refused(await client.get("/v2/models/mnist.encode/versions/9/ready"), 404)
        refused(await client.post("/v2/infer", json={"inputs": []}), 404)


# Inference -------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_tensors_are_the_values_of_v1_and_as_declared(
    open_client: ClientFactory, operation: str
) -> None:
    model = "mnist-labelled" if operation == "classify" else "mnist"
    parameters = EVERYTHING.get(operation, {})
    if "seed" in OPERATIONS[operation].parameters.model_fields:
        parameters = {"seed": 7, **parameters}
    async with open_client() as client:
        name = f"{model}.{operation}"
        inputs = inputs_of(operation)
        answer = await infer(client, name, *inputs, parameters=parameters, id="a")
        raw = await infer(
            client, name, *inputs, parameters={**parameters, "binary_data_output": True}
        )
        described = (await client.get(f"/v2/models/{name}")).json()
        body = {} if operation == "sample" else body_of(operation)
        if operation == "decode":
            body = {"json": {"latents": LATENT_ROWS.tolist()}}
        elif body:
            body = {"json": {"images": PICTURES[:, 0].tolist()}}
        method = OPERATIONS[operation].method
        query = {"format": "npz", **parameters}
        path = f"/v1/models/{model}/{operation}"
        expected = await client.request(method, path, params=query, **body)
    assert answer.status_code == expected.status_code == 200, answer.text + expected.text
    want = np.load(io.BytesIO(expected.content))
    found, document = arrays_of(answer), answer.json()
    assert (document["model_name"], document["id"]) == (name, "a")
    assert document["model_version"] == str(want["version"])
    assert document["parameters"].get("seed") == (want["seed"].item() if "seed" in want else None)
    declared = {output["name"]: output for output in described["outputs"]}
    assert list(found) == [name for name in declared if name in found]
    for name, array in found.items():
        np.testing.assert_array_equal(array, want[name])
        shape = declared[name]["shape"]
        assert len(shape) == array.ndim
        assert all(side in (-1, n) for side, n in zip(shape, array.shape, strict=True))
    per_item = {name for name in want.files if want[name].ndim and name != "preprocessing_steps"}
    null = {"kl_per_group_nats", "tolerance_met"}
    assert per_item - null == set(found)
    length = int(raw.headers["inference-header-content-length"])
    assert raw.headers["content-type"] == "application/octet-stream"
    at = length
    for output in httpx.Response(200, content=raw.content[:length]).json()["outputs"]:
        size = output["parameters"]["binary_data_size"]
        assert output["datatype"] == declared[output["name"]]["datatype"]
        if output["datatype"] != "BYTES":
            assert raw.content[at : at + size] == found[output["name"]].tobytes()
        at += size
    assert at == len(raw.content)


async def test_pictures_come_as_numbers_as_files_and_as_base64(open_client: ClientFactory) -> None:
    files = [encoded(picture[0]) for picture in PICTURES]
    texts = [base64.b64encode(file).decode() for file in files]
    counted = b"".join(len(file).to_bytes(4, "little") + file for file in files)
    raw_files = {
        "name": "images",
        "shape": [2],
        "datatype": "BYTES",
        "parameters": {"binary_data_size": len(counted)},
    }
    as_text = {"name": "images", "shape": [2], "datatype": "BYTES", "data": texts}
    unit = (PICTURES / 255).astype(np.float32)
    raw_numbers = {
        "name": "images",
        "shape": list(unit.shape),
        "datatype": "FP32",
        "parameters": {"binary_data_size": unit.nbytes},
    }
    async with open_client() as client:
        path = "/v2/models/mnist.encode/infer?seed=1"
        one = entry("images", PICTURES)
        answers = [
            await client.post(path, json={"inputs": [one]}),
            await client.post(path, json={"inputs": [as_text]}),
            await client.post(path, **raw_body({"inputs": [raw_files]}, counted)),
            await client.post(path, **raw_body({"inputs": [raw_numbers]}, unit.tobytes())),
        ]
        headers = {"Inference-Header-Content-Length": "0"}
        alone = await client.post(path, content=unit.tobytes(), headers=headers)
        several = await client.post(
            "/v2/models/mnist.interpolate/infer", content=b"", headers=headers
        )
    means = [arrays_of(answer)["mean"] for answer in answers]
    assert all(np.array_equal(mean, means[0]) for mean in means)
    assert means[0].tobytes() in alone.content
    assert "takes 2 inputs" in refused(several, 415)


async def test_outputs_are_chosen_and_each_may_be_raw(open_client: ClientFactory) -> None:
    async with open_client() as client:
        wanted = [{"name": "std", "parameters": {"binary_data": False}}, {"name": "mean"}]
        parameters = {"binary_data_output": True, "sequence_id": 3, "priority": 1}
        answer = await infer(
            client, "mnist.encode", *inputs_of("encode"), outputs=wanted, parameters=parameters
        )
        length = int(answer.headers["inference-header-content-length"])
        std, mean = httpx.Response(200, content=answer.content[:length]).json()["outputs"]
        assert (std["name"], len(std["data"]), mean["name"]) == ("std", 8, "mean")
        assert mean["parameters"]["binary_data_size"] == len(answer.content) - length
        message = refused(
            await infer(client, "mnist.encode", *inputs_of("encode"), outputs=[{"name": "z"}]), 422
        )
        assert message.startswith("z is no output of mnist.encode. It has preprocessing, mean")
        message = refused(
            await infer(
                client, "mnist.encode", *inputs_of("encode"), outputs=[{"name": "samples"}]
            ),
            422,
        )
        assert message.startswith("samples is null in this answer")
        pixels = await infer(client, "mnist.sample", parameters={"n": 1, "dtype": "uint8"})
        assert pixels.json()["outputs"][0]["datatype"] == "UINT8"


@pytest.mark.parametrize(
    ("name", "inputs", "parameters", "status", "says"),
    [
        ("mnist.encode", [], {}, 422, "has no input images"),
        ("mnist.sample", [entry("images", PICTURES)], {}, 422, "It has none"),
        ("mnist.encode", None, {"sed": 1}, 422, "Did you mean 'seed'?"),
        ("mnist.encode", None, {"format": "npy"}, 422, "Leave format out"),
        ("mnist.encode", None, {"timeout": "soon"}, 422, "no positive number of microseconds"),
        ("mnist.log-likelihood", None, {"timeout": 1}, 504, "takes longer than 1e-06 s"),
        ("mnist.encode", [entry("images", PICTURES[:, :, :3])], {"resize": "never"}, 422, "8"),
        ("mnist.decode", [entry("latents", LATENT_ROWS[:, :2], "FP32")], {}, 422, "(N, 4)"),
        (
            "mnist.decode",
            [{"name": "latents", "shape": [1], "datatype": "BYTES", "data": ["a"]}],
            {},
            415,
            "Send FP32",
        ),
        ("mnist-labelled.decode", [entry("latents", LATENT_ROWS, "FP32")], {}, 422, "label"),
        ("mnist.sample", [], {"n": 10**6}, 413, "VAE_MAX_ITEMS"),
        ("mnist.log-likelihood", None, {"num_samples": 10**9}, 413, "VAE_MAX_NUM_SAMPLES"),
    ],
)
async def test_what_v1_refuses_is_refused_in_the_protocols_form(
    open_client: ClientFactory,
    name: str,
    inputs: list[dict[str, Any]] | None,
    parameters: dict[str, Any],
    status: int,
    says: str,
) -> None:
    given = inputs_of(name.partition(".")[2]) if inputs is None else inputs
    async with open_client() as client:
        assert says in refused(await infer(client, name, *given, parameters=parameters), status)


async def test_limits_keys_and_paths_are_refused_in_the_protocols_form(
    open_client: ClientFactory,
) -> None:
    keys = (hash_key("user"),)
    async with open_client(max_body_bytes=1000, api_keys_sha256=keys) as client:
        assert (await client.get("/v2/health/ready")).status_code == 200
        assert "carries no API key" in refused(await client.get("/v2"), 401)
        client.headers["Authorization"] = "Bearer user"
        assert (await client.get("/v2")).status_code == 200
        path = "/v2/models/mnist.encode/infer"
        assert "over this server's limit" in refused(
            await client.post(path, content=b"x" * 2000), 413
        )
        packed = await client.post(path, content=b"x", headers={"Content-Encoding": "gzip"})
        assert "uncompressed" in refused(packed, 415)
        late = await client.post(path, content=b"x", headers={"X-Request-Timeout-Seconds": "no"})
        assert "X-Request-Timeout-Seconds" in refused(late, 422)
        assert "is POST" in refused(await client.get(path), 405)
        for path, meant in (
            ("/v2/model/mnist.elbo", "/v2/models/mnist.elbo"),
            ("/v2/models/mnits.elbo/inferr", "/v2/models/mnist.elbo/infer"),
            ("/v2/repository/models/mnits/lod", "/v2/repository/models/mnist/load"),
            ("/v2/sample", "/v1/sample"),
        ):
            assert f"Did you mean {meant}?" in refused(await client.get(path), 404)


async def test_a_large_body_is_read_apart_and_the_request_is_observed(
    open_client: ClientFactory, caplog: pytest.LogCaptureFixture
) -> None:
    pictures = np.repeat(PICTURES, 300, axis=0)
    with caplog.at_level(logging.INFO, logger="app.access"):
        async with open_client() as client:
            headers = {"X-Request-ID": "mine"}
            path, inputs = "/v2/models/mnist.encode/infer", [entry("images", pictures)]
            answer = await client.post(path, json={"inputs": inputs}, headers=headers)
            metrics = (await client.get("/metrics")).text
    assert arrays_of(answer)["mean"].shape == (600, 4)
    assert answer.headers["x-request-id"] == "mine"
    assert answer.headers["x-model-name"] == "mnist"
    assert 'vae_items_total{model="mnist",operation="encode"} 600.0' in metrics
    (line,) = [
        one.fields for one in caplog.records if getattr(one, "fields", {}).get("path") == path
    ]  # type: ignore[attr-defined]
    assert (line["operation"], line["model"], line["status"]) == ("encode", "mnist", 200)


async def test_behind_a_path_prefix_it_is_the_same(open_client: ClientFactory) -> None:
    async with open_client(root_path="/vae") as client:
        transport = httpx.ASGITransport(app=client.app, root_path="/vae")  # type: ignore[attr-defined]
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as inner:
            answer = await infer(inner, "mnist.encode", *inputs_of("encode"))
            assert answer.status_code == 200, answer.text
            refused(await inner.get("/vae/v2/nothing"), 404)


# The repository --------------------------------------------------------------------------------


async def test_models_are_loaded_and_unloaded_as_a_whole(
    open_client: ClientFactory, tmp_path: Path
) -> None:
    put(tmp_path, "a", 1)
    put(tmp_path, "b", 1)
    put_broken(tmp_path, "c", 1)
    async with open_client(model_repository=tmp_path, **OPEN) as client:
        repository = "/v2/repository"
        unloaded = await client.post(
            f"{repository}/models/b/unload",
            headers=ADMIN,
            json={"parameters": {"unload_dependents": False}},
        )
        assert (unloaded.status_code, unloaded.json()) == (200, {"name": "b", "unload": True})
        refused(await client.get("/v2/models/b.encode/ready"), 404)
        listed = (await client.post(f"{repository}/index")).json()
        states = {known["name"]: (known["state"], known["reason"]) for known in listed}
        assert states["a.encode"] == states["a"] == ("READY", "")
        assert states["b"] == ("UNAVAILABLE", "unloaded")
        assert states["c"][0] == "UNAVAILABLE"
        assert states["c"][1]
        assert "b.encode" not in states
        loaded = await client.post(f"{repository}/models/b/load", headers=ADMIN, json={})
        assert loaded.json() == {"name": "b", "load": True}
        assert (await client.get("/v2/models/b.encode/ready")).status_code == 200
        for name, body, status, says in (
            ("a.encode", {}, 422, "one operation of a"),
            ("x", {}, 404, "'x'"),
            ("c", {}, 409, "c"),
            ("a", {"parameters": {"config": "{}"}}, 422, "config is not read"),
        ):
            path = f"{repository}/models/{name}/load"
            assert says in refused(await client.post(path, headers=ADMIN, json=body), status)
        path = f"{repository}/models/a/load"
        assert "no JSON object" in refused(
            await client.post(path, headers=ADMIN, content=b"["), 400
        )
        assert "carries no admin key" in refused(await client.post(path), 401)


async def test_the_repository_is_closed_where_requests_change_no_models(
    open_client: ClientFactory,
) -> None:
    async with open_client() as client:
        closed = await client.post("/v2/repository/models/mnist/unload", headers=ADMIN)
        assert "VAE_MODEL_CONTROL=none" in refused(closed, 403)
