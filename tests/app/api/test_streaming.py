"""Streamed log-likelihoods: running estimates, and the ordinary answer as the last line."""

import asyncio
import json
import time
from typing import Any

import httpx
import pytest

from app.api import streaming
from app.compute import table
from models.errors import VAEError
from tests.app.api.raw_http import BOTH_LOOPS
from tests.app.api.raw_http import listening as listening_as
from tests.app.conftest import ClientFactory
from tests.app.pictures import binary
from tests.app.refusals import refused

pytestmark = pytest.mark.anyio

URL = "/v1/log-likelihood"
PICTURES = {"images": binary(3).tolist()}
NDJSON = {"Accept": "application/x-ndjson"}


def lines_of(response: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in response.text.splitlines()]


@pytest.mark.parametrize(
    "asked",
    [
        {"num_samples": 300},
        {"num_samples": 50, "estimator": "prior"},
        {"num_samples": 120, "inference": "refined"},
        {"num_samples": 200, "check": True, "first_item": 5},
    ],
)
async def test_the_last_line_is_the_ordinary_answer(
    open_client: ClientFactory, asked: dict[str, Any]
) -> None:
    params = {"seed": 3, **asked}
    async with open_client() as client:
        whole = await client.post(URL, params=params, json=PICTURES)
        streamed = await client.post(URL, params=params, json=PICTURES, headers=NDJSON)
        again = await client.post(URL, params={**params, "format": "ndjson"}, json=PICTURES)
    assert streamed.headers["content-type"] == "application/x-ndjson"
    assert streamed.headers["x-accel-buffering"] == "no"
    assert streamed.headers["x-seed"] == "3"
    assert "content-length" not in streamed.headers
    assert streamed.content.splitlines()[-1] == whole.content
    assert again.content == streamed.content
    *running, _ = lines_of(streamed)
    for item in range(3):
        counts = [line["num_samples"] for line in running if line["item"] == item]
        assert counts == sorted(set(counts))
        assert counts[-1] <= asked["num_samples"]
        assert counts


async def test_a_running_estimate_is_that_of_as_many_draws(open_client: ClientFactory) -> None:
    fields = ("estimate_nats", "standard_error_nats", "lower_bound_95_nats")
    fields += ("bound_interval_nats", "effective_sample_size")
    async with open_client() as client:
        streamed = await client.post(
            URL, params={"seed": 3, "num_samples": 2000}, json=PICTURES, headers=NDJSON
        )
        *running, _ = lines_of(streamed)
        assert len(running) >= 9
        for line in running:
            params = {"seed": 3, "num_samples": line["num_samples"]}
            answer = (await client.post(URL, params=params, json=PICTURES)).json()
            result = answer["results"][line["item"]]
            assert {name: line[name] for name in fields} == {name: result[name] for name in fields}
        assert set(line) == {"item", "num_samples", *fields}


async def test_events_have_the_same_content_as_lines(open_client: ClientFactory) -> None:
    params = {"seed": 3, "num_samples": 300}
    async with open_client() as client:
        lines = await client.post(URL, params=params, json=PICTURES, headers=NDJSON)
        accept = {"Accept": "text/event-stream"}
        events = await client.post(URL, params=params, json=PICTURES, headers=accept)
    assert events.headers["content-type"] == "text/event-stream"
    *found, rest = events.text.split("\n\n")
    assert rest == ""
    kinds, contents = zip(*(event.split("\n") for event in found), strict=True)
    assert kinds == ("event: progress",) * (len(found) - 1) + ("event: answer",)
    assert [one.removeprefix("data: ") for one in contents] == lines.text.splitlines()


async def test_what_fails_before_the_first_line_is_an_ordinary_problem(
    open_client: ClientFactory,
) -> None:
    async with open_client() as client:
        bad = await client.post(f"{URL}?num_samples=0", json=PICTURES, headers=NDJSON)
        refused(bad, 422, "invalid-parameter")
        path = "/v1/models/mnist-labelled/log-likelihood?estimator="
        for estimator in ("exact", "ais"):  # before the job, and in it: labels are not summed
            response = await client.post(path + estimator, json=PICTURES, headers=NDJSON)
            refused(response, 409, "unsupported-operation")
        service = client.app.state.service  # type: ignore[attr-defined]
        assert service.scheduler.jobs == 0
        response = await client.post("/v1/elbo", json=PICTURES, headers=NDJSON)
        refused(response, 406, "not-acceptable")


