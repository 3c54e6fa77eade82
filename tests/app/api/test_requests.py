"""What is refused: the status, the type, the item at fault, the limit's name."""

import base64
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from app.api.problems import Problem
from app.api.read_items import INLINE_PIXELS, is_small
from app.operations.table import OPERATIONS
from app.serving.snapshot import BrokenBundle
from app.wire.items import Body, Picture
from tests.app.api.calls import body_of
from tests.app.conftest import ClientFactory
from tests.app.pictures import JSON, NPY, NPZ, PNG, binary, encoded, npy, npz
from tests.app.refusals import refused
from tests.app.repository import LATENTS

pytestmark = pytest.mark.anyio

PICTURE = encoded(binary()[0])
EMPTY: dict[str, Any] = {"json": {}}
INVALID = ("invalid-parameter",)


# Parameters ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("n=0", "n=0 is not a whole number of at least 1. Use n=1."),
        ("n=many", "n=many is not a whole number of at least 1. Use n=16."),
        ("n=1&n=2", "n is given twice in the query. Give it once."),
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
            answer = await client.get(f"/v1/{name}", params={parameter: written})
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


async def test_huge_integers_in_json_are_refused(open_client: ClientFactory) -> None:
    async with open_client() as client:
        for member in (b'"seed": 1' + b"0" * 400, b'"num_samples": 1' + b"0" * 30):
            body = b'{"images": [[[0, 255]]], ' + member + b"}"
            response = await client.post("/v1/elbo", content=body, headers=JSON)
            assert response.status_code in (400, 422)


async def test_what_a_model_cannot_do_is_a_conflict(open_client: ClientFactory) -> None:
    latents = {"latents": [[0.0] * 8]}
    async with open_client() as client:
        label = await client.get("/v1/sample?label=seven")
        logits = await client.post("/v1/models/oracle/decode?output=logits", json=latents)
        classify = await client.post("/v1/classify", json={"images": binary().tolist()})
        known = await client.get("/v1/sample?label=1")
    problem = refused(label, 409, "unsupported-operation")
    assert problem["detail"] == (
        "mnist cannot sample with label=seven: it was trained without labels. Leave label out."
    )
    assert (problem["parameter"], problem["received"]) == ("label", "seven")
    assert (
        "oracle cannot decode with output=logits: its likelihood is of the kind normal"
        in (refused(logits, 409, "unsupported-operation")["detail"])
    )
    problem = refused(classify, 409, "unsupported-operation")
    assert problem["detail"] == (
        "mnist cannot classify: it was trained without labels. mnist-labelled can: "
        "/v1/models/mnist-labelled/classify."
    )
    assert (problem["parameter"], problem["received"]) == ("model", "mnist")
    assert problem["suggestion"] == "mnist-labelled"
    problem = refused(known, 409, "unsupported-operation")
    assert problem["detail"] == (
        "mnist cannot sample with label=1: it was trained without labels. mnist-labelled can: "
        "/v1/models/mnist-labelled/sample?label=1. Or leave label out."
    )
    assert (problem["parameter"], problem["received"]) == ("model", "mnist")
    assert (problem["allowed"], problem["suggestion"]) == (["mnist-labelled"], "mnist-labelled")


async def test_an_estimator_that_no_model_has_is_refused_with_the_others(
    open_client: ClientFactory,
) -> None:
    async with open_client() as client:
        response = await client.post(
            "/v1/models/mnist/log-likelihood?estimator=exact", json={"images": binary().tolist()}
        )
    problem = refused(response, 409, "unsupported-operation")
    assert problem["detail"].startswith("mnist cannot estimate log-likelihood with estimator=exact")
    assert problem["detail"].endswith("Leave estimator out.")
    assert (problem["parameter"], problem["received"]) == ("estimator", "exact")
    assert (problem["allowed"], problem["suggestion"]) == (["iwae", "prior"], "iwae")


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


