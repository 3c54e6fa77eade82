"""The client: the default model, paths, and what is said of answers that are no answers."""

import httpx
import pytest

from app.cli import client
from vae_client.errors import CallError
from vae_client.refusals import refusal


def test_without_a_default_model_one_is_to_be_named() -> None:
    ready = {"name": "a", "status": "ready", "default": False, "reason": None}
    broken = {"name": "b", "status": "broken", "default": False, "reason": "damaged"}
    with pytest.raises(CallError, match="--model a; available: a"):
        client.default_model([ready, broken])
    with pytest.raises(CallError, match=r"b is broken \(damaged\)"):
        client.default_model([broken])
    for some in ([], [ready]):
        with pytest.raises(CallError, match="still loading"):
            client.default_model(some, "The models are still loading.")
    with pytest.raises(CallError, match=r"There are no models\. Set VAE_MODEL_REPOSITORY"):
        client.default_model([])


@pytest.mark.anyio
@pytest.mark.parametrize("content", [b"<html>", b"[]", b"{}"])
async def test_another_service_at_the_url_is_said_to_be_one(content: bytes) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=content))
    async with httpx.AsyncClient(transport=transport, base_url="http://other") as http:
        with pytest.raises(CallError, match="http://other/v1/models does not answer as vae-serve"):
            await client.Client(http, None, None).models()


def test_an_answer_that_is_no_problem_is_still_explained() -> None:
    response = httpx.Response(502, text="<html>")
    refused = refusal(response)
    assert str(refused) == "The service answered 502 Bad Gateway."
    assert refused.status == 502


def test_the_default_model_is_called_by_its_path() -> None:
    assert client.Client(httpx.AsyncClient(), None, None).base == "/v1"
    assert client.Client(httpx.AsyncClient(), "a", None).base == "/v1/models/a"