@pytest.mark.parametrize(
    ("error", "status", "slug"),
    [(RuntimeError("secret"), 500, "internal-error"), (VAEError("known"), 500, "internal-error")],
)
async def test_a_failure_after_the_first_line_is_the_last_line(
    open_client: ClientFactory,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
    slug: str,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(table, "find_warnings", fail)
    async with open_client() as client:
        response = await client.post(f"{URL}?seed=1", json=PICTURES, headers=NDJSON)
        metrics = (await client.get("/metrics")).text
    assert response.status_code == 200
    first, *_, last = lines_of(response)
    assert first["item"] == 0
    assert (last["status"], last["type"]) == (status, f"/problems/{slug}")
    assert last["request_id"] == response.headers["x-request-id"]
    assert "secret" not in response.text
    assert f'status="{status}"' in metrics


async def test_a_deadline_ends_a_stream_with_a_problem(open_client: ClientFactory) -> None:
    images = {"images": binary(20).tolist()}
    headers = NDJSON | {"X-Request-Timeout-Seconds": "0.4"}
    async with open_client(max_num_samples=10**7, max_request_cost=1e9) as client:
        response = await client.post(
            URL, params={"num_samples": 10**6}, json=images, headers=headers
        )
        service = client.app.state.service  # type: ignore[attr-defined]
        assert service.scheduler.jobs == 0
    assert response.status_code == 200
    last = lines_of(response)[-1]
    assert (last["status"], last["limit"]) == (504, 0.4)


async def test_lines_that_nobody_reads_are_left_out(
    open_client: ClientFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "MAX_WAITING_LINES", 2)
    async with open_client() as client:
        images = {"images": binary(1).tolist()}
        params = {"seed": 1, "num_samples": 10}
        response = await client.post(URL, params=params, json=images, headers=NDJSON)
    *running, answer = lines_of(response)
    assert len(running) <= 2
    assert answer["results"]


@BOTH_LOOPS
class TestOverSockets:
    """As `vae serve` answers."""

    async def test_lines_come_as_they_are_known_and_leaving_stops_the_work(
        self, open_client: ClientFactory
    ) -> None:
        async with open_client(max_num_samples=10**8, max_request_cost=1e9) as client:
            app = client.app  # type: ignore[attr-defined]
            scheduler = app.state.service.scheduler
            async with (
                listening_as(app.state.entry, interface="asgi3", proxy_headers=False) as port,
                httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as http,
            ):
                params = {"num_samples": 10**7, "seed": 1}
                asked = http.stream("POST", URL, params=params, json=PICTURES, headers=NDJSON)
                async with asked as response:
                    first = json.loads(await anext(response.aiter_lines()))
                    assert first["num_samples"] < 10**5
                    assert scheduler.jobs == 1
                until = time.monotonic() + 10
                while scheduler.jobs and time.monotonic() < until:
                    await asyncio.sleep(0.01)
                assert scheduler.jobs == 0
                while 'status="499"' not in (await client.get("/metrics")).text:
                    assert time.monotonic() < until
                    await asyncio.sleep(0.01)

    async def test_the_connection_goes_on_after_a_stream(self, open_client: ClientFactory) -> None:
        params = {"num_samples": 3000, "seed": 1}
        async with open_client() as client:
            app = client.app  # type: ignore[attr-defined]
            ordinary = await client.post(URL, params=params, json=PICTURES)
            async with (
                listening_as(app.state.entry, interface="asgi3", proxy_headers=False) as port,
                httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as http,
            ):
                for _ in range(2):
                    response = await http.post(URL, params=params, json=PICTURES, headers=NDJSON)
                    assert response.headers["transfer-encoding"] == "chunked"
                    assert response.content.splitlines()[-1] == ordinary.content
