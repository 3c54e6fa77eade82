"""Parameters that are refused: out of bounds, written otherwise, misspelt, in conflict."""

from typing import Any, get_args

import pytest

from app.api.problems import Problem
from app.operations.table import OPERATIONS
from tests.app.api.calls import body_of
from tests.app.conftest import ClientFactory
from tests.app.pictures import JSON, binary
from tests.app.refusals import refused

pytestmark = pytest.mark.anyio

EMPTY: dict[str, Any] = {"json": {}}
INVALID = ("invalid-parameter",)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("n=0", "n=0 is not a whole number of at least 1. Use n=1."),
        ("n=many", "n=many is not a whole number of at least 1. Use n=16."),
        ("n=1&n=2", "n is '2' in the query and '1' in the query. Give it once."),
        ("seed=-1", "seed=-1 is not a whole number from 0 to 9223372036854775807. Use seed=0."),
        ("seed=9223372036854775808", "Use seed=9223372036854775807."),
        ("seed=1e999", "seed=1e999 is not"),
        ("temperature=nan", "temperature=nan is not a number from 0 to 2."),
        ("temperature=inf", "temperature=inf is not a number from 0 to 2."),
        ("temperature=2.1", "temperature=2.1 is not a number from 0 to 2. Use temperature=2.0."),
        ("output=logits", "output=logits is not one of mean, sample. Use output=mean."),
        ("format=webp", "format=webp is not one of json, png, npy, npz."),
        ("format=pgn", "Did you mean 'png'?"),
        ("nonsense=red", "sample has no parameter 'nonsense'. It has n, temperature,"),
        ("temprature=1", "sample has no parameter 'temprature'. Did you mean 'temperature'?"),
        ("count=3", "sample has no parameter 'count'. Did you mean 'n'?"),
        ("images=a.png", "sample takes no images. Leave images out."),
        ("api_key=k", "no parameter 'api_key'. Send the header Authorization: Bearer KEY instead"),
        ("model=colour", "The model is in the path: /v1/models/colour/sample."),
        ("version=2", "The version is in the path: /v1/models/mnist/versions/2/sample."),
        ("label=" + "x" * 65, "text of at most 64 characters"),
        ("columns=0", "columns=0 is not a whole number from 1 to 1024. Use columns=1."),
        (
            "seed=x&columns=0&n=0",
            "seed=x is not a whole number from 0 to 9223372036854775807. Leave it out. "
            "Also at fault: columns, n.",
        ),
    ],
)
async def test_a_parameter_out_of_its_bounds_is_named(
    open_client: ClientFactory, query: str, named: str
) -> None:
    async with open_client() as client:
        problem = refused(await client.get(f"/v1/sample?{query}"), 422, "invalid-parameter")
    assert named in problem["detail"]
    assert problem["parameter"] == query.partition("=")[0]


WRITTEN_OTHERWISE = (
    "1_0",
    " 1",
    "1 ",
    "1.0",
    "\u0663",
    "\uff11",
    "1e3",
    "0x10",
    "+1",
    "-0",
    "",
    "_1",
    "0b1",
)


def _numbers(kind: type) -> list[tuple[str, str]]:
    """(operation, parameter) of every parameter that is a number of this kind."""
    return [
        (operation.name, name)
        for operation in OPERATIONS.values()
        for name, field in operation.parameters.model_fields.items()
        if kind in (field.annotation, *get_args(field.annotation))
        or (kind is int and name == "pixel_max")
    ]


@pytest.mark.parametrize("written", WRITTEN_OTHERWISE)
async def test_a_whole_number_is_digits_in_every_parameter(
    open_client: ClientFactory, written: str
) -> None:
    async with open_client() as client:
        for name, parameter in _numbers(int):
            operation = OPERATIONS[name]
            url = f"/v1/models/{'mnist-labelled' if name == 'classify' else 'mnist'}/{name}"
            body = body_of(name) if operation.takes else {}
            answers = [
                await client.request(operation.method, url, params={parameter: written}, **body)
            ]
            if operation.takes:
                answers.append(await client.post(url, json={**body["json"], parameter: written}))
            for answer in answers:
                problem = refused(answer, 422, "invalid-parameter")
                assert (problem["parameter"], problem["received"]) == (parameter, written)


@pytest.mark.parametrize(
    "written",
    [
        "1_0.5",
        "\u0663.\u0665",
        "nan",
        "inf",
        "-inf",
        "infinity",
        " 1",
        "+1",
        "0x1p3",
        "",
        "1,5",
        "1e",
    ],
)
async def test_a_number_is_written_in_ascii(open_client: ClientFactory, written: str) -> None:
    async with open_client() as client:
        for name, parameter in _numbers(float):
            operation = OPERATIONS[name]
            body = body_of(name) if operation.takes else {}
            answer = await client.request(
                operation.method, f"/v1/{name}", params={parameter: written}, **body
            )
            assert refused(answer, 422, "invalid-parameter")["parameter"] == parameter


async def test_true_is_no_number(open_client: ClientFactory) -> None:
    async with open_client() as client:
        for parameter in ("num_samples", "seed", "first_item", "pixel_max"):
            answer = await client.post(
                "/v1/elbo", json={**body_of("elbo")["json"], parameter: True}
            )
            assert refused(answer, 422, "invalid-parameter")["parameter"] == parameter


