"""Bounds of all connections together: their number, what their bodies hold, who must wait."""

import asyncio
import contextlib
import gc
import json
import pickle
import resource
import socket
import sys
import time
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.api.connections import RESERVED_DESCRIPTORS, Connections, allowed_connections
from app.api.protocol import StrictProtocol, serving_protocol
from app.settings import Settings
from tests.app.api.raw_http import (
    BOTH_LOOPS,
    CHUNKED,
    LAST,
    POST,
    answer,
    exchange,
    listening,
    read_all,
)
from tests.app.conftest import ClientFactory
from tests.app.pictures import binary, encoded

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]

HALF_A_BODY = POST + b"Content-Length: 1000\r\n\r\n" + b"a" * 900


@contextlib.asynccontextmanager
async def opened(
    port: int, count: int, data: bytes = b""
) -> AsyncIterator[list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]:
    """So many connections, each of which has sent this."""
    pairs = [await asyncio.open_connection("127.0.0.1", port) for _ in range(count)]
    for _, writer in pairs:
        writer.write(data)
    await asyncio.sleep(0.1)
    try:
        yield pairs
    finally:
        for _, writer in pairs:
            writer.close()
        await asyncio.sleep(0.05)


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def test_what_came_while_the_loop_stood_still_is_read_before_the_sweep() -> None:
    seen: list[str] = []
    loop = asyncio.get_running_loop()
    connections = Connections(
        client_timeout=0.04,  # a sweep every 10 ms
        min_body_rate=1,
        max_connections=10,
        max_buffered_bytes=10,
        max_requests=10,
    )

    class Idle(asyncio.Protocol):
        """A connection that the sweep may close."""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            connections.add(self, loop)

        def connection_lost(self, exc: Exception | None) -> None:
            connections.remove(self)

        def check(self, now: float) -> None:
            seen.append("swept")

        def data_received(self, data: bytes) -> None:
            seen.append("read")

    class Slow(asyncio.Protocol):
        """A connection on which the loop stands still, until the next sweep is overdue."""

        def data_received(self, data: bytes) -> None:
            seen.clear()
            idle_client.send(b"next request")
            time.sleep(0.05)

    idle_client, idle = socket.socketpair()
    slow_client, slow = socket.socketpair()
    transports = [
        (await loop.connect_accepted_socket(protocol, end))[0]
        for protocol, end in ((Idle, idle), (Slow, slow))
    ]
    slow_client.send(b"request")
    await until(lambda: {"read", "swept"} <= set(seen))
    for transport in transports:
        transport.close()
    await asyncio.sleep(0.01)
    idle_client.close()
    slow_client.close()
    assert seen[0] == "read"


def protocol_of(**settings: Any) -> tuple[Any, Connections]:
    protocol = serving_protocol(Settings(**settings))
    return protocol, protocol.keywords["connections"]


@pytest.mark.parametrize(
    "unfinished",
    [b"", b"GET /livez HTTP/1.1\r\nHo", POST + b"Content-Length: 9\r\n\r\n{", CHUNKED + b"9\r\n{"],
    ids=["silent", "head", "body", "chunk"],
)
async def test_six_hundred_slow_connections_lock_nobody_out(unfinished: bytes) -> None:
    async with listening(read_all) as port, opened(port, 600, unfinished):
        assert (await exchange(port, LAST)).statuses == [200]
        whole = POST + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}"
        assert (await exchange(port, whole)).data.endswith(b"2")


async def test_six_hundred_unfinished_bodies_lock_nobody_out_of_an_operation(
    open_client: ClientFactory,
) -> None:
    picture = encoded(binary()[0])
    head = POST.replace(b"application/json", b"image/png") + b"Connection: close\r\n"
    head += b"Content-Length: %d\r\n\r\n" % len(picture)
    async with (
        open_client() as client,
        listening(client.app) as port,  # type: ignore[attr-defined]
        opened(port, 600, head + picture[:-1]),
    ):
        assert (await exchange(port, head + picture)).statuses == [200]


async def test_a_flood_of_connections_is_answered_503_and_those_before_are_served(
    caplog: pytest.LogCaptureFixture,
) -> None:
    protocol, connections = protocol_of(max_connections=20, client_timeout_seconds=2)
    async with listening(read_all, protocol=protocol) as port:
        async with opened(port, 20) as served:
            async with opened(port, 180, LAST) as others:
                answers = [await asyncio.wait_for(reader.read(), 20) for reader, _ in others[:100]]
                late = await exchange(port)
                assert len(connections.open) == 20 + RESERVED_DESCRIPTORS // 2
            for reader, writer in served:
                writer.write(LAST)
                assert b"200 OK" in await reader.read()
        assert all(data.startswith(b"HTTP/1.1 503 ") for data in answers)
        assert b"\r\nretry-after: 2\r\n" in answers[0]
        assert late.statuses == [503]
        assert late.problem["type"] == "/problems/server-busy"
        assert "VAE_MAX_CONNECTIONS" in late.problem["detail"]
        assert late.problem["limit"] == 20
        await until(lambda: not connections.open)
        assert (await exchange(port, LAST)).statuses == [200]
        await until(lambda: not connections._refused)
    found = [record for record in caplog.records if record.name == "app"]
    assert {record.message for record in found} == {"connections refused"}
    assert sum(record.fields["count"] for record in found) == 181  # type: ignore[attr-defined]
    assert len(found) < 10


