"""The open-loop generator counts what happens to each request; no test looks at a time."""

import asyncio
from contextlib import suppress

import numpy as np

from benchmarks.open_loop import GAVE_UP, NOT_CONNECTED, RESET, send_all
from benchmarks.servers import Exchange

WIRE = Exchange("POST", "/", b"body").wire()
ANSWERS = {
    200: b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    503: b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
}


def outcomes_of(*script: int) -> list[int]:
    """What the generator counts against a server that answers each request in turn as told."""
    left = iter(script)

    connections: list[asyncio.Task[None] | None] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(asyncio.current_task())
        with suppress(ConnectionError):
            while await reader.read(4096):
                told = next(left)
                if told == RESET:
                    break
                # In two pieces, as networks do.
                for piece in (ANSWERS[told][:20], ANSWERS[told][20:]) if told in ANSWERS else ():
                    writer.write(piece)
                    await asyncio.sleep(0.01)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def send() -> list[int]:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            times = np.arange(len(script)) * 0.15
            records = await send_all(port, times, 0.5, WIRE)
            await asyncio.gather(*[task for task in connections if task is not None])
        return [int(outcome) for outcome in records["outcome"]]

    return asyncio.run(send())


def test_each_request_has_its_status() -> None:
    assert outcomes_of(200, 503, 200) == [200, 503, 200]


def test_a_client_that_waits_too_long_gives_up_and_others_go_on() -> None:
    assert outcomes_of(200, GAVE_UP, 200) == [200, GAVE_UP, 200]


def test_a_connection_that_the_server_closes_is_counted() -> None:
    assert outcomes_of(200, RESET, 200) == [200, RESET, 200]


def test_a_server_that_is_not_there_is_counted() -> None:
    async def send() -> list[int]:
        async with await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
        records = await send_all(port, np.zeros(2), 0.5, WIRE)
        return [int(outcome) for outcome in records["outcome"]]

    assert asyncio.run(send()) == [NOT_CONNECTED, NOT_CONNECTED]
