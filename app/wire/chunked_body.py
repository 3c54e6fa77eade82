"""A chunked body (RFC 9112, section 7.1), read strictly from its bytes, piece by piece."""

import re

from app.errors import MalformedRequest
from app.wire.request_head import LIBRARY, LOOSE_LINE_END, TOKEN, VALUE

MAX_LINE_BYTES = 4 * 1024
"""Largest line between two chunks, or trailers after the last."""

_SIZE_LINE = rb"([0-9A-Fa-f]{1,15})(?:;%b|[ \t]*+)\r\n" % VALUE
_FIRST = re.compile(_SIZE_LINE)
_NEXT = re.compile(rb"\r\n" + _SIZE_LINE)
_TRAILER = rb"%b:%b\r\n" % (TOKEN, VALUE)
_TRAILERS = re.compile(rb"(?:%b)*+\r\n" % _TRAILER)
_WHOLE_TRAILERS = re.compile(rb"(?:%b)*+" % _TRAILER)


class ChunkedBody:
    """The reader of one chunked body; trailers are read and left out."""

    def __init__(self) -> None:
        self._left = 0
        self._line = b""
        self._expected = _FIRST

    def read(self, data: bytes) -> tuple[bytes, bytes | None]:
        """Read on.

        Returns:
            The body's next bytes, and what follows its end; None while it goes on.

        Raises:
            MalformedRequest: What stands between the data breaks HTTP/1.1.
        """
        data = self._line + data
        self._line = b""
        body, at = [], 0
        while True:
            piece = data[at : at + self._left]
            body.append(piece)
            at += len(piece)
            self._left -= len(piece)
            if self._left:
                return b"".join(body), None
            found = self._expected.match(data, at)
            end = len(data) if found is None else found.end()
            if end - at > MAX_LINE_BYTES:
                fault = f"has more than {MAX_LINE_BYTES // 1024} KiB, the limit"
                raise _malformed(f"A chunk's size, extension or trailer {fault}.")
            if found is None:
                self._line = data[at:]
                _check_incomplete(self._line, self._expected)
                return b"".join(body), None
            at = end
            if self._expected is _TRAILERS:
                return b"".join(body), data[at:]
            self._left = int(found[1], 16)
            self._expected = _NEXT if self._left else _TRAILERS


def _check_incomplete(line: bytes, expected: re.Pattern[bytes]) -> None:
    """Refuse what cannot become what is expected, whatever follows."""
    if expected is _NEXT:
        if not b"\r\n".startswith(line[:2]):
            raise _malformed("A chunk's data is longer than its size.")
        line = line[2:]
    if LOOSE_LINE_END.search(line):
        raise _malformed("A chunk's size, extension or trailer has a CR or LF alone.")
    whole = line[: line.rfind(b"\r\n") + 2] if b"\r\n" in line else b""
    if expected is _TRAILERS and not _WHOLE_TRAILERS.fullmatch(whole):
        raise _malformed("A trailer is not NAME: VALUE without control characters.")
    if expected is not _TRAILERS and whole:
        shown = whole[:40].partition(b"\r\n")[0].decode("latin-1")
        raise _malformed(f"A chunk's size is {shown!r}, not up to 15 hexadecimal digits.")


def _malformed(fault: str) -> MalformedRequest:
    return MalformedRequest(f"{fault} {LIBRARY}", parameter="body")
