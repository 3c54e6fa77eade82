"""Operations as a server enters them, over real sockets: the answers that ASGI gives."""

import asyncio
import json
import threading
from contextlib import AbstractAsyncContextManager
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.flow_control import FlowControl

from app.api.body import Received
from app.api.computing import off_loop
from app.api.entry import Entry
from app.api.exchange import Exchange
from app.api.keys import hash_key
from app.api.metrics import Metrics
from app.api.plan import Plans
from app.api.record import Record
from app.api.service import Call
from app.compute.table import COMPUTE
from app.operations.table import OPERATIONS
from tests.app.api.raw_http import BOTH_LOOPS, exchange
from tests.app.api.raw_http import listening as listening_as
from tests.app.conftest import ClientFactory
from tests.app.pictures import binary, encoded

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]

PICTURE = encoded(binary()[0])
HOST = b"Host: x\r\nX-Request-ID: same\r\n"


def post(path: bytes, body: bytes, *headers: bytes) -> bytes:
    """A request whose connection goes on."""
    lines = [b"POST %b HTTP/1.1" % path, HOST[:-2], *headers, b"Content-Length: %d" % len(body)]
    return b"\r\n".join([*lines, b"", body])


def last(request: bytes) -> bytes:
    """The same request, whose connection is closed by its answer."""
    return request.replace(HOST, HOST + b"Connection: close\r\n", 1)


ENCODE = post(b"/v1/encode?num_samples=2&seed=3", PICTURE, b"Content-Type: image/png")
REQUESTS = {
    "encode": ENCODE,
    "npy": post(b"/v1/encode?format=npy", PICTURE, b"Content-Type: image/png"),
    "warnings": post(b"/v1/encode", encoded(binary()[0] * 0), b"Content-Type: image/png"),
    "seeded": b"GET /v1/sample?seed=1&format=npz HTTP/1.1\r\n" + HOST + b"\r\n",
    "of a version": b"GET /v1/models/mnist/versions/2/sample?seed=1 HTTP/1.1\r\n" + HOST + b"\r\n",
    "not modified": b"GET /v1/sample?seed=1 HTTP/1.1\r\nIf-None-Match: *\r\n" + HOST + b"\r\n",
    "no such model": b"GET /v1/models/none/sample HTTP/1.1\r\n" + HOST + b"\r\n",
    "a bad parameter": post(b"/v1/encode?num_samples=-1", PICTURE, b"Content-Type: image/png"),
    "a bad picture": post(b"/v1/encode", PICTURE[:40], b"Content-Type: image/png"),
    "another type": post(b"/v1/encode", b"{}", b"Content-Type: text/html"),
    "another method": b"GET /v1/encode HTTP/1.1\r\n" + HOST + b"\r\n",
    "head": b"HEAD /v1/sample?seed=1 HTTP/1.1\r\n" + HOST + b"\r\n",
}


def listening(app: Any, **options: Any) -> AbstractAsyncContextManager[int]:
    """The port of an app, whose server enters it as `vae serve` does."""
    return listening_as(app, interface="asgi3", proxy_headers=False, **options)


def served(client: httpx.AsyncClient) -> AbstractAsyncContextManager[int]:
    """The port of a client's app."""
    return listening(client.app.state.entry)  # type: ignore[attr-defined]


