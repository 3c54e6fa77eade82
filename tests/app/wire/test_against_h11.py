"""Heads and chunked bodies, mutated at random: h11 reads alike whatever is read here."""

import random
from collections.abc import Iterator

import h11
import pytest

from app.errors import ServiceError
from app.wire.chunked_body import ChunkedBody
from app.wire.request_head import Head, read_head

HEADS = [
    b"POST /v1/encode?a=%20b HTTP/1.1\r\nHost: a:8000\r\nContent-Type: image/png\r\n"
    b"Content-Length: 4\r\nConnection: keep-alive, x\r\n\r\n",
    b"POST /v1/encode HTTP/1.1\r\nHost: [::1]:80\r\nTransfer-Encoding: chunked\r\nX: a\r\n\r\n",
    b"GET /b HTTP/1.0\r\nX_Y: \xff\tz \r\nConnection: close\r\n\r\n",
]
CHUNKS = [
    b"3\r\nabc\r\n00A;x=y\r\n0123456789\r\n0\r\n\r\n",
    b"2\r\n\r\n\r\n1\r\n0\r\n0\r\nX: y\r\n\r\n",
]
PARTS = [b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"\0", b",", b";", b"/", b"?", b"0", b"\xe9"]
PARTS += [b"Content-Length: 4\r\n", b"Content-Length:5\r\n", b"Transfer-Encoding: chunked\r\n"]
PARTS += [b"Connection: close\r\n", b"Host: b\r\n", b"HTTP/1.0", b"close", b"chunked"]


def mutated(seeds: list[bytes], count: int) -> Iterator[bytes]:
    """Seeds with one to three parts put in, left out or repeated elsewhere."""
    rng = random.Random(1)
    for _ in range(count):
        data = rng.choice(seeds)
        for _ in range(rng.randint(1, 3)):
            at, other = rng.randrange(len(data)), rng.randrange(len(data))
            middle = rng.choice([rng.choice(PARTS), data[other : other + 20], b""])
            data = data[:at] + middle + data[at + rng.choice([0, 0, 1]) :]
        yield data


def read_by_h11(data: bytes) -> list[h11.Event]:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    events = []
    while not events or events[-1] not in (h11.NEED_DATA, h11.PAUSED):
        events.append(connection.next_event())  # type: ignore[arg-type]
        if isinstance(events[-1], h11.ConnectionClosed | h11.EndOfMessage):
            break
    return events


def test_a_head_is_what_h11_reads() -> None:
    read = 0
    for data in mutated(HEADS, 20_000):
        try:
            head = read_head(data)
        except ServiceError:
            continue
        if head is not None:
            read += 1
            _compare(head, data)
    assert read > 1000


def _compare(head: Head, data: bytes) -> None:
    event, after = read_by_h11(data[: head.size])[:2]
    assert isinstance(event, h11.Request), data
    said = event.method.decode(), event.http_version.decode()
    assert said == (head.scope["method"], head.scope["http_version"])
    assert event.target == head.target, data
    headers = head.scope["headers"]
    assert [name for name, _ in event.headers] == [name for name, _ in headers]
    for (name, value), (_, own) in zip(event.headers, headers, strict=True):
        assert value == (own.lower() if name == b"transfer-encoding" else own), data
    assert isinstance(after, h11.EndOfMessage) is not (head.chunked or head.length > 0), data


@pytest.mark.parametrize("cut", [1, 3, 1000])
def test_a_chunked_body_is_what_h11_reads(cut: int) -> None:
    read = 0
    for data in mutated(CHUNKS, 5_000):
        reader, body = ChunkedBody(), b""
        rest: bytes | None = None
        try:
            for at in range(0, len(data), cut):
                if rest is not None:
                    rest += data[at : at + cut]
                    continue
                more, rest = reader.read(data[at : at + cut])
                body += more
        except ServiceError:
            continue
        read += 1
        events = read_by_h11(HEADS[1] + data)
        theirs = b"".join(event.data for event in events if isinstance(event, h11.Data))
        assert (body, rest is not None) == (theirs, events[-1] is not h11.NEED_DATA), data
    assert read > 200
