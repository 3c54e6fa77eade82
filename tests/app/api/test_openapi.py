"""The OpenAPI document: valid, complete, and its examples are what its schemas say."""

import json
import math
import re
from typing import Any

import pytest
from fastapi.openapi.models import OpenAPI
from starlette.routing import Route

from app.api.examples import ANSWERS
from app.api.openapi import openapi_document
from app.api.openapi_components import slugs_by_status
from app.api.problems import TABLE, Problem, is_open_inference
from app.api.request_schemas import BODIES
from app.main import create_app
from app.operations.table import OPERATIONS
from app.settings import Settings
from app.wire.media_types import ANSWER_TYPES
from tests.app.conftest import ClientFactory

pytestmark = pytest.mark.anyio

PAGES = {"/", "/docs", "/openapi.json", "/problems/{slug}"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return openapi_document()


def described_operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Each operation of the default model, as the document describes it."""
    return {
        operation.name: document["paths"][f"/v1/{operation.name}"][operation.method.lower()]
        for operation in OPERATIONS.values()
    }


def every_operation(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [described for path in document["paths"].values() for described in path.values()]


def references(document: dict[str, Any]) -> set[str]:
    return set(re.findall(r"'\$ref': '(#[^']+)'", str(document)))


def resolve(document: dict[str, Any], described: dict[str, Any]) -> dict[str, Any]:
    """What a reference points at; anything else as it is."""
    found: Any = described
    if "$ref" in described:
        found = document
        for step in described["$ref"].removeprefix("#/").split("/"):
            found = found[step]
    return found  # type: ignore[no-any-return]


@pytest.mark.parametrize("with_keys", [False, True])
def test_the_document_is_openapi(with_keys: bool) -> None:
    document = openapi_document(with_keys=with_keys)
    parsed = OpenAPI.model_validate(document)
    assert parsed.openapi == "3.1.0"
    assert document["info"]["license"]["identifier"] == "MIT"
    assert document["servers"] == [{"url": "/", "description": parsed.servers[0].description}]  # type: ignore[index]


def test_ids_of_operations_are_short_and_unique(document: dict[str, Any]) -> None:
    ids = [described["operationId"] for described in every_operation(document)]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+){0,3}", name) for name in ids)
    assert {"encode", "log_likelihood", "encode_by_model", "encode_by_version"} <= set(ids)
    assert {"live", "ready", "health", "metrics", "list_models", "describe_model"} <= set(ids)


def test_every_operation_has_a_described_tag_a_summary_and_a_refusal(
    document: dict[str, Any],
) -> None:
    tags = {tag["name"] for tag in document["tags"] if tag["description"]}
    used = {described["tags"][0] for described in every_operation(document)}
    assert used == tags
    for described in every_operation(document):
        assert described["summary"]
        assert any(status.startswith("4") for status in described["responses"])


@pytest.mark.parametrize("with_keys", [False, True])
@pytest.mark.parametrize("metrics_open", [False, True])
def test_every_operation_says_whether_it_needs_a_key(with_keys: bool, metrics_open: bool) -> None:
    document = openapi_document(with_keys=with_keys, metrics_open=metrics_open)
    key = [{"key": []}]
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    for path, methods in document["paths"].items():
        for described in methods.values():
            needed = described.get("security", document["security"])
            if path.endswith(("load", "unload")):
                assert needed == key
            elif path in ("/livez", "/readyz", "/healthz") or (path == "/metrics" and metrics_open):
                assert needed == []
            else:
                assert needed == (key if with_keys else [])


def test_no_example_is_the_address_of_a_file(document: dict[str, Any]) -> None:
    assert "externalValue" not in json.dumps(document)  # generators look for it beside the document


def test_a_parameter_is_declared_once(document: dict[str, Any]) -> None:
    names = {
        name for operation in OPERATIONS.values() for name in operation.parameters.model_fields
    }
    for described in described_operations(document).values():
        for content in described.get("requestBody", {"content": {}})["content"].values():
            schema = resolve(document, content["schema"])
            assert not names & schema.get("properties", {}).keys()
            assert "additionalProperties" not in schema  # members are read beside the items, too


def test_every_route_is_described_and_every_description_is_routed(
    document: dict[str, Any],
) -> None:
    routes = {
        (route.path, method.lower())
        for route in create_app(Settings()).routes
        if isinstance(route, Route) and route.path not in PAGES
        if not is_open_inference(route.path)  # whose document KServe publishes
        for method in route.methods or ()
    }
    assert routes == {
        (path, method) for path, methods in document["paths"].items() for method in methods
    }


def test_every_parameter_of_a_path_is_described(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for described in methods.values():
            parameters = [resolve(document, p) for p in described.get("parameters", [])]
            in_path = [p for p in parameters if p["in"] == "path"]
            assert [p["name"] for p in in_path] == re.findall(r"{(\w+)}", path)
            assert all(p["required"] and p["description"] for p in in_path)


def test_every_reference_points_at_something(document: dict[str, Any]) -> None:
    for reference in references(document):
        assert resolve(document, {"$ref": reference})


def test_every_component_is_referred_to(document: dict[str, Any]) -> None:
    components = document["components"]
    known = {
        f"#/components/{kind}/{name}"
        for kind, named in components.items()
        if kind != "securitySchemes"  # which are referred to by name
        for name in named
    }
    assert references(document) == known


def test_every_media_type_has_a_schema_and_json_an_example(document: dict[str, Any]) -> None:
    for name, described in described_operations(document).items():
        answers = described["responses"]["200"]["content"]
        forms = OPERATIONS[name].formats + OPERATIONS[name].streams
        assert set(answers) == {ANSWER_TYPES[form] for form in forms}
        bodies = described.get("requestBody", {"content": {}})["content"]
        assert bool(bodies) == bool(OPERATIONS[name].takes)
        for content in (answers, bodies):
            assert all("schema" in described for described in content.values())
            assert "example" in content.get("application/json", {"example": None})


def test_every_parameter_is_described_and_typed(document: dict[str, Any]) -> None:
    for name, described in described_operations(document).items():
        found = [resolve(document, p) for p in described["parameters"]]
        parameters = {p["name"]: p for p in found}
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
            response = resolve(document, described["responses"][status])
            assert list(response["content"]) == ["application/problem+json"]


def test_examples_of_answers_are_what_the_schemas_say(document: dict[str, Any]) -> None:
    for name, described in described_operations(document).items():
        example = described["responses"]["200"]["content"]["application/json"]["example"]
        answer = OPERATIONS[name].answer.model_validate(example)
        assert answer.model_dump(mode="json", exclude_unset=True, by_alias=True) == example


def test_examples_of_bodies_are_what_the_schemas_say(document: dict[str, Any]) -> None:
    for name, described in described_operations(document).items():
        if "requestBody" in described:
            example = described["requestBody"]["content"]["application/json"]["example"]
            BODIES[OPERATIONS[name].takes].model_validate(example)


def test_every_type_of_problem_has_an_example_that_its_schema_allows(
    document: dict[str, Any],
) -> None:
    for status, slugs in slugs_by_status().items():
        response = document["components"]["responses"][f"Problem{status}"]
        examples = response["content"]["application/problem+json"]["examples"]
        assert list(examples) == slugs
        for slug, example in examples.items():
            problem = Problem.model_validate(example["value"])
            assert (problem.type, problem.status) == (f"/problems/{slug}", status)
            assert problem.detail.count(". ") < 3


def test_the_numbers_of_the_examples_of_scores_add_up() -> None:
    (elbo,), (log_px,) = (ANSWERS[name]["results"] for name in ("elbo", "log-likelihood"))
    bound = elbo["expected_log_likelihood_nats"] - elbo["kl_nats"]
    assert elbo["elbo_nats"] == pytest.approx(bound)
    assert sum(elbo["kl_per_dimension_nats"]) == pytest.approx(elbo["kl_nats"])
    gap = log_px["estimate_nats"] - log_px["elbo_nats"]
    assert log_px["gap_lower_bound_nats"] == pytest.approx(gap)
    for score, nats in ((elbo, elbo["elbo_nats"]), (log_px, log_px["estimate_nats"])):
        assert score["bits_per_dim"] == pytest.approx(-nats / (28 * 28 * math.log(2)), rel=1e-3)


async def test_files_that_the_document_names_are_accepted(open_client: ClientFactory) -> None:
    async with open_client() as client:
        for name, described in described_operations(openapi_document()).items():
            for media_type, content in described.get("requestBody", {}).get("content", {}).items():
                named = re.search(r"GET (\S+) gives", content["schema"].get("description", ""))
                if named is None or name == "classify":  # which the default model cannot
                    continue
                file = (await client.get(named[1])).content
                headers = {"Content-Type": media_type}
                response = await client.post(f"/v1/{name}", content=file, headers=headers)
                assert response.status_code == 200, (name, media_type, response.text)


async def test_an_answer_has_the_first_media_type_unless_another_is_asked_for(
    open_client: ClientFactory,
) -> None:
    async with open_client(default_model="mnist-labelled") as client:
        del client.headers["Accept"]
        document = (await client.get("/openapi.json")).json()
        for name, described in described_operations(document).items():
            first = next(iter(described["responses"]["200"]["content"]))
            body = described.get("requestBody", {"content": {"application/json": {}}})["content"]
            sent = body["application/json"].get("example")
            method = OPERATIONS[name].method
            for headers in ({}, {"Accept": "*/*"}):
                answer = await client.request(method, f"/v1/{name}", json=sent, headers=headers)
                assert answer.headers["content-type"] == first, (name, answer.text)


@pytest.mark.parametrize("model", ["colour", "mnist", "oracle", "mnist-labelled"])
async def test_examples_of_bodies_are_accepted(open_client: ClientFactory, model: str) -> None:
    async with open_client(default_model=model) as client:
        document = (await client.get("/openapi.json")).json()
        for name, described in described_operations(document).items():
            if "requestBody" in described and (name != "classify" or model == "mnist-labelled"):
                body = described["requestBody"]["content"]["application/json"]["example"]
                response = await client.post(f"/v1/{name}", json=body)
                assert response.status_code == 200, response.text