async def test_bodies_are_bounded_together_and_their_bytes_come_back() -> None:
    protocol, connections = protocol_of(max_buffered_bytes=2000)
    async with (
        listening(read_all, protocol=protocol) as port,
        opened(port, 2, HALF_A_BODY) as (one, other),
    ):
        assert connections.buffered == 1800
        refused = await exchange(port, HALF_A_BODY)
        assert refused.statuses == [503]
        assert refused.problem["type"] == "/problems/server-busy"
        assert "VAE_MAX_BUFFERED_BYTES" in refused.problem["detail"]
        assert b"\r\nretry-after: " in refused.data
        assert (await exchange(port, LAST)).statuses == [200]  # it has no body
        one[1].write(b"a" * 100)
        assert b"200 OK" in await one[0].readuntil(b"1000")
        assert connections.buffered == 900
        other[1].write(b"a" * 100 + POST + b"Content-Length: 1900\r\n\r\n" + b"a" * 1900)
        answers = await other[0].readuntil(b"1900")  # one body after the other, each in its time
        assert answers.count(b"200 OK") == 2
        assert connections.buffered == 0


async def test_a_body_counts_until_the_app_has_let_go_of_it() -> None:
    leave = asyncio.Event()

    async def holds(scope: Any, receive: Any, send: Any) -> None:
        await leave.wait()

    protocol, connections = protocol_of()
    async with listening(holds, protocol=protocol) as port:
        async with opened(port, 2, HALF_A_BODY) as (gone, faulty):
            gone[1].transport.abort()
            async with opened(port, 1, CHUNKED + b"2\r\n{}") as ((reader, writer),):
                writer.write(b"XX")
                assert b" 400 " in await reader.readuntil(b"\r\n")
            await until(lambda: len(connections.open) == 1)
            assert connections.buffered == 1802
            faulty[1].transport.abort()
        await until(lambda: not connections.open)
        assert connections.buffered == 1802
        leave.set()
        await until(lambda: connections.buffered == 0)


async def test_a_client_that_still_sends_gets_an_early_answer_though_it_is_the_last() -> None:
    async def refuses(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"no")

    head = POST + b"Connection: close\r\nContent-Length: 3000000\r\n\r\n"
    async with listening(refuses) as port:
        received = await exchange(port, head, *[b"a" * 100_000] * 10, pause=0.01)
    assert received.data.endswith(b"no")


async def test_a_server_that_stops_answers_what_comes_at_once_as_the_last_request() -> None:
    protocol, connections = protocol_of(client_timeout_seconds=0.4)
    whole = LAST.replace(b"Connection: close\r\n", b"")
    async with (
        listening(read_all, protocol=protocol) as port,
        opened(port, 5, whole) as pairs,
        opened(port, 1) as (silent,),
    ):
        for reader, _ in pairs:
            assert b"connection: close" not in await reader.readuntil(b"\r\n\r\n0")
        pairs[0][1].write(POST + b"Content-Length: 2\r\n\r\n{")
        pairs[1][1].write(whole[:20])
        await asyncio.sleep(0.05)
        for connection in connections.open:
            connection.shutdown()  # type: ignore[attr-defined]
        pairs[0][1].write(b"}")
        pairs[1][1].write(whole[20:])
        pairs[2][1].write(whole)
        for reader, _ in pairs[:3]:
            assert b"connection: close" in await reader.read()
        for reader, _ in (pairs[3], silent):
            assert await reader.read() == b""


async def test_a_connection_that_has_ended_is_freed_at_once() -> None:
    protocol, connections = protocol_of()
    gc.collect()
    gc.disable()
    try:
        async with listening(read_all, protocol=protocol) as port:
            assert (await exchange(port, LAST)).statuses == [200]
            assert (await exchange(port, b"GET /\n")).statuses == [400]
            async with opened(port, 1, HALF_A_BODY):
                (kept,) = (weakref.ref(connection) for connection in connections.open)
            await until(lambda: kept() is None)
            alive = [found for found in gc.get_objects() if type(found) is StrictProtocol]
    finally:
        gc.enable()
    assert alive == []


