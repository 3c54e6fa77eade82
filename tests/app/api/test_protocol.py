"""Requests over real sockets: one answer to each, refusals as problems."""

from typing import Any

import pytest
from uvicorn.config import HTTP_PROTOCOLS
from uvicorn.importer import import_from_string

from tests.app.api.ambiguous_requests import BOTH, SMUGGLED
from tests.app.api.raw_http import (
    BOTH_LOOPS,
    CHUNKED,
    LAST,
    POST,
    answer,
    answer_first,
    exchange,
    listening,
    read_all,
)
from tests.app.conftest import ClientFactory
from tests.app.pictures import binary, encoded

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]


@pytest.mark.parametrize("app", [read_all, answer_first])
@pytest.mark.parametrize("request_", SMUGGLED, ids=range(len(SMUGGLED)))
async def test_what_is_read_in_two_ways_gets_one_answer(app: Any, request_: bytes) -> None:
    async with listening(app) as port:
        received = await exchange(port, request_ + LAST)
    if app is answer_first and request_.startswith(CHUNKED):  # answered before the body's fault
        assert received.statuses in ([200], [400])
    else:
        assert received.statuses == [400]
        assert received.problem["type"] == "/problems/malformed-request"


async def test_a_pipelined_request_at_fault_is_answered_after_those_before_it() -> None:
    async with listening(read_all) as port:
        good = POST + b"Content-Length: 2\r\n\r\n{}"
        received = await exchange(port, good + good + BOTH + LAST)
        apart = await exchange(port, good, BOTH, LAST, pause=0.05)
        longer = await exchange(port, good + b"{}" + LAST)
    assert received.statuses == [200, 200, 400]
    assert longer.statuses == [200, 400]
    assert apart.statuses == [200, 400]
    assert received.problem["parameter"] == "Transfer-Encoding"
    assert received.problem["instance"] == "/v1/encode"


async def test_a_body_at_fault_ends_an_answer_that_has_begun() -> None:
    async def begins(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})
        assert (await receive())["body"] == b"{}"
        assert (await receive())["type"] == "http.disconnect"

    async with listening(begins) as port:
        received = await exchange(port, CHUNKED + b"2\r\n{}", b"XX", pause=0.05)
    assert received.statuses == [200]
    assert received.data.endswith(b"\r\n\r\n{")


@pytest.mark.parametrize(
    ("request_", "status", "slug"),
    [
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", 431, "headers-too-large"),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 2_000_000, 431, "headers-too-large"),
        (b"GET /" + b"a" * 65_536 + b" HTTP/1.1\r\n\r\n", 414, "target-too-long"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "unsupported-version"),
    ],
    ids=["headers", "more than a buffer", "target", "http2"],
)
async def test_a_head_over_a_limit_or_of_another_version_is_a_problem(
    request_: bytes, status: int, slug: str
) -> None:
    async with listening(read_all) as port:
        received = await exchange(port, request_)
    assert received.statuses == [status]
    assert received.problem["type"] == f"/problems/{slug}"


async def test_what_is_unambiguous_is_read() -> None:
    chunks = CHUNKED + b"2;a=b\r\n{}\r\n0\r\nX: y\r\n\r\n"
    async with listening(read_all) as port:
        assert (await exchange(port, chunks + LAST)).statuses == [200, 200]
        for cut in range(1, len(chunks) - len(POST)):  # wherever a packet ends
            pieces = chunks[:-cut], chunks[-cut:] + LAST
            assert (await exchange(port, *pieces, pause=0.002)).statuses == [200, 200]
        old = await exchange(port, b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        then = await exchange(port, b"POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}\r\n" + LAST)
        expecting = POST + b"Content-Length: 2\r\nConnection: close\r\nExpect: 100-continue\r\n\r\n"
        expected = await exchange(port, expecting, b"{}", pause=0.05)
    assert old.statuses == then.statuses == [200]
    assert expected.statuses == [100, 200]


async def test_a_url_as_target_names_path_and_host() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)
        await answer(send, b"")

    head = b"POST http://y:8000/v1/encode?seed=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    async with listening(app) as port:
        assert (await exchange(port, head)).statuses == [200]
    (scope,) = seen
    assert (scope["path"], scope["query_string"]) == ("/v1/encode", b"seed=1")
    assert [value for name, value in scope["headers"] if name == b"host"] == [b"y:8000"]


async def test_a_url_as_target_reaches_an_operation(open_client: ClientFactory) -> None:
    picture = encoded(binary()[0])
    head = b"POST http://x/v1/encode HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
    head += b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(picture)
    async with open_client() as client, listening(client.app) as port:  # type: ignore[attr-defined]
        assert (await exchange(port, head + picture)).statuses == [200]


@pytest.mark.parametrize("parser", ["h11", "httptools"])
async def test_two_lengths_get_one_answer_whichever_parser_is_used(
    open_client: ClientFactory, parser: str
) -> None:
    pytest.importorskip(parser, reason="uvicorn's other parser is not installed")
    plain = import_from_string(HTTP_PROTOCOLS[parser])  # type: ignore[index]
    async with open_client() as client, listening(client.app, protocol=plain) as port:  # type: ignore[attr-defined]
        assert (await exchange(port, BOTH + LAST)).statuses == [400]


async def test_a_root_path_is_taken_off_and_headers_are_each_apps_own() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope["path"], scope["raw_path"], len(scope["headers"])))
        scope["headers"].append((b"x", b"y"))  # of this request alone
        await answer(send, b"")

    async with listening(app, root_path="/a") as port:
        for path in (b"/livez", b"/a/livez"):
            assert (await exchange(port, LAST.replace(b"/livez", path))).statuses == [200]
        refused = await exchange(port, BOTH)
    assert seen == [("/livez", b"/livez", 2)] * 2
    assert refused.problem["type"] == "/a/problems/malformed-request"
