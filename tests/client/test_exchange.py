"""What is sent again and when, how long lists are cut, and what is said where nothing answers."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import numpy as np
import pytest

from tests.app.pictures import npz
from vae_client import AsyncVAEClient, CallError, Refused, Unreachable, UnreadableItems, VAEClient
from vae_client.exchange import Exchange, Pause, Request, as_rows, retry_after
from vae_client.operations import ELBO
from vae_client.sources import Source

Handle = Callable[[httpx.Request], httpx.Response]
BUSY = {"type": "/problems/queue-full", "detail": "The server is busy. Retry in 3 s."}


def scored(request: httpx.Request) -> httpx.Response:
    """Samples, as many as are asked for, whose pixels count on from `first_item`."""
    first, n = int(request.url.params["first_item"]), int(request.url.params["n"])
    images = np.arange(first, first + n, dtype=np.float32).reshape(n, 1, 1, 1)
    facts = {"model": np.array("m"), "version": np.array(3), "seed": np.array(1)}
    facts |= {"output": np.array("mean"), "temperature": np.array(1.0)}
    facts |= {"is_model_sample": np.array(True), "label_used": np.array("")}
    return httpx.Response(200, content=npz(**facts, images=images, latents=images[:, 0, 0]))


def busy(status: int = 503, after: str | None = None) -> httpx.Response:
    headers = {} if after is None else {"Retry-After": after}
    return httpx.Response(status, json={**BUSY, "status": status}, headers=headers)


class Service:
    """Answers by a list, its last entry ever again; notes the requests and the pauses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: Any, **arguments: Any) -> None:
        self.requests: list[httpx.Request] = []
        self.pauses: list[float] = []
        self._answers = list(answers)
        monkeypatch.setattr("vae_client.clients.time.sleep", self.pauses.append)
        http = httpx.Client(transport=httpx.MockTransport(self._handle), base_url="http://vae")
        self.client = VAEClient(http=http, **arguments)

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        found: httpx.Response = answer(request) if callable(answer) else answer
        return found


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_service_is_asked_again_when_it_says_by_the_same_request(
    monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    service = Service(monkeypatch, busy(status, "3"), busy(status), busy(status, "soon"), scored)
    assert len(service.client.sample(2)) == 2
    assert service.pauses == [3, 1, 2]
    assert len({str(request.url) for request in service.requests}) == 1
    assert service.requests[0].url.params["seed"].isdigit()


def test_tries_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(monkeypatch, busy(), tries=3)
    with pytest.raises(Refused, match="The server is busy") as raised:
        service.client.sample(2)
    assert raised.value.type == "queue-full"
    assert len(service.requests) == 3
    assert service.pauses == [0.5, 1]


def test_a_pause_that_is_longer_than_all_of_the_time_is_not_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = Service(monkeypatch, busy(after="61"))
    with pytest.raises(Refused):
        service.client.sample(2)
    assert service.pauses == []


def test_the_time_of_all_tries_is_bounded() -> None:
    now = [0.0]
    exchange = Exchange("http://vae", tries=100, retry_seconds=10, clock=lambda: now[0])
    steps, pauses = exchange.models(), []
    next(steps)
    for _ in range(3):  # each takes a second, and pauses two: the fourth would end after ten
        now[0] += 1
        pause = steps.send(busy(after="2"))
        assert pause == Pause(2)
        now[0] += 2
        pauses.append(next(steps))
    now[0] += 1
    with pytest.raises(Refused):
        steps.send(busy(after="2"))
    assert pauses == [Request("GET", "/v1/models")] * 3


def test_a_broken_connection_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = httpx.RemoteProtocolError("Server disconnected")
    service = Service(monkeypatch, httpx.ReadError(""), broken, scored)
    assert len(service.client.sample(2)) == 2
    assert service.pauses == [0.5, 1]


def test_a_service_that_never_answered_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(monkeypatch, httpx.ConnectError("Connection refused"))
    with pytest.raises(Unreachable, match=r"Cannot reach http://vae: Connection refused\. Start"):
        service.client.sample(2)
    assert service.pauses == []
    assert not service.client.ready()


def test_a_service_that_restarts_meanwhile_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = httpx.ConnectError("Connection refused")
    service = Service(monkeypatch, scored, refused, refused, scored, batch_size=2)
    drawn = service.client.sample(5, first_item=10)
    assert drawn.images.ravel().tolist() == [10, 11, 12, 13, 14]
    assert service.pauses == [0.5, 1]
    paths = [request.url.path for request in service.requests]
    assert paths == ["/v1/sample", *["/v1/models/m/versions/3/sample"] * 4]
    assert [one.url.params["n"] for one in service.requests] == ["2", "2", "2", "2", "1"]


def test_a_slow_answer_is_not_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(monkeypatch, httpx.ReadTimeout(""))
    with pytest.raises(Unreachable, match=r"did not answer in time \(timeout_seconds\)"):
        service.client.sample(2)
    assert len(service.requests) == 1


@pytest.mark.parametrize("status", [400, 404, 409, 422, 500, 504])
def test_other_refusals_are_not_sent_again(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    service = Service(monkeypatch, httpx.Response(status, json={"detail": "no"}))
    with pytest.raises(Refused, match="no"):
        service.client.sample(2)
    assert len(service.requests) == 1


def test_a_proxy_that_refuses_a_size_without_a_problem_is_sent_halves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def small(request: httpx.Request) -> httpx.Response:
        large = int(request.url.params["n"]) > 3
        return httpx.Response(413, text="<html>") if large else scored(request)

    service = Service(monkeypatch, small)
    assert service.client.sample(20).images.ravel().tolist() == list(range(20))
    assert [one.url.params["n"] for one in service.requests][:4] == ["20", "10", "5", "2"]


@pytest.mark.parametrize("content", [b"<html>", b"PK\x03\x04", b"\x93NUMPY"])
def test_something_else_at_the_url_is_said_to_be_it(
    monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    client = Service(monkeypatch, httpx.Response(200, content=content)).client
    for call in (client.sample, client.models, client.model):
        with pytest.raises(CallError, match="does not answer as vae-serve does"):
            call()


def test_models_that_are_still_loading_are_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Service(monkeypatch, httpx.Response(200, json={"models": []})).client
    with pytest.raises(CallError, match="No model is served yet"):
        client.model()


def test_a_file_that_vanished_is_named_by_its_place(tmp_path: Any) -> None:
    kept = tmp_path / "a.png"
    kept.write_bytes(b"1")
    source = Source(("a", "b"), (kept, tmp_path / "gone.png"))
    exchange = Exchange("http://vae", batch_size=1)
    steps = exchange.run(ELBO, [source], {"seed": 1}, progress=False)
    first = next(steps)
    assert isinstance(first, Request)
    assert first.options["params"] == {"seed": "1", "format": "npz", "first_item": "0"}
    arrays = {"model": np.array("m"), "version": np.array(1), "elbo_nats": np.zeros(1)}
    warned = json.dumps([{"code": "constant", "message": "plain", "item": 0}])
    answer = httpx.Response(200, content=npz(**arrays, warnings=np.array(warned)))
    with pytest.raises(UnreadableItems, match="b: No such file") as raised:
        steps.send(answer)
    assert list(raised.value.items) == [1]


@pytest.mark.anyio
async def test_the_client_of_asyncio_pauses_too(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    answers = [busy(after="2"), httpx.ReadError("gone")]

    def handle(request: httpx.Request) -> httpx.Response:
        answer = answers.pop(0) if answers else scored(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr("vae_client.clients.asyncio.sleep", sleep)
    http = httpx.AsyncClient(transport=httpx.MockTransport(handle), base_url="http://vae")
    async with AsyncVAEClient(http=http) as client:
        assert len(await client.sample(2)) == 2
    assert pauses == [2, 1]


def test_a_pause_may_be_a_date() -> None:
    later = datetime.now(UTC) + timedelta(seconds=100)
    assert retry_after(format_datetime(later, usegmt=True)) == pytest.approx(100, abs=5)
    assert retry_after("Wed, 21 Oct 2015 07:28:00 -0000") == 0
    assert retry_after(" 7 ") == 7
    assert retry_after("") is None


@pytest.mark.parametrize(
    ("shape", "rows"),
    [
        ((9, 8, 8), (9, 1, 8, 8)),
        ((9, 1, 8, 8), (9, 1, 8, 8)),
        ((9, 8, 8, 1), (9, 8, 8, 1)),
        ((9, 30, 20, 3), (9, 30, 20, 3)),
        ((9, 3, 30, 20), (9, 3, 30, 20)),
        ((3, 8, 8), None),
        ((9, 30, 20), None),
        ((9, 64), None),
        ((8, 8, 9000, 1), None),
        ((9, 5, 30, 20), None),
    ],
)
def test_an_array_is_cut_where_its_first_axis_is_surely_the_batch(
    shape: tuple[int, ...], rows: tuple[int, ...] | None
) -> None:
    found = as_rows(np.zeros(shape, np.uint8), (1, 8, 8))
    assert (None if found is None else found.shape) == rows
