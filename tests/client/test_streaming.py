"""Streamed log-likelihoods of both clients, and what is said where a stream fails."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import httpx
import numpy as np
import pytest

from tests.app.pictures import binary, encoded
from tests.app.server_process import Served
from tests.client.conftest import Opened
from tests.client.test_calls import equal
from vae_client import (
    AsyncVAEClient,
    CallError,
    LogLikelihoodProgress,
    LogLikelihoodScores,
    Refused,
    Unreachable,
    VAEClient,
)

pytestmark = pytest.mark.anyio

PICTURES = binary(5, seed=3)
FILES = [encoded(picture) for picture in PICTURES]


@pytest.mark.parametrize("given", [PICTURES, FILES], ids=["array", "files"])
@pytest.mark.parametrize(
    ("model", "asked"),
    [
        ("mnist", {"num_samples": 300, "check": True}),
        ("mnist", {"num_samples": 50}),
        ("mnist", {"num_samples": 120, "inference": "refined"}),
        ("mnist-labelled", {"num_samples": 120}),
        ("mnist-labelled", {"num_samples": 120, "label": "1", "first_item": 2}),
    ],
)
async def test_the_last_of_a_stream_is_the_answer(
    open_client: Opened, given: Any, model: str, asked: dict[str, Any]
) -> None:
    async with open_client(model=model, batch_size=2) as client:
        whole = await client.log_likelihood(given, seed=4, **asked)
        *running, last = [one async for one in client.stream_log_likelihood(given, seed=4, **asked)]
    assert isinstance(last, LogLikelihoodScores)
    assert equal(whole, last)
    for one in running:
        assert isinstance(one, LogLikelihoodProgress)
        assert one.name == whole.names[one.item]
        assert one.num_samples <= asked["num_samples"]
        assert np.isnan(one.bound_interval_nats).all() == (one.num_samples < 100)
    assert {one.item for one in running} == set(range(5))


async def test_a_stream_may_be_left(open_client: Opened) -> None:
    settings = {"max_num_samples": 10**7, "max_request_cost": 1e9}
    async with (
        open_client(settings=settings) as client,
        aclosing(client.stream_log_likelihood(PICTURES, num_samples=200)) as lines,
    ):
        first = await anext(lines)
    assert isinstance(first, LogLikelihoodProgress)
    assert first.item == 0


def test_a_client_that_waits_streams_as_the_other(served: Served) -> None:
    with VAEClient(served.url) as client:
        whole = client.log_likelihood(PICTURES, seed=4, num_samples=300)
        *running, last = client.stream_log_likelihood(PICTURES, seed=4, num_samples=300)
        assert isinstance(last, LogLikelihoodScores)
        assert equal(whole, last)
        assert running
        with pytest.raises(Refused, match="num_samples"):
            list(client.stream_log_likelihood(PICTURES, num_samples=0))


LINE = {"item": 0, "num_samples": 5, "estimate_nats": None, "standard_error_nats": 0.1}
LINE |= {"lower_bound_95_nats": -3.0, "bound_interval_nats": [None, None]}
LINE |= {"effective_sample_size": 2.0}
PROBLEM = {"type": "/problems/deadline-exceeded", "status": 504, "detail": "Too late."}
BUSY = httpx.Response(503, json={"detail": "busy"}, headers={"Retry-After": "0"})


class Broken(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A stream whose connection breaks after a line."""

    def __iter__(self) -> Iterator[bytes]:
        yield f"{json.dumps(LINE)}\n".encode()
        raise httpx.ReadError("reset")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self:
            yield part


def answered(*documents: Any) -> httpx.Response:
    return httpx.Response(200, text="".join(f"{json.dumps(one)}\n" for one in documents))


@pytest.mark.parametrize(
    ("answers", "error", "words"),
    [
        ([answered(LINE, PROBLEM)], Refused, "Too late"),
        ([answered(LINE)], CallError, "ended before its last line"),
        ([BUSY, answered(LINE)], CallError, "ended before its last line"),
        ([answered([1])], CallError, "does not answer as vae-serve does"),
        ([httpx.Response(200, text="<html>\n")], CallError, "does not answer as vae-serve does"),
        ([httpx.Response(200, stream=Broken())], Unreachable, "Cannot reach http://vae: reset"),
        ([httpx.Response(422, json={"detail": "bad"})], Refused, "bad"),
    ],
)
async def test_what_fails_is_an_exception_of_both_clients(
    answers: list[httpx.Response], error: type[Exception], words: str
) -> None:
    def transport() -> httpx.MockTransport:
        queue = [httpx.Response(a.status_code, headers=a.headers, stream=a.stream) for a in answers]
        return httpx.MockTransport(lambda request: queue.pop(0))

    http = httpx.Client(transport=transport(), base_url="http://vae")
    with pytest.raises(error, match=words):
        list(VAEClient(http=http).stream_log_likelihood(FILES))
    of_async = httpx.AsyncClient(transport=transport(), base_url="http://vae")
    with pytest.raises(error, match=words):
        [one async for one in AsyncVAEClient(http=of_async).stream_log_likelihood(FILES)]


async def test_nulls_of_a_line_are_nan() -> None:
    transport = httpx.MockTransport(lambda request: answered(LINE, PROBLEM))
    http = httpx.Client(transport=transport, base_url="http://vae")
    first = next(iter(VAEClient(http=http).stream_log_likelihood(FILES)))
    assert isinstance(first, LogLikelihoodProgress)
    assert np.isnan([first.estimate_nats, *first.bound_interval_nats]).all()