async def test_no_form_that_the_caller_accepts_is_406(open_client: ClientFactory) -> None:
    body = {"images": binary().tolist()}
    async with open_client() as client:
        for response in (
            await client.post("/v1/elbo", json=body, headers={"Accept": "image/png"}),
            await client.get("/v1/sample", headers={"Accept": "text/html"}),
            await client.get("/v1/sample", headers={"Accept": "image/png;q=0"}),
            await client.post(
                "/v1/decode?output=logits&format=png", json={"latents": [[0.0] * LATENTS]}
            ),
        ):
            problem = refused(response, 406, "not-acceptable")
            assert problem["parameter"] in ("Accept", "format")
            assert problem["suggestion"] in problem["allowed"]
        html = await client.get("/v1/sample", headers={"Accept": "text/html"})
        logits = await client.post(
            "/v1/decode?output=logits&format=png", json={"latents": [[0.0] * LATENTS]}
        )
    assert "Send Accept: image/png, or add format=png" in html.json()["detail"]
    assert "format=png does not fit this answer; it has json" in logits.json()["detail"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/nothing",
        "/v1/models/nothing/sample",
        "/v1/models/mnist/versions/9",
        "/v1/models/mnist/versions/9/sample",
    ],
)
async def test_an_unknown_model_or_version_is_404(open_client: ClientFactory, path: str) -> None:
    async with open_client() as client:
        problem = refused(await client.get(path), 404, "unknown-model")
    if "version" in path:
        assert problem["detail"].startswith("Version 9 of mnist does not exist. Available: 1, 2.")
        assert (problem["parameter"], problem["allowed"]) == ("version", [1, 2])
    else:
        assert "There is no model 'nothing'. Available: colour, mnist," in problem["detail"]
        assert problem["parameter"] == "model"


async def test_a_misspelt_model_gets_a_suggestion(open_client: ClientFactory) -> None:
    async with open_client() as client:
        for name in ("mnits", "MNIST"):
            problem = refused(await client.get(f"/v1/models/{name}"), 404, "unknown-model")
            assert (
                f"There is no model {name!r}. Did you mean 'mnist'? Available: colour,"
                in (problem["detail"])
            )
            assert problem["suggestion"] == "mnist"


async def test_a_broken_or_missing_default_model_is_said(
    open_client: ClientFactory, repository: Path
) -> None:
    async with open_client(default_model="zzz") as client:
        missing = refused(await client.get("/v1/sample"), 404, "unknown-model")
        broken = (BrokenBundle("torn", 1, "damaged"), BrokenBundle("mnist", 3, "damaged"))
        registry = client.app.state.service.registry  # type: ignore[attr-defined]
        registry.publish(replace(registry.current, broken=broken))
        model = refused(await client.get("/v1/models/torn"), 404, "unknown-model")
        version = refused(await client.get("/v1/models/mnist/versions/3"), 404, "unknown-model")
    assert "'zzz', this server's default (VAE_DEFAULT_MODEL), does not exist" in missing["detail"]
    assert "such as /v1/models/colour" in missing["detail"]
    assert "'torn' is broken and not served" in model["detail"]
    assert "Version 3 of mnist is broken" in version["detail"]


async def test_a_version_is_a_number(open_client: ClientFactory) -> None:
    async with open_client() as client:
        spellings = ("01", "+1", "1_0", "1.0", "%201", "1%20", "1e0", "0x1", "%D9%A1", "%EF%BC%91")
        for version in ("first", "0", "-1", "9" * 30, "2147483648", *spellings):
            for suffix in ("", "/sample"):
                path = f"/v1/models/mnist/versions/{version}{suffix}"
                problem = refused(await client.get(path), 422, "invalid-parameter")
                assert problem["parameter"] == "version"