@pytest.mark.parametrize("written", ["0.5", ".5", "5e-1", "1.", "1", "2e0"])
async def test_a_number_may_have_a_point_and_an_exponent(
    open_client: ClientFactory, written: str
) -> None:
    async with open_client() as client:
        answer = await client.get(f"/v1/sample?n=1&temperature={written}")
    assert answer.status_code == 200


async def test_a_refused_parameter_is_said_to_programs_too(open_client: ClientFactory) -> None:
    async with open_client() as client:
        number = refused(await client.get("/v1/sample?n=0"), 422, "invalid-parameter")
        word = refused(await client.get("/v1/sample?format=pgn"), 422, "invalid-parameter")
        long = refused(await client.get(f"/v1/sample?n={'9' * 4000}x"), 422, "invalid-parameter")
        name = refused(await client.get("/v1/sample?sed=1"), 422, "invalid-parameter")
    said = {member: number[member] for member in ("parameter", "received", "limit", "suggestion")}
    assert said == {"parameter": "n", "received": "0", "limit": 1, "suggestion": 1}
    assert (word["allowed"], word["suggestion"]) == (["json", "png", "npy", "npz"], "png")
    assert len(long["received"]) == 203
    assert (name["parameter"], name["suggestion"]) == ("sed", "seed")
    for problem in (number, word, long, name):
        Problem.model_validate(problem)
        assert problem.keys() <= Problem.model_fields.keys()


async def test_a_misspelt_member_of_json_gets_a_suggestion(open_client: ClientFactory) -> None:
    pictures = binary().tolist()
    async with open_client() as client:
        for member, meant in (("image", "images"), ("num_sample", "num_samples")):
            response = await client.post("/v1/encode", json={"images": pictures, member: 1})
            problem = refused(response, 422, "invalid-parameter")
            assert problem["detail"].endswith(f"Did you mean {meant!r}?")
            assert problem["suggestion"] == meant


async def test_query_and_body_must_agree(open_client: ClientFactory) -> None:
    body = {"images": binary().tolist(), "seed": 2}
    async with open_client() as client:
        response = await client.post("/v1/elbo?seed=1", json=body)
        odd = await client.post("/v1/elbo?seed=1", json={**body, "seed": [2]})
    assert (
        "seed is '1' in the query and '2' in the body. Give it once."
        in refused(response, 422, "invalid-parameter")["detail"]
    )
    refused(odd, 422, "invalid-parameter")


@pytest.mark.parametrize(
    ("query", "member", "used"),
    [
        ("seed=7", 7, 7),
        ("num_samples=100", 3, 3),  # a generated client sends the defaults in the query
        ("num_samples=3", 100, 3),
        ("num_samples=3", None, 3),
        ("num_samples=3&num_samples=3", 3, 3),
        ("num_samples=3&num_samples=100", 100, 3),
        ("num_samples=100&num_samples=100", 100, 100),
    ],
)
async def test_a_value_sent_twice_may_be_the_default_or_the_same(
    open_client: ClientFactory, query: str, member: int | None, used: int
) -> None:
    name = query.partition("=")[0]
    body = {"images": binary().tolist(), name: member}
    async with open_client() as client:
        answer = await client.post(f"/v1/elbo?{query}", json=body)
    assert answer.status_code == 200, answer.text
    (result, *_) = answer.json()["results"]
    assert (answer.json()["seed"] if name == "seed" else result["num_samples"]) == used


async def test_huge_integers_in_json_are_refused(open_client: ClientFactory) -> None:
    async with open_client() as client:
        for member in (b'"seed": 1' + b"0" * 400, b'"num_samples": 1' + b"0" * 30):
            body = b'{"images": [[[0, 255]]], ' + member + b"}"
            response = await client.post("/v1/elbo", content=body, headers=JSON)
            assert response.status_code in (400, 422)


@pytest.mark.parametrize(("label", "shown"), [(3.5, "3.5"), (True, "true"), ([1, 2], "[1, 2]")])
async def test_a_label_that_is_no_text_is_refused_with_the_labels(
    open_client: ClientFactory, label: Any, shown: str
) -> None:
    body = {"images": binary().tolist(), "label": label}
    async with open_client() as client:
        labelled = await client.post("/v1/models/mnist-labelled/encode", json=body)
        unlabelled = await client.post("/v1/encode", json=body)
    problem = refused(labelled, 422, "invalid-parameter")
    assert problem["detail"] == f"mnist-labelled has no label {shown}. It has 0, 1, 2."
    assert (problem["parameter"], problem["received"]) == ("label", label)
    assert problem["allowed"] == ["0", "1", "2"]
    assert refused(unlabelled, 422, "invalid-parameter")["parameter"] == "label"


async def test_items_among_the_parameters_are_sent_to_the_body(open_client: ClientFactory) -> None:
    async with open_client() as client:
        same = refused(await client.post("/v1/encode?images=a.png", **EMPTY), 422, *INVALID)
        other = refused(await client.post("/v1/encode?latents=1", **EMPTY), 422, *INVALID)
    assert same["detail"] == (
        "images stands in the query; items are sent in the body. Send files: curl -F images=@FILE."
    )
    assert same["suggestion"] == "curl -F images=@FILE"
    assert other["detail"] == "encode takes no latents, but images in the body. Leave latents out."
