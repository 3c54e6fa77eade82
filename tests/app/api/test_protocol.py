"""Connections over real sockets: one answer to a request, refusals as problems, time-outs."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from uvicorn.config import HTTP_PROTOCOLS
from uvicorn.importer import import_from_string
from uvicorn.server import ServerState

from app.api.protocol import serving_protocol
from app.settings import Settings
from tests.app.conftest import ClientFactory
from tests.app.pictures import binary, encoded
from tests.app.server_process import Served, serving

pytestmark = pytest.mark.anyio

LAST = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
POST = b"POST /v1/encode HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
BOTH = POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
SMUGGLED = [
    BOTH,
    POST + b"Transfer-Encoding: chunked\r\nContent-Length: 50\r\n\r\n0\r\n\r\n",
    POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    POST + b"Transfer-Encoding: identity\r\n\r\n",
    POST + b"Content-Length : 2\r\n\r\n{}",
    POST + b"X: a\nContent-Length: 2\r\n\r\n{}",
    POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    CHUNKED + b"+2\r\n{}\r\n0\r\n\r\n",
    CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n",
    CHUNKED + b"0_2\r\n{}\r\n0\r\n\r\n",
    CHUNKED + b"2\r\n{}XX0\r\n\r\n",
    CHUNKED + b"2\n{}\n0\n\n",
    CHUNKED + b"2;" + b"a" * 8000 + b"\r\n{}\r\n0\r\n\r\n",
    CHUNKED + b"2;" + b"a" * 1_000_000 + b"\r\n{}\r\n0\r\n\r\n",
    CHUNKED + b"2\r\n{}\r\n0\r\nGET /livez HTTP/1.1\r\n\r\n",
    CHUNKED + b"2\r\n{}\r\n0\r\nX: " + b"a" * 8000 + b"\r\n\r\n",
    CHUNKED + b"2\r\n{}\r\n0\r\n\n",
    CHUNKED + b"2;a\rb\r\n{}\r\n0\r\n\r\n",
    b"GET /livez HTTP/1.1\r\n\r\n",
    b"GET /v1%2Fmodels HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v1/sample HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    b"GET /v1/sample HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
    b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET /livez\r\n",
]
"""Requests that a proxy may read in another way than a server."""


@dataclass
class Received:
    """What came over one connection until the server closed it."""

    statuses: list[int]
    data: bytes

    @property
    def problem(self) -> dict[str, Any]:
        """The last answer, a problem; its connection is closed."""
        head, _, body = re.split(rb"HTTP/1\.1 (?=\d)", self.data)[-1].partition(b"\r\n\r\n")
        assert b"\r\nconnection: close" in head.lower()
        assert b"\r\ncontent-type: application/problem+json" in head.lower()
        found: dict[str, Any] = json.loads(body)
        assert f"x-request-id: {found['request_id']}".encode() in head.lower()
        return found


async def exchange(port: int, *pieces: bytes, pause: float = 0.0) -> Received:
    """Send the pieces, one after the other, and read until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)
        data = await asyncio.wait_for(reader.read(), 30)
    finally:
        writer.close()
    return Received([int(code) for code in re.findall(rb"HTTP/1\.1 (\d+)", data)], data)