# Items -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "status", "slug"),
    [
        ([[[0, 1], [1, 0]]], 422, "invalid-input"),
        ([[[0, 300], [0, 0]]], 422, "out-of-support"),
        ([[[0, -1], [0, 0]]], 422, "out-of-support"),
        ([[[0.0, 1.5], [0, 0]]], 422, "out-of-support"),
        ([[[0, 1], [1]]], 422, "shape-mismatch"),
        ([[["a"]]], 422, "shape-mismatch"),
        ([[[None]]], 422, "shape-mismatch"),
        ([[[{}]]], 422, "shape-mismatch"),
        ([[]], 422, "shape-mismatch"),
        ([[1, 2]], 422, "shape-mismatch"),
        ([[[[[[1]]]]]], 422, "shape-mismatch"),
        ([1], 422, "shape-mismatch"),
        ([None], 422, "shape-mismatch"),
        ([{"url": "http://example.com"}], 422, "shape-mismatch"),
        ([True], 422, "shape-mismatch"),
        (["http://example.com/a.png"], 400, "corrupt-image"),
        (["data:image/png;base64,@@"], 400, "corrupt-image"),
        (["data:image/svg+xml;base64,AAAA"], 415, "unsupported-media"),
        (["AAAA"], 415, "unsupported-media"),
        ([""], 400, "corrupt-image"),
        ([base64.b64encode(PICTURE[:60]).decode()], 400, "corrupt-image"),
        ([], 422, "shape-mismatch"),
        ({}, 422, "shape-mismatch"),
        ("picture", 422, "shape-mismatch"),
        (None, 422, "shape-mismatch"),
    ],
)
async def test_an_image_in_json_that_is_none_is_refused(
    open_client: ClientFactory, images: Any, status: int, slug: str
) -> None:
    async with open_client() as client:
        refused(await client.post("/v1/encode", json={"images": images}), status, slug)


