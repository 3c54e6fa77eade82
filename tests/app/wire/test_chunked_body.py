"""Chunked bodies: the same bytes however they are cut, or a refusal that says what is wrong."""

import re

import pytest

from app.errors import MalformedRequest
from app.wire.chunked_body import ChunkedBody

WHOLE = b"3\r\nabc\r\n00A;x=\xff\r\n0123456789\r\n0\r\nX: y\r\nZ:\r\n\r\nGET"


def read(*pieces: bytes) -> tuple[bytes, bytes | None]:
    reader, body = ChunkedBody(), b""
    rest: bytes | None = None
    for piece in pieces:
        assert rest is None
        data, rest = reader.read(piece)
        body += data
    return body, rest


@pytest.mark.parametrize("cut", range(1, len(WHOLE) - 3))
def test_a_body_is_the_same_wherever_a_packet_ends(cut: int) -> None:
    body, rest = read(WHOLE[:cut], WHOLE[cut:])
    assert body == b"abc0123456789"
    assert rest == b"GET"


def test_a_body_may_come_byte_by_byte_and_be_empty() -> None:
    assert read(*[bytes([byte]) for byte in WHOLE[:-3]]) == (b"abc0123456789", b"")
    assert read(b"0\r\n\r\n") == (b"", b"")
    assert read(b"0\r\n") == (b"", None)


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"+2\r\n", "size is '+2', not up to 15 hexadecimal digits"),
        (b"\r\n", "size is ''"),
        (b"2 x\r\n", "size is '2 x'"),
        (b"2 ;x\r\n", "hexadecimal"),
        (b"1000000000000000\r\n", "size is '1000000000000000'"),
        (b"2;a=\0\r\n", "hexadecimal"),
        (b"2\r\n{}\r\n-1\r\n", "size is '-1'"),
        (b"2\r\n{}XX", "data is longer than its size"),
        (b"2\r\n{}\n", "data is longer than its size"),
        (b"2\n", "CR or LF alone"),
        (b"2\r\r", "CR or LF alone"),
        (b"2\r\n{}\r\n\n", "CR or LF alone"),
        (b"0\r\n\n", "CR or LF alone"),
        (b"0\r\nGET /\r\n", "trailer is not NAME: VALUE"),
        (b"0\r\nX: a\r\n b\r\n", "trailer is not NAME: VALUE"),
        (b"0\r\nX : a\r\n\r\n", "trailer is not NAME: VALUE"),
        (b"2;" + b"a" * 5000, "more than 4 KiB"),
        (b"2;" + b"a" * 5000 + b"\r\n", "more than 4 KiB"),
        (b"0\r\nX: " + b"a" * 5000 + b"\r\n\r\n", "more than 4 KiB"),
    ],
)
def test_what_a_proxy_may_read_otherwise_is_refused_in_one_piece_or_many(
    data: bytes, fault: str
) -> None:
    with pytest.raises(MalformedRequest, match=re.escape(fault)) as found:
        read(data)
    assert found.value.details["parameter"] == "body"
    with pytest.raises(MalformedRequest):
        read(*[bytes([byte]) for byte in data])
