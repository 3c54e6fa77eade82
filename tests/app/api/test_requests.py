"""Requests that no model answers: an operation, a form, a model or a version that is not there."""

from dataclasses import replace
from pathlib import Path

import pytest

from app.serving.snapshot import BrokenBundle
from tests.app.conftest import ClientFactory
from tests.app.pictures import binary
from tests.app.refusals import refused
from tests.app.repository import LATENTS

pytestmark = pytest.mark.anyio


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
    assert problem["detail"].startswith(
        "mnist cannot estimate the log-likelihood with estimator=exact: "
    )
    assert problem["detail"].endswith("Leave estimator out.")
    assert (problem["parameter"], problem["received"]) == ("estimator", "exact")
    assert (problem["allowed"], problem["suggestion"]) == (["iwae", "prior", "ais"], "iwae")


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