async def test_an_ambiguous_integer_array_names_the_parameter(open_client: ClientFactory) -> None:
    async with open_client() as client:
        response = await client.post("/v1/encode", content=npy(binary() // 255), headers=NPY)
    assert "pixel_max" in refused(response, 422, "invalid-input")["detail"]


async def test_the_items_at_fault_are_named_and_none_is_answered(
    open_client: ClientFactory,
) -> None:
    good, bad = binary()[0].tolist(), [[999]]
    async with open_client() as client:
        response = await client.post("/v1/encode", json={"images": [good, bad, good, bad]})
        array = binary(4).astype(np.float64) / 255
        array[2, 0, 0] = np.nan
        in_array = await client.post("/v1/encode", content=npy(array), headers=NPY)
    problem = refused(response, 422, "out-of-support")
    assert [item["index"] for item in problem["items"]] == [1, 3]
    assert refused(in_array, 422, "out-of-support")["items"] == [
        {"index": 2, "reason": "NaN or infinite"}
    ]


async def test_resize_never_refuses_another_size(open_client: ClientFactory) -> None:
    data = encoded(binary(side=9)[0])
    async with open_client() as client:
        response = await client.post("/v1/encode?resize=never", content=data, headers=PNG)
    refused(response, 422, "shape-mismatch")


@pytest.mark.parametrize(
    ("latents", "slug"),
    [
        ([[0.0] * 3], "shape-mismatch"),
        ([0.0], "shape-mismatch"),
        ([[0.0] * 4, [0.0] * 3], "shape-mismatch"),
        ([[1e39, 0, 0, 0]], "out-of-support"),
        ([], "shape-mismatch"),
    ],
)
async def test_latents_that_cannot_be_decoded_are_refused(
    open_client: ClientFactory, latents: Any, slug: str
) -> None:
    async with open_client() as client:
        refused(await client.post("/v1/decode", json={"latents": latents}), 422, slug)


async def test_latents_that_decode_to_nothing_finite_are_refused(
    open_client: ClientFactory,
) -> None:
    latents = {"latents": [[0.0] * 8, [3e38] * 8]}
    async with open_client() as client:
        response = await client.post("/v1/models/oracle/decode", json=latents)
    assert refused(response, 422, "out-of-support")["items"][0]["index"] == 1


async def test_latents_in_npy_must_be_finite(open_client: ClientFactory) -> None:
    rows = np.zeros((3, LATENTS))
    rows[1, 0] = np.inf
    async with open_client() as client:
        response = await client.post("/v1/decode", content=npy(rows), headers=NPY)
    assert refused(response, 422, "out-of-support")["items"][0]["index"] == 1


async def test_an_interpolation_takes_exactly_two_items_of_one_kind(
    open_client: ClientFactory,
) -> None:
    images, latents = binary(3).tolist(), [[0.0] * LATENTS] * 2
    async with open_client() as client:
        for body in (
            {"images": images},
            {"images": images[:1]},
            {"latents": latents[:1]},
            {"images": images[:2], "latents": latents},
            {},
        ):
            response = await client.post("/v1/interpolate", json=body)
            refused(response, 422, "shape-mismatch")
        one = await client.post("/v1/interpolate", json={"images": images[:1]})
        three = await client.post("/v1/interpolate", json={"latents": [latents[0]] * 3})
        narrow = await client.post("/v1/interpolate", content=npy(np.zeros((2, 5))), headers=NPY)
        odd = await client.post("/v1/interpolate", content=npy(np.zeros((2, 5, 7, 9))), headers=NPY)
    curl = "curl -F images=@first.png -F images=@second.png"
    problem = refused(one, 422, "shape-mismatch")
    assert problem["detail"] == (f"The body holds 1 image; interpolate takes 2. Send 2: {curl}.")
    assert (problem["parameter"], problem["received"], problem["allowed"]) == ("body", 1, [2])
    assert problem["suggestion"] == curl
    problem = refused(three, 422, "shape-mismatch")
    assert problem["detail"].startswith("The body holds 3 latents; interpolate takes 2. Send 2: ")
    assert "@latents.npy" in problem["suggestion"]
    assert refused(narrow, 422, "shape-mismatch")["detail"] == (
        "The body holds 1 image; interpolate takes 2. An array of shape (2, 5) is read as "
        f"pictures; mnist's latents have the shape (2, {LATENTS}). Send 2: {curl}."
    )
    problem = refused(odd, 422, "shape-mismatch")
    assert problem["detail"] == (
        "The body's array of shape (2, 5, 7, 9) is neither pictures nor latents. mnist takes "
        f"pictures (N, 1, 8, 8) or latents (N, {LATENTS}). Send what encode or sample gives."
    )
    assert (problem["parameter"], problem["received"]) == ("body", [2, 5, 7, 9])


async def test_an_operation_refuses_the_other_kind_of_items(open_client: ClientFactory) -> None:
    async with open_client() as client:
        latents = await client.post("/v1/encode", json={"latents": [[0.0] * LATENTS]})
        images = await client.post("/v1/decode", json={"images": binary().tolist()})
        picture = await client.post("/v1/decode", content=PICTURE, headers=PNG)
        npy_ = await client.post("/v1/decode", content=npy(binary(2)), headers=NPY)
    for response in (latents, images, picture, npy_):
        refused(response, 422, "shape-mismatch")
    assert latents.json()["detail"].startswith("The body holds latents; encode takes images. Send ")
    assert (latents.json()["parameter"], latents.json()["received"]) == ("body", ["latents"])
    assert latents.json()["suggestion"] == (
        "curl --data-binary @image.png -H 'Content-Type: image/png'"
    )
    for response in (images, picture):
        detail = response.json()["detail"]
        assert detail.startswith("The body holds images; decode takes latents.")
        assert f"each of {LATENTS} numbers" in detail


# Limits ----------------------------------------------------------------------------------------


async def test_each_limit_refuses_what_is_over_it_and_names_its_setting(
    open_client: ClientFactory,
) -> None:
    images = {"images": binary(3).tolist()}
    cases: list[tuple[dict[str, Any], str, str, dict[str, Any]]] = [
        ({"max_items": 2}, "POST", "/v1/encode", {"json": images}),
        ({"max_items": 2}, "POST", "/v1/encode", {"content": npy(binary(3)), "headers": NPY}),
        (
            {"max_items": 2},
            "POST",
            "/v1/encode",
            {"content": npy(binary(3)[:, None]), "headers": NPY},
        ),
        ({"max_items": 2}, "GET", "/v1/sample?n=3", {}),
        (
            {"max_items": 2},
            "POST",
            "/v1/interpolate?steps=3",
            {"json": {"images": images["images"][:2]}},
        ),
        ({"max_num_samples": 9}, "POST", "/v1/elbo?num_samples=10", {"json": images}),
        ({"max_num_samples": 9}, "POST", "/v1/encode?num_samples=10", {"json": images}),
        ({"max_answer_numbers": 100}, "GET", "/v1/sample?n=3", {}),
        ({"max_answer_numbers": 100}, "POST", "/v1/encode?num_samples=20", {"json": images}),
        ({"max_request_cost": 0.1}, "POST", "/v1/elbo?num_samples=10", {"json": images}),
        ({"max_pixels": 63}, "POST", "/v1/encode", {"content": PICTURE, "headers": PNG}),
        (
            {"max_body_bytes": len(PICTURE) - 1},
            "POST",
            "/v1/encode",
            {"content": PICTURE, "headers": PNG},
        ),
    ]
    for settings, method, path, body in cases:
        async with open_client(**settings) as client:
            response = await client.request(method, path, **body)
        problem = refused(response, 413, "payload-too-large")
        (name,) = settings
        assert f"(VAE_{name.upper()})" in problem["detail"]
        assert problem["limit"] == settings[name]
        assert problem["received"] > problem["limit"]


async def test_each_limit_admits_what_is_just_within_it(open_client: ClientFactory) -> None:
    images = {"images": binary(2).tolist()}
    async with open_client(max_items=2, max_num_samples=10, max_body_bytes=len(PICTURE)) as client:
        assert (await client.get("/v1/sample?n=2")).status_code == 200
        response = await client.post("/v1/encode", content=PICTURE, headers=PNG)
        assert response.status_code == 200
    async with open_client(max_items=2, max_num_samples=10, max_pixels=64) as client:
        assert (await client.post("/v1/elbo?num_samples=10", json=images)).status_code == 200


async def test_an_npz_that_unpacks_to_more_than_a_body_is_refused(
    open_client: ClientFactory,
) -> None:
    import io

    buffer = io.BytesIO()
    np.savez_compressed(buffer, images=np.zeros((1000, 64, 64), np.uint8))
    async with open_client(max_body_bytes=1_000_000) as client:
        response = await client.post("/v1/encode", content=buffer.getvalue(), headers=NPZ)
    refused(response, 413, "payload-too-large")


async def test_default_limits_admit_twenty_images_of_a_thousand_samples(
    open_client: ClientFactory,
) -> None:
    async with open_client() as client:
        response = await client.post("/v1/log-likelihood", content=npy(binary(20)), headers=NPY)
    assert response.status_code == 200
    assert len(response.json()["results"]) == 20


async def test_an_npz_names_what_it_holds(open_client: ClientFactory) -> None:
    both = npz(images=binary(2), latents=np.zeros((2, LATENTS)))
    other = npz(a=binary(2), b=binary(2))
    async with open_client() as client:
        encoded_ = await client.post("/v1/encode", content=both, headers=NPZ)
        decoded = await client.post("/v1/decode", content=both, headers=NPZ)
        ambiguous = await client.post("/v1/interpolate", content=both, headers=NPZ)
        unnamed = await client.post("/v1/encode", content=other, headers=NPZ)
    assert encoded_.status_code == decoded.status_code == 200
    refused(ambiguous, 422, "shape-mismatch")
    refused(unnamed, 400, "corrupt-image")


def test_only_what_is_read_in_no_time_is_read_on_the_event_loop() -> None:
    tiny, large = encoded(binary()[0]), encoded(np.zeros((200, 200), np.uint8))
    assert is_small(Body(images=[Picture(tiny, "image/png")]))
    assert is_small(Body(images=[binary(10)]))
    assert not is_small(Body(images=[Picture(large)]))
    assert not is_small(Body(images=[Picture(tiny[:20])]))
    assert not is_small(Body(images=[Picture(encoded(binary()[0], "BMP"))]))
    assert not is_small(Body(latents=[np.zeros((1000, LATENTS))]))
    fourth = Picture(encoded(np.zeros((50, INLINE_PIXELS // 200), np.uint8)))
    assert is_small(Body(images=[fourth] * 4))
    assert not is_small(Body(images=[fourth] * 5))