def over_asgi(entry: Entry) -> Any:
    """The entry as a server that knows nothing of operations enters it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await entry(scope, receive, send)

    return app


def same(data: bytes) -> tuple[list[bytes], bytes]:
    """Status and headers of an answer in their order, without its times; and its content."""
    head, _, content = data.partition(b"\r\n\r\n")
    return [line for line in head.split(b"\r\n") if b"server-timing" not in line], content


async def test_every_answer_is_that_of_asgi(open_client: ClientFactory) -> None:
    async with open_client() as client:
        entry = client.app.state.entry  # type: ignore[attr-defined]
        async with listening(entry) as port, listening(over_asgi(entry)) as other:
            for name, request in REQUESTS.items():
                direct = await exchange(port, last(request))
                by_asgi = await exchange(other, last(request))
                assert same(direct.data) == same(by_asgi.data), name
                assert direct.data.count(b"server-timing: ") == 1


async def test_what_is_answered_directly(open_client: ClientFactory) -> None:
    async with open_client() as client, open_client(cors_origins=("http://a",)) as with_cors:
        entry = client.app.state.entry  # type: ignore[attr-defined]
        assert entry.find_operation({"method": "POST", "path": "/v1/encode"}) is not None
        for scope in (
            {"method": "GET", "path": "/livez"},
            {"method": "HEAD", "path": "/v1/sample"},
            {"method": "POST", "path": "/v1/encode", "root_path": "/a"},
        ):
            assert entry.find_operation(scope) is None
        entry = with_cors.app.state.entry  # type: ignore[attr-defined]
        assert entry.find_operation({"method": "POST", "path": "/v1/encode"}) is None


async def test_keys_are_asked_for(open_client: ClientFactory) -> None:
    async with open_client(api_keys_sha256=(hash_key("secret"),)) as client:
        entry = client.app.state.entry  # type: ignore[attr-defined]
        key = b"Authorization: Bearer secret\r\n"
        async with listening(entry) as port:
            without = await exchange(port, last(ENCODE))
            with_key = await exchange(port, last(ENCODE).replace(HOST, HOST + key))
    assert without.statuses == [401]
    assert b"\r\nwww-authenticate: Bearer" in without.data
    assert with_key.statuses == [200]


async def test_pipelined_requests_are_answered_in_their_order_however_many(
    open_client: ClientFactory,
) -> None:
    unknown = REQUESTS["no such model"] * 2000  # each is answered at once
    async with open_client() as client, served(client) as port:
        received = await exchange(port, ENCODE * 3 + unknown + last(ENCODE))
    assert received.statuses == [200] * 3 + [404] * 2000 + [200]


async def test_a_body_may_come_in_pieces_and_after_a_100(open_client: ClientFactory) -> None:
    request = last(ENCODE)
    expecting = request.replace(HOST, HOST + b"Expect: 100-continue\r\n")
    head, body = expecting[: -len(PICTURE)], expecting[-len(PICTURE) :]
    async with open_client() as client, served(client) as port:
        whole = await exchange(port, request)
        pieces = await exchange(port, request[:20], request[20:-9], request[-9:], pause=0.03)
        asked = await exchange(port, head, body, pause=0.1)
    assert pieces.statuses == whole.statuses == [200]
    assert same(pieces.data) == same(whole.data)
    assert asked.statuses == [100, 200]


async def test_a_client_that_leaves_within_its_body_is_counted(open_client: ClientFactory) -> None:
    async with open_client() as client:
        metrics: Metrics = client.app.state.service.metrics  # type: ignore[attr-defined]
        async with listening(client.app.state.entry) as port:  # type: ignore[attr-defined]
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(ENCODE[:-5])
            while not metrics.in_flight:
                await asyncio.sleep(0.001)
            writer.close()
            while metrics.in_flight:
                await asyncio.sleep(0.001)
        metrics.flush()
        assert b'status="499"' in metrics.text()


async def test_a_crash_is_a_problem_and_the_connection_goes_on(
    open_client: ClientFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*arguments: object) -> None:
        raise RuntimeError("the secret of /srv/models")

    monkeypatch.setitem(COMPUTE, "sample", crash)
    sample = b"GET /v1/sample HTTP/1.1\r\n" + HOST + b"\r\n"
    async with open_client() as client, served(client) as port:
        received = await exchange(port, sample + last(ENCODE))
    assert received.statuses == [500, 200]
    problem = json.loads(received.data.split(b"\r\n\r\n")[1].partition(b"HTTP/1.1")[0])
    assert "secret" not in problem["detail"]


async def test_an_answer_waits_until_the_client_has_taken_those_before_it() -> None:
    written: list[bytes] = []
    transport: Any = SimpleNamespace(write=written.append, is_closing=lambda: False)
    flow = FlowControl(transport)
    one = Exchange(
        {"method": "GET"},
        transport,
        flow,
        default_headers=[],
        expects_continue=False,
        keep_alive=True,
        headers={},
        on_response=lambda: None,
    )
    flow.pause_writing()
    replying = asyncio.create_task(one.reply(200, b"content-length: 2\r\n", b"{}"))
    await asyncio.sleep(0)
    assert written == []
    flow.resume_writing()
    await replying
    assert written == [b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"]


async def test_a_server_that_stops_closes_each_connection_by_its_answer(
    open_client: ClientFactory,
) -> None:
    async with open_client() as client:
        entry, closing = client.app.state.entry, [(b"connection", b"close")]  # type: ignore[attr-defined]
        async with listening(entry, default_headers=closing) as port:
            received = await exchange(port, ENCODE)
    assert received.statuses == [200]
    assert received.data.count(b"connection: close\r\n") == 1


async def test_operations_are_served_below_a_root_path(open_client: ClientFactory) -> None:
    async with open_client() as client:
        transport = httpx.ASGITransport(client.app, root_path="/a")  # type: ignore[attr-defined]
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as below:
            found = await below.get("/a/v1/sample?seed=1&format=npy")
        assert found.content == (await client.get("/v1/sample?seed=1&format=npy")).content


async def test_a_cancelled_answer_is_no_answer_that_was_late(open_client: ClientFactory) -> None:
    gate = threading.Event()
    async with open_client() as client:
        service = client.app.state.service  # type: ignore[attr-defined]
        call = Call(
            service,
            OPERATIONS["sample"],
            service.registry.find(),
            Plans(),
            Received(nothing_comes),
            Record("id"),
            timeout=60.0,
        )
        waiting = asyncio.create_task(off_loop(call, gate.wait))
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        gate.set()


async def nothing_comes() -> Any:
    raise AssertionError
