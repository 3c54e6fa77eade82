"""The OpenAPI document: valid, complete, and its examples are what its schemas say."""

import math
import re
from typing import Any

import pytest
from fastapi.openapi.models import OpenAPI
from starlette.routing import Route

from app.api.examples import ANSWERS
from app.api.openapi import openapi_document, slugs_by_status
from app.api.problems import TABLE, Problem
from app.api.request_schemas import request_model
from app.main import create_app
from app.operations.table import OPERATIONS
from app.settings import Settings
from app.wire.media_types import MEDIA_TYPES
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
    assert bool(parsed.security) == with_keys
    ids = [o["operationId"] for path in document["paths"].values() for o in path.values()]
    assert len(ids) == len(set(ids))


def test_every_route_is_described_and_every_description_is_routed(
    document: dict[str, Any],
) -> None:
    routes = {
        (route.path, method.lower())
        for route in create_app(Settings()).routes
        if isinstance(route, Route) and route.path not in PAGES
        for method in route.methods or ()
    }
    assert routes == {
        (path, method) for path, methods in document["paths"].items() for method in methods
    }


def test_every_parameter_of_a_path_is_described(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for described in methods.values():
            in_path = [p for p in described.get("parameters", []) if p["in"] == "path"]
            assert [p["name"] for p in in_path] == re.findall(r"{(\w+)}", path)
            assert all(p["required"] and p["description"] for p in in_path)


def test_every_reference_points_at_something(document: dict[str, Any]) -> None:
    for reference in references(document):
        assert resolve(document, {"$ref": reference})


def test_every_component_is_referred_to(document: dict[str, Any]) -> None:
    components = document["components"]
    known = {f"#/components/{kind}/{name}" for kind, named in components.items() for name in named}
    assert references(document) == known


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
            request_model(OPERATIONS[name]).model_validate(example)


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


async def test_files_that_stand_as_examples_are_accepted(open_client: ClientFactory) -> None:
    async with open_client() as client:
        for name, described in described_operations(openapi_document()).items():
            for media_type, content in described.get("requestBody", {}).get("content", {}).items():
                url = content.get("examples", {}).get("file", {}).get("externalValue")
                if url is None or name == "classify":  # which the default model cannot
                    continue
                file = (await client.get(url)).content
                headers = {"Content-Type": media_type}
                response = await client.post(f"/v1/{name}", content=file, headers=headers)
                assert response.status_code == 200, (name, media_type, response.text)


@pytest.mark.parametrize("model", ["colour", "mnist", "oracle", "mnist-labelled"])
async def test_examples_of_bodies_are_accepted(open_client: ClientFactory, model: str) -> None:
    async with open_client(default_model=model) as client:
        document = (await client.get("/openapi.json")).json()
        for name, described in described_operations(document).items():
            if "requestBody" in described and (name != "classify" or model == "mnist-labelled"):
                body = described["requestBody"]["content"]["application/json"]["example"]
                response = await client.post(f"/v1/{name}", json=body)
                assert response.status_code == 200, response.text