@asynccontextmanager
async def listening(app: Any, **options: Any) -> AsyncIterator[int]:
    """The port of an app behind the protocol, in this process."""
    settings = {name: options.pop(name) for name in Settings.model_fields if name in options}
    protocol = options.pop("protocol", None) or serving_protocol(Settings(**settings))
    config = uvicorn.Config(app, ws="none", log_config=None, **options)
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: protocol(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for one in state.connections:
            one.transport.abort()
        await asyncio.sleep(0)


async def read_all(scope: Any, receive: Any, send: Any) -> None:
    """An app that reads the body, and then answers with its length."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message["body"])
        more = message["more_body"]
    await answer(send, b"%d" % size)


async def answer_first(scope: Any, receive: Any, send: Any) -> None:
    """An app that answers without a look at the body."""
    await answer(send, scope["path"].encode())


async def answer(send: Any, body: bytes) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


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
    assert received.statuses == [200, 200, 400]
    assert apart.statuses == [200, 400]
    assert received.problem["parameter"] == "Transfer-Encoding"
    assert received.problem["instance"] == "/v1/encode"


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
        then = await exchange(
            port, b"POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}", b"\r\n" + LAST
        )
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


SLOW = {
    "half a head": [b"GET /livez HTTP/1.1\r\nHo"],
    "a head byte by byte": [b"GET /livez HTTP/1.1\r\nX: ", *[b"a"] * 12],
    "a second head": [POST + b"Content-Length: 2\r\n\r\n{}GET /"],
    "half a body": [POST + b"Content-Length: 100\r\n\r\nabc"],
    "half a chunk": [CHUNKED + b"64\r\nabc"],
    "no body after 100": [POST + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n"],
}


@pytest.mark.parametrize("case", SLOW)
async def test_what_does_not_arrive_in_time_is_a_408(case: str) -> None:
    async with listening(read_all, client_timeout_seconds=0.3) as port:
        received = await exchange(port, *SLOW[case], pause=0.05)
    assert received.statuses[-1] == 408
    assert received.problem["type"] == "/problems/request-timeout"
    assert received.problem["limit"] == 0.3
    assert "VAE_CLIENT_TIMEOUT_SECONDS" in received.problem["detail"]


async def test_a_body_that_goes_on_has_all_the_time_that_it_needs() -> None:
    head = POST + b"Connection: close\r\nContent-Length: 10\r\n\r\n"
    async with listening(read_all, client_timeout_seconds=0.3) as port:
        assert (await exchange(port, head, *[b"a"] * 10, pause=0.1)).data.endswith(b"10")


async def test_a_silent_connection_is_closed_without_an_answer() -> None:
    async with listening(read_all, client_timeout_seconds=0.1) as port:
        assert (await exchange(port)).data == b""


async def test_the_rest_of_a_body_that_is_answered_has_one_time_out() -> None:
    async with listening(answer_first, client_timeout_seconds=0.3) as port:
        head = POST + b"Content-Length: 1000\r\n\r\n"
        assert (await exchange(port, head, b"a" * 1000 + LAST)).statuses == [200, 200]
        with pytest.raises(ConnectionError):  # closed while the client goes on
            await exchange(port, head, *[b"a"] * 40, pause=0.05)


async def test_a_client_that_waits_for_the_server_is_not_timed_out() -> None:
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.4)
        await read_all(scope, receive, send)

    body = b"a" * 4_000_000
    head = POST + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with listening(slow, client_timeout_seconds=0.1) as port:
        assert (await exchange(port, head + body)).data.endswith(b"4000000")


async def test_a_connection_that_closes_is_not_timed_out() -> None:
    async with listening(read_all) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /")
        await asyncio.sleep(0.05)
        writer.close()
        assert await reader.read() == b""


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


async def test_a_client_that_does_not_read_its_answer_is_dropped_and_a_slow_one_is_not() -> None:
    answered = asyncio.Event()

    async def large(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, bytes(20_000_000))
        answered.set()

    async def go_on(writer: asyncio.StreamWriter) -> None:
        await answered.wait()
        for _ in range(100):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with listening(large, client_timeout_seconds=0.2) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        writer.write(LAST)
        with pytest.raises(ConnectionError):
            await go_on(writer)
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        writer.write(LAST)
        size = 0
        while piece := await reader.read(400_000):
            size += len(piece)
            await asyncio.sleep(0.01)
        writer.close()
    assert size > 20_000_000


@pytest.mark.slow
async def test_a_server_gives_one_answer_to_what_is_read_in_two_ways(served: Served) -> None:
    port = int(served.url.rpartition(":")[2])
    for request in SMUGGLED:
        received = await exchange(port, request + LAST)
        assert received.statuses == [400], request[:200]
        assert received.problem["detail"]
    assert served.client.get("/livez").status_code == 200
    assert "Traceback" not in served.log.read_text()


@pytest.mark.slow
async def test_a_server_waits_for_a_client_as_long_as_its_setting_says(
    repository: Path, tmp_path: Path
) -> None:
    flags = ("--client-timeout-seconds", "0.5", "--workers", "2")
    with serving(repository, tmp_path / "log", *flags) as server:
        port = int(server.url.rpartition(":")[2])
        half_a_head = await exchange(port, b"GET /livez HTTP/1.1\r\nHo")
        half_a_body = await exchange(port, POST + b"Content-Length: 9\r\n\r\n{")
    assert half_a_head.statuses == half_a_body.statuses == [408]
    assert half_a_body.problem["limit"] == 0.5
