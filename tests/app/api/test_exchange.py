"""Answers as they are written: framed by HTTP/1.1, and refused where an app breaks ASGI."""

from types import SimpleNamespace
from typing import Any

import pytest

from app.api.exchange import Exchange
from tests.app.api.raw_http import LAST, exchange, listening

pytestmark = pytest.mark.anyio

HEAD = b"HEAD /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
START = {"type": "http.response.start", "status": 200}
LENGTH_2 = {**START, "headers": [(b"content-length", b"2")]}
BODY = {"type": "http.response.body", "body": b"{}"}
PART = {**BODY, "more_body": True}
EMPTY = {"type": "http.response.body"}


async def answered(*messages: dict[str, Any], request: bytes = LAST) -> tuple[list[int], bytes]:
    """Statuses, and all that came, of an app that sends these messages."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    async with listening(app) as port:
        received = await exchange(port, request)
    return received.statuses, received.data


async def test_a_length_that_is_known_frames_the_body() -> None:
    statuses, data = await answered(LENGTH_2, BODY)
    assert statuses == [200]
    assert data.endswith(b"content-length: 2\r\nconnection: close\r\n\r\n{}")


async def test_a_body_of_unknown_length_is_sent_in_chunks() -> None:
    _, data = await answered(START, PART, {**EMPTY, "more_body": True}, BODY)
    assert data.endswith(b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n2\r\n{}\r\n0\r\n\r\n")
    said = {**START, "headers": [(b"transfer-encoding", b"chunked")]}
    _, data = await answered(said, EMPTY)
    assert data.count(b"chunked") == 1
    assert data.endswith(b"\r\n\r\n0\r\n\r\n")


def begun() -> Exchange:
    flow: Any = SimpleNamespace(resume_reading=lambda: None)
    return Exchange(
        {}, None, flow, default_headers=[], expects_continue=False, keep_alive=True, headers={},
        on_response=lambda: None,
    )  # fmt: skip


def test_whoever_waits_is_told_that_a_client_hung_up() -> None:
    told: list[str] = []
    one = begun()
    one.when_gone(lambda: told.append("later"))
    one.notify()  # a part of the body, and no end
    assert not told
    one.disconnected = True
    one.notify()
    one.when_gone(lambda: told.append("before"))
    assert told == ["later", "before"]


def test_whoever_has_ended_is_not_told() -> None:
    told: list[str] = []
    one = begun()
    forget = one.when_gone(lambda: told.append("gone"))
    forget()
    one.disconnected = True
    one.notify()
    assert not told


async def test_a_large_body_follows_its_head() -> None:
    large = b"x" * 100_000
    head = {**START, "headers": [(b"content-length", b"100000")]}
    _, data = await answered(head, {**BODY, "body": large})
    assert data.endswith(b"\r\n\r\n" + large)


async def test_a_part_waits_until_the_client_has_taken_those_before_it() -> None:
    large = b"x" * 10_000_000
    head = {**START, "headers": [(b"content-length", b"20000000")]}
    _, data = await answered(head, {**PART, "body": large}, {**BODY, "body": large})
    assert len(data.partition(b"\r\n\r\n")[2]) == 20_000_000


async def test_head_and_204_have_no_body() -> None:
    _, data = await answered(LENGTH_2, BODY, request=HEAD)
    assert data.endswith(b"content-length: 2\r\nconnection: close\r\n\r\n")
    _, data = await answered({**START, "status": 204}, EMPTY)
    assert data.endswith(b"\r\n\r\n")
    assert b"chunked" not in data


async def test_an_app_may_close_the_connection() -> None:
    closing = {**START, "headers": [(b"content-length", b"2"), (b"connection", b"Close")]}
    request = LAST.replace(b"Connection: close\r\n", b"")
    statuses, data = await answered(closing, BODY, request=request)
    assert statuses == [200]
    assert data.count(b"onnection: ") == 1


@pytest.mark.parametrize(
    ("messages", "statuses"),
    [
        pytest.param([BODY], [500], id="a body without a head"),
        pytest.param([{**START, "headers": [(b"x", b"a\r\nb: c")]}], [], id="a line break"),
        pytest.param([{**START, "headers": [(b"x", b"\0")]}], [], id="a control character"),
        pytest.param([LENGTH_2, LENGTH_2], [], id="two heads"),
        pytest.param([LENGTH_2, {**BODY, "body": b"{"}], [], id="a body too short"),
        pytest.param([LENGTH_2, {**BODY, "body": b"{ }"}], [], id="a body too long"),
        pytest.param([LENGTH_2, BODY, EMPTY], [200], id="a message after the end"),
    ],
)
async def test_what_breaks_asgi_never_reaches_the_client(
    messages: list[dict[str, Any]], statuses: list[int]
) -> None:
    assert (await answered(*messages))[0] == statuses