async def test_the_sweep_ends_with_the_last_connection_and_begins_anew() -> None:
    protocol, connections = protocol_of(client_timeout_seconds=0.2)
    async with listening(read_all, protocol=protocol) as port:
        for _ in range(2):
            assert (await exchange(port, LAST)).statuses == [200]
            await until(lambda: connections._timer is None)
            assert (await exchange(port)).data == b""


async def test_the_bounds_go_to_every_worker() -> None:
    protocol, _ = protocol_of(
        max_connections=7,
        max_buffered_bytes=8,
        client_timeout_seconds=9,
        min_body_bytes_per_second=10,
    )
    connections = pickle.loads(pickle.dumps(protocol)).keywords["connections"]
    assert connections == Connections(
        client_timeout=9,
        min_body_rate=10,
        max_connections=7,
        max_buffered_bytes=8,
        max_requests=512,
    )


async def test_the_limit_of_open_files_is_raised_and_bounds_the_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = {"soft": 1024, "hard": 4096}

    def change(_: int, values: tuple[int, int]) -> None:
        limits.update(soft=values[0], hard=values[1])

    monkeypatch.setattr(resource, "getrlimit", lambda _: (limits["soft"], limits["hard"]))
    monkeypatch.setattr(resource, "setrlimit", change)
    assert allowed_connections(500) == 500
    assert limits == {"soft": 1024, "hard": 4096}
    assert allowed_connections(4096) == 4096 - RESERVED_DESCRIPTORS
    assert limits == {"soft": 4096, "hard": 4096}
    limits.update(soft=100, hard=resource.RLIM_INFINITY)
    assert allowed_connections(4096) == 4096
    assert limits["soft"] == 4096 + RESERVED_DESCRIPTORS
    limits.update(soft=resource.RLIM_INFINITY)
    assert allowed_connections(10**6) == 10**6
    monkeypatch.setitem(sys.modules, "resource", None)
    assert allowed_connections(9) == 9


async def test_a_request_without_room_is_refused_before_its_body_and_its_connection_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    protocol, connections = protocol_of(max_queue_requests=2, client_timeout_seconds=1)
    free = asyncio.Event()

    async def wait(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] != "/livez":
            await free.wait()
        await read_all(scope, receive, send)

    whole = POST + b"Content-Length: 2\r\n\r\n{}"
    async with (
        listening(wait, protocol=protocol) as port,
        opened(port, 2, whole) as busy,
        opened(port, 1, POST + b"Content-Length: 8\r\n\r\n") as (late,),
        opened(port, 1, b"GET /v1/sample HTTP/1.1\r\nHost: a\r\n\r\n") as (short,),
    ):
        assert connections.busy == 2
        for (reader, _), path in ((late, "/v1/encode"), (short, "/v1/sample")):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 503 ")
            assert b"\r\nretry-after: 1\r\n" in head
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            problem = json.loads(await reader.readexactly(length))
            assert (problem["type"], problem["instance"]) == ("/problems/queue-full", path)
        late[1].write(b"8 bytes.GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"200 OK" in await late[0].readuntil(b"\r\n\r\n0")
        free.set()
        for reader, _ in busy:
            assert b"200 OK" in await reader.readuntil(b"\r\n\r\n2")
        assert connections.busy == 0
        short[1].write(whole)
        assert b"200 OK" in await short[0].readuntil(b"\r\n\r\n2")
        await until(lambda: not connections.shed)
    (line,) = [record for record in caplog.records if record.message == "requests refused"]
    assert line.fields == {"count": 2}  # type: ignore[attr-defined]


async def test_an_inference_request_without_room_is_refused_in_its_protocols_form() -> None:
    protocol, _ = protocol_of(max_queue_requests=1)
    free = asyncio.Event()

    async def wait(scope: Any, receive: Any, send: Any) -> None:
        await free.wait()

    inference = POST.replace(b"/v1/encode", b"/v2/models/a.encode/infer") + b"\r\n"
    async with (
        listening(wait, protocol=protocol) as port,
        opened(port, 1, POST + b"Content-Length: 2\r\n\r\n{}"),
        opened(port, 1, inference) as ((reader, _),),
    ):
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"\r\ncontent-type: application/json\r\n" in head
        assert (await reader.readuntil(b"}")).startswith(b'{"error":"The server is busy: 1 ')
        free.set()


async def test_what_comes_instead_of_the_rest_of_a_refused_body_closes_the_connection() -> None:
    protocol, _ = protocol_of(max_queue_requests=1)
    free = asyncio.Event()

    async def wait(scope: Any, receive: Any, send: Any) -> None:
        await free.wait()

    whole = POST + b"Content-Length: 2\r\n\r\n{}"
    async with (
        listening(wait, protocol=protocol) as port,
        opened(port, 1, whole),
        opened(port, 1, CHUNKED) as ((reader, writer),),
    ):
        assert b"503" in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"no chunk\r\n")
        async with asyncio.timeout(10):
            await reader.read()
        free.set()
