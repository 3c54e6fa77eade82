"""Clients that make the server wait: with a head, with a body, with reading the answer."""

import asyncio
from typing import Any

import pytest

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

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]


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


@pytest.mark.parametrize("rate", [0, 5])
async def test_a_body_that_goes_on_has_all_the_time_that_it_needs(rate: float) -> None:
    head = POST + b"Connection: close\r\nContent-Length: 10\r\n\r\n"
    bounds = {"client_timeout_seconds": 0.3, "min_body_bytes_per_second": rate}
    async with listening(read_all, **bounds) as port:
        assert (await exchange(port, head, *[b"a"] * 10, pause=0.1)).data.endswith(b"10")


TRICKLED = {
    "bytes": (POST + b"Content-Length: 100\r\n\r\n", b"a"),
    "chunks": (CHUNKED, b"1\r\na\r\n"),
    "a size without end": (CHUNKED, b"0"),
}


@pytest.mark.parametrize("case", TRICKLED)
async def test_a_body_that_is_trickled_is_a_408_however_often_it_goes_on(case: str) -> None:
    head, piece = TRICKLED[case]
    async with listening(read_all, client_timeout_seconds=0.3) as port:
        received = await exchange(port, head, *[piece] * 10, pause=0.05)
    assert received.statuses == [408]
    assert received.problem["type"] == "/problems/request-timeout"
    assert "VAE_MIN_BODY_BYTES_PER_SECOND" in received.problem["detail"]
    assert received.problem["received"] < received.problem["limit"] == 240


async def test_the_head_start_of_a_body_counts_toward_its_rate() -> None:
    head = POST + b"Connection: close\r\nContent-Length: 410\r\n\r\n"
    async with listening(read_all, client_timeout_seconds=0.3) as port:
        pieces = b"a" * 400, *[b"a"] * 10
        assert (await exchange(port, head, *pieces, pause=0.1)).data.endswith(b"410")


async def test_the_time_before_the_server_asks_for_a_body_is_not_the_clients() -> None:
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.6)
        await read_all(scope, receive, send)

    head = POST + b"Connection: close\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    async with listening(slow, client_timeout_seconds=0.3) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head)
        assert b" 100 " in await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.15)
        writer.write(b"{}")
        assert (await reader.read()).endswith(b"2")
        writer.close()


async def test_a_silent_connection_is_closed_without_an_answer() -> None:
    async with listening(read_all, client_timeout_seconds=0.1) as port:
        assert (await exchange(port)).data == b""


async def test_the_rest_of_a_body_that_is_answered_has_one_time_out() -> None:
    async with listening(answer_first, client_timeout_seconds=0.3) as port:
        head = POST + b"Content-Length: 1000\r\n\r\n"
        assert (await exchange(port, head, b"a" * 1000 + LAST)).statuses == [200, 200]
        with pytest.raises((ConnectionError, RuntimeError)):  # uvloop's, of a transport that closed
            await exchange(port, head, *[b"a"] * 40, pause=0.05)


async def test_a_client_that_waits_for_the_server_is_not_timed_out() -> None:
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.4)
        await read_all(scope, receive, send)

    body = b"a" * 4_000_000
    head = POST + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    bounds = {"client_timeout_seconds": 0.1, "min_body_bytes_per_second": 1e8}
    async with listening(slow, **bounds) as port:
        assert (await exchange(port, head + body)).data.endswith(b"4000000")


async def test_a_connection_that_closes_is_not_timed_out() -> None:
    async with listening(read_all) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /")
        await asyncio.sleep(0.05)
        writer.close()
        assert await reader.read() == b""


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
