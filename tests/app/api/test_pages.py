"""Models, probes, the OpenAPI document, /docs and the start page."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from app.api.pages import PLAYGROUND
from app.api.problems import TABLE
from app.api.schemas import ModelDescription, ModelList
from app.main import create_app
from app.operations.table import OPERATIONS
from app.settings import Settings
from app.wire.media_types import MEDIA_TYPES
from tests.app.conftest import ClientFactory
from tests.app.refusals import refused
from tests.app.repository import binary_vae, make_repository, write_bundle

pytestmark = pytest.mark.anyio


async def test_models_are_listed_by_version_with_the_default(open_client: ClientFactory) -> None:
    async with open_client() as client:
        listed = ModelList.model_validate_json((await client.get("/v1/models")).content)
    entries = [(m.name, m.version, m.default, m.status) for m in listed.models]
    assert entries == [
        ("colour", 1, False, "ready"),
        ("mnist", 1, False, "ready"),
        ("mnist", 2, True, "ready"),
        ("mnist-labelled", 1, False, "ready"),
        ("oracle", 1, False, "ready"),
    ]


async def test_a_model_says_what_it_is_and_can_do(open_client: ClientFactory) -> None:
    async with open_client() as client:
        newest = await client.get("/v1/models/mnist")
        oldest = await client.get("/v1/models/mnist/versions/1")
        oracle = await client.get("/v1/models/oracle")
    described = ModelDescription.model_validate_json(newest.content)
    assert (described.version, described.versions) == (2, [1, 2])
    assert described.image_shape == [1, 8, 8]
    assert described.latent_shape == [4]
    assert described.is_mass is True
    offered = {operation.name for operation in described.operations}
    assert offered == set(OPERATIONS) - {"classify"}
    assert described.lacks["classes"] == "it was trained without labels"
    assert set(described.capabilities).isdisjoint(described.lacks)
    assert described.evaluation["references"][0] == {
        "estimator": "elbo",
        "num_samples": 100,
        "n": 99,
    }
    assert oldest.json()["version"] == 1
    decode = next(op for op in oracle.json()["operations"] if op["name"] == "decode")
    assert decode["unavailable_options"] == ["output=logits", "label=*"]
    assert decode["path"] == "/v1/models/oracle/versions/1/decode"


async def test_a_broken_bundle_is_reported_and_the_rest_serve(
    open_client: ClientFactory, tmp_path: Path
) -> None:
    make_repository(tmp_path)
    (tmp_path / "mnist" / "2" / "model.safetensors").write_bytes(b"broken")
    async with open_client(model_repository=tmp_path) as client:
        listed = (await client.get("/v1/models")).json()["models"]
        answer = await client.get("/v1/sample?format=json")
        metrics = (await client.get("/metrics")).text
        assert (await client.get("/readyz")).status_code == 200
    (broken,) = [entry for entry in listed if entry["status"] == "broken"]
    assert (broken["name"], broken["version"]) == ("mnist", 2)
    assert "<repository>/mnist/2" in broken["reason"]
    assert str(tmp_path) not in broken["reason"]
    assert answer.json()["version"] == 1
    assert 'vae_bundles{status="broken"} 1.0' in metrics


async def test_without_any_model_the_service_is_not_ready(
    open_client: ClientFactory, tmp_path: Path
) -> None:
    async with open_client(model_repository=tmp_path) as client:
        ready = await client.get("/readyz")
        refused(await client.get("/v1/sample"), 404, "unknown-model")
        assert (await client.get("/livez")).status_code == 200
    assert ready.status_code == 503
    assert ready.json() == {"status": "no model"}


async def test_the_default_model_is_the_one_set_or_mnist_or_the_first(
    open_client: ClientFactory, tmp_path: Path
) -> None:
    async with open_client(default_model="oracle") as client:
        assert (await client.get("/v1/sample?format=json")).json()["model"] == "oracle"
    make_repository(tmp_path)
    shutil.rmtree(tmp_path / "mnist")
    async with open_client(model_repository=tmp_path) as client:
        assert (await client.get("/v1/sample?format=json")).json()["model"] == "colour"


async def test_until_models_are_loaded_probes_answer_and_operations_say_when(
    repository: Path,
) -> None:
    import httpx

    app = create_app(Settings(model_repository=repository))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.get("/livez")).json() == {"status": "ok"}
        ready = await client.get("/readyz")
        early = await client.get("/v1/sample")
    assert (ready.status_code, ready.json()) == (503, {"status": "loading"})
    refused(early, 503, "model-not-ready")
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


# The OpenAPI document --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(Settings()).openapi()


def described_operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        operation.name: document["paths"][f"/v1/{operation.name}"][operation.method.lower()]
        for operation in OPERATIONS.values()
    }


def test_every_operation_has_an_example_for_every_media_type(document: dict[str, Any]) -> None:
    for name, described in described_operations(document).items():
        answers = described["responses"]["200"]["content"]
        assert set(answers) == {MEDIA_TYPES[form] for form in OPERATIONS[name].formats}
        bodies = described.get("requestBody", {"content": {}})["content"]
        assert bool(bodies) == bool(OPERATIONS[name].takes)
        for content in [*answers.values(), *bodies.values()]:
            assert "schema" in content
            assert "example" in content or "examples" in content


def test_every_parameter_is_described_and_typed(document: dict[str, Any]) -> None:
    for name, described in described_operations(document).items():
        parameters = {p["name"]: p for p in described["parameters"]}
        assert set(parameters) == set(OPERATIONS[name].parameters.model_fields)
        for parameter in parameters.values():
            assert parameter["in"] == "query"
            assert parameter["description"]
            assert "null" not in str(parameter["schema"])


def test_every_status_of_an_operation_is_described_as_a_problem(document: dict[str, Any]) -> None:
    statuses = {str(status) for status, _ in TABLE.values()} - {"499"}
    for described in described_operations(document).values():
        assert statuses <= set(described["responses"])
        for status in statuses:
            content = described["responses"][status]["content"]
            assert list(content) == ["application/problem+json"]


def test_examples_of_answers_are_what_the_schemas_say(document: dict[str, Any]) -> None:
    for name, described in described_operations(document).items():
        example = described["responses"]["200"]["content"]["application/json"]["example"]
        OPERATIONS[name].answer.model_validate(example)


def test_every_reference_points_at_something(document: dict[str, Any]) -> None:
    references = set(re.findall(r"'\$ref': '#/components/schemas/(\w+)'", str(document)))
    assert references <= set(document["components"]["schemas"])
    assert not re.search(r"HTTPValidationError", str(document))


@pytest.mark.parametrize("model", ["colour", "mnist", "oracle", "mnist-labelled"])
async def test_examples_of_bodies_are_accepted(open_client: ClientFactory, model: str) -> None:
    async with open_client(default_model=model) as client:
        document = (await client.get("/openapi.json")).json()
        for name, described in described_operations(document).items():
            if "requestBody" in described and (name != "classify" or model == "mnist-labelled"):
                body = described["requestBody"]["content"]["application/json"]["example"]
                response = await client.post(f"/v1/{name}", json=body)
                assert response.status_code == 200, response.text


# Pages -----------------------------------------------------------------------------------------


async def test_docs_and_the_start_page_load_nothing_from_elsewhere(
    open_client: ClientFactory,
) -> None:
    async with open_client() as client:
        for path in ("/", "/docs"):
            page = (await client.get(path)).text
            links = re.findall(r'(?:src|href)="([^"]+)"', page)
            assert links
            assert not [link for link in links if "//" in link]
            for link in links:
                assert (await client.get(f"/{link}")).status_code == 200, link
            assert "https://" not in page


async def test_pages_can_be_turned_off(open_client: ClientFactory) -> None:
    async with open_client(docs=False) as client:
        for path in ("/", "/docs", "/openapi.json", "/assets/page.js"):
            assert (await client.get(path)).status_code == 404


async def test_a_problems_type_says_what_it_means(open_client: ClientFactory) -> None:
    async with open_client() as client:
        known = await client.get("/problems/queue-full")
        unknown = await client.get("/problems/nonsense")
    assert known.text.startswith("Queue full: The queue has no room")
    assert unknown.status_code == 404


def test_the_start_page_calls_only_what_there_is(document: dict[str, Any]) -> None:
    script = (PLAYGROUND / "page.js").read_text(encoding="utf-8")
    called = set(re.findall(r"\$\{modelPath\(\)\}/([\w-]+)", script))
    assert called == {"sample", "reconstruct", "elbo", "classify"}
    assert called <= set(OPERATIONS)
    assert "/v1/models" in document["paths"]
    ids = set(re.findall(r'\$\("(\w+)"\)', script))
    page = (PLAYGROUND / "index.html").read_text(encoding="utf-8")
    assert all(f'id="{name}"' in page for name in ids)


async def test_a_version_in_the_wrong_folder_is_broken(
    open_client: ClientFactory, tmp_path: Path
) -> None:
    from models.images.spec import ImageSpec

    image = ImageSpec(channels=1, height=8, width=8, levels=2, binarization="stochastic")
    write_bundle(tmp_path, "a", 1, binary_vae(), image)
    (tmp_path / "a" / "1").rename(tmp_path / "a" / "7")
    async with open_client(model_repository=tmp_path) as client:
        (entry,) = (await client.get("/v1/models")).json()["models"]
    assert entry["status"] == "broken"


async def test_the_number_of_compute_threads_can_be_set(open_client: ClientFactory) -> None:
    import torch

    before = torch.get_num_threads()
    try:
        async with open_client(compute_threads=1):
            assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
