"""One request and its answer: uvicorn's cycle, whose answers are written in one go.

uvicorn checks and writes a head line by line, and the body after it. Here the head is checked as a
whole, and waits for the first part of the body.
"""

import re
from itertools import chain
from typing import Any, cast

from starlette.types import Message
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

_ILLEGAL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|(?<!\r)\n")
"""What header lines may not hold (RFC 9110, section 5.5)."""
_BODYLESS = (204, 304)
_TOGETHER = 64 * 1024
"""Bytes of a body up to which it is copied behind its head."""


class Exchange(RequestResponseCycle):
    """One request and its answer."""

    def __init__(self, **options: Any) -> None:
        """Begin; the options are uvicorn's."""
        super().__init__(**options)
        self._head = b""

    async def send(self, message: Any) -> None:
        """Take a part of the app's answer.

        Raises:
            RuntimeError: The app breaks ASGI.
        """
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if self.response_complete:
            raise RuntimeError(f"{message['type']} was sent after the answer's end.")
        if self.response_started:
            self._write(message)
        else:
            self._begin(message)

    def _begin(self, message: Message) -> None:
        if message["type"] != "http.response.start":
            raise RuntimeError(f"{message['type']} was sent before http.response.start.")
        self.response_started = True
        self.waiting_for_100_continue = False
        status: int = message["status"]
        headers = [*self.default_headers, *message.get("headers", ())]
        lines = b"%b: %b\r\n" * len(headers) % tuple(chain.from_iterable(headers))
        if _ILLEGAL.search(lines) or lines.count(b"\r\n") != len(headers):
            raise RuntimeError("A header has a control character.")
        named = dict(headers)
        if b"close" in named.get(b"connection", b"").lower():
            self.keep_alive = False
        elif not self.keep_alive:
            lines += b"connection: close\r\n"
        length = named.get(b"content-length")
        self.chunked_encoding = length is None and b"transfer-encoding" in named
        if length is not None:
            self.expected_content_length = int(length)
        elif not self.chunked_encoding and self._may_have_body(status):
            self.chunked_encoding = True
            lines += b"transfer-encoding: chunked\r\n"
        self._head = STATUS_LINE[status] + lines + b"\r\n"

    def _may_have_body(self, status: int) -> bool:
        return self.scope["method"] != "HEAD" and status not in _BODYLESS

    def _write(self, message: Message) -> None:
        if message["type"] != "http.response.body":
            raise RuntimeError(f"{message['type']} was sent after http.response.start.")
        body, more = cast(bytes, message.get("body", b"")), message.get("more_body", False)
        head, self._head = self._head, b""
        if self.scope["method"] == "HEAD":
            body, self.expected_content_length = b"", 0
        elif self.chunked_encoding:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            body = body if more else body + b"0\r\n\r\n"
        else:
            self.expected_content_length -= len(body)
        if self.expected_content_length < 0 or (self.expected_content_length and not more):
            raise RuntimeError("The answer is not as long as its Content-Length says.")
        if len(body) <= _TOGETHER:
            self.transport.write(head + body)
        else:
            self.transport.write(head)
            self.transport.write(body)
        if not more:
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:
                self.transport.close()
            self.on_response()
