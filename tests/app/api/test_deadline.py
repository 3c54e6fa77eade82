"""The deadline of a request: the caller's, at most the server's."""

import time

import pytest

from app.api import answering
from app.serving.scheduler import Scheduler
from tests.app.conftest import ClientFactory
from tests.app.pictures import binary, encoded
from tests.app.refusals import refused

pytestmark = pytest.mark.anyio

PNG = {"Content-Type": "image/png"}


def within(seconds: object) -> dict[str, str]:
    return {"X-Request-Timeout-Seconds": str(seconds)}


async def test_a_callers_deadline_ends_its_request(open_client: ClientFactory) -> None:
    body = {"images": binary(20).tolist()}
    async with open_client() as client:
        url = "/v1/log-likelihood?num_samples=10000"
        response = await client.post(url, json=body, headers=within(0.05))
    problem = refused(response, 504, "deadline-exceeded")
    assert problem["limit"] == 0.05
    assert "longer than 0.05 s (X-Request-Timeout-Seconds" in problem["detail"]


async def test_a_deadline_over_the_servers_is_the_servers(open_client: ClientFactory) -> None:
    body = {"images": binary(20).tolist()}
    async with open_client(request_timeout_seconds=0.05) as client:
        url = "/v1/log-likelihood?num_samples=10000"
        response = await client.post(url, json=body, headers=within(60))
        assert refused(response, 504, "deadline-exceeded")["limit"] == 0.05
        png = encoded(binary()[0])
        assert (await client.post("/v1/encode", content=png, headers=PNG)).status_code == 200


@pytest.mark.parametrize("value", ["soon", "0", "-1", "nan", "inf", ""])
async def test_a_deadline_that_is_no_positive_number_is_refused(
    value: str, open_client: ClientFactory
) -> None:
    async with open_client() as client:
        response = await client.get("/v1/sample", headers=within(value))
    problem = refused(response, 422, "invalid-parameter")
    assert problem["parameter"] == "X-Request-Timeout-Seconds"
    assert problem["suggestion"] == "X-Request-Timeout-Seconds: 120"


async def test_reading_a_large_body_counts_too(
    open_client: ClientFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "is_small", lambda body: False)
    monkeypatch.setattr(answering, "read_items", lambda *arguments: time.sleep(0.2))
    png = encoded(binary()[0])
    async with open_client() as client:
        response = await client.post("/v1/encode", content=png, headers=PNG | within(0.05))
    refused(response, 504, "deadline-exceeded")


async def test_a_request_on_the_event_loop_has_its_deadline_too(
    open_client: ClientFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush = Scheduler._flush

    def late(scheduler: Scheduler) -> None:
        time.sleep(0.1)  # as if other requests of the turn took so long
        flush(scheduler)

    monkeypatch.setattr(Scheduler, "_flush", late)
    async with open_client() as client:
        scheduler = client.app.state.service.scheduler  # type: ignore[attr-defined]
        png = encoded(binary()[0])
        response = await client.post("/v1/encode", content=png, headers=PNG | within(0.05))
        refused(response, 504, "deadline-exceeded")
        assert scheduler.jobs == 0
