"""Turns of the event loop: so many requests begin in each, in their order, and probes at once."""

import asyncio
from typing import Any

import pytest

from app.api import turns
from app.api.protocol import serving_protocol
from app.api.turns import REQUESTS, Turns
from app.settings import Settings
from tests.app.api.raw_http import POST, answer_first, exchange, listening

pytestmark = pytest.mark.anyio


async def test_so_many_requests_begin_in_a_turn_in_the_order_of_their_arrival() -> None:
    loop, gate = asyncio.get_running_loop(), Turns()
    begun: list[int] = []
    for number in range(2 * REQUESTS + 3):
        gate.begin(lambda number=number: begun.append(number), loop)  # type: ignore[misc]
    sizes = [len(begun)]
    while sizes[-1] < 2 * REQUESTS + 3:
        await asyncio.sleep(0)
        sizes.append(len(begun))
    assert sizes == [REQUESTS, 2 * REQUESTS, 2 * REQUESTS + 3]
    assert begun == sorted(begun)


async def test_a_request_that_comes_while_others_wait_waits_behind_them() -> None:
    loop, gate = asyncio.get_running_loop(), Turns()
    begun: list[int] = []
    for number in range(REQUESTS + 1):
        gate.begin(lambda number=number: begun.append(number), loop)  # type: ignore[misc]
    gate.begin(lambda: begun.append(-1), loop)
    await asyncio.sleep(0)
    assert begun == [*range(REQUESTS + 1), -1]


async def test_requests_one_after_the_other_begin_at_once() -> None:
    loop, gate = asyncio.get_running_loop(), Turns()
    begun: list[int] = []
    for number in range(3 * REQUESTS):
        gate.begin(lambda number=number: begun.append(number), loop)  # type: ignore[misc]
        assert begun[-1] == number
        await asyncio.sleep(0)


async def test_all_are_answered_where_each_takes_a_turn_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "REQUESTS", 1)

    async def answers(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body"})

    async with listening(answers) as port:
        asked = [
            exchange(port, b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path)
            for path in [b"/v1/sample", b"/livez"] * 10
        ]
        received = await asyncio.gather(*asked)
    assert [one.statuses for one in received] == [[200]] * 20


async def test_a_request_whose_client_left_before_its_turn_never_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held: list[Any] = []
    monkeypatch.setattr(Turns, "begin", lambda self, start, loop: held.append(start))
    protocol = serving_protocol(Settings())
    connections = protocol.keywords["connections"]
    async with listening(answer_first, protocol=protocol) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(POST + b"Content-Length: 2\r\n\r\n{}")
        while not held:
            await asyncio.sleep(0.001)
        assert connections.buffered == 2
        writer.close()
        while connections.open:
            await asyncio.sleep(0.001)
        assert (connections.buffered, connections.busy) == (0, 0)
        held[0]()
        await asyncio.sleep(0.01)
        assert connections.open == set()
