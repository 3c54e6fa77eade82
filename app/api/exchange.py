"""One request and its answer: uvicorn's cycle, whose answers are written in one go.

uvicorn checks and writes a head line by line, and the body after it. Here the head is checked as a
whole, and waits for the first part of the body. An ASGI app has its messages; an operation takes
the parts of the body and gives a whole answer.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

from starlette.types import Message
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from app.errors import ClientDisconnected
from app.wire.header_lines import write_lines

_BODYLESS = (204, 304)
_TOGETHER = 64 * 1024
"""Bytes of a body up to which it is copied behind its head."""
_log = logging.getLogger("uvicorn.error")

_write_known = lru_cache(maxsize=4)(write_lines)
"""Lines of the headers of every answer, which change once a second."""

Headers = Sequence[tuple[bytes, bytes]]


class Exchange(RequestResponseCycle):
    """One request and its answer. What has no argument begins as the class says."""

    scope: Any
    logger = _log
    disconnected = False
    response_started = False
    response_complete = False
    more_body = True
    body: bytes = b""  # type: ignore[assignment]
    """What has come of the body and was not taken yet."""
    chunked_encoding: bool | None = None
    expected_content_length = 0
    _head = b""
    _has_news = False
    """Whether something has come since the app asked last: a part of the body, or the end."""
    _waiter: "asyncio.Future[None] | None" = None
    _tell_gone: Callable[[], None] | None = None

    def __init__(
        self,
        scope: Any,
        transport: Any,
        flow: FlowControl,
        *,
        default_headers: list[tuple[bytes, bytes]],
        expects_continue: bool,
        keep_alive: bool,
        headers: Mapping[bytes, bytes],
        on_response: Callable[[], None],
    ) -> None:
        """Begin.

        Args:
            scope: The request's, as ASGI has it.
            transport: Takes the answer.
            flow: Whether the client reads on.
            default_headers: Headers of every answer.
            expects_continue: Whether the client waits for "100 Continue".
            keep_alive: Whether the connection goes on after the answer.
            headers: The request's; of two of a name, the last.
            on_response: Called after the answer.
        """
        self.scope = scope
        self.transport = transport
        self.flow = flow
        self.default_headers = default_headers
        self.waiting_for_100_continue = expects_continue
        self.keep_alive = keep_alive
        self.headers = headers
        self.on_response = on_response

    # The request -----------------------------------------------------------------------------

    def take(self, body: bytes) -> int:
        """Take a part of the body; the bytes that nobody has asked for yet."""
        self.waiting_for_100_continue = False
        self.body += body
        self.notify()
        return len(self.body)

    def end_body(self) -> None:
        """The body is there as a whole."""
        self.more_body = False
        self.notify()

    def notify(self) -> None:
        """Let whoever waits for the body, or for the client's end, look again."""
        self._has_news = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        if self.disconnected and self._tell_gone is not None:
            self._tell_gone()

    async def next_part(self) -> tuple[bytes, bool]:
        """The next part of the body, and whether there is more.

        Raises:
            ClientDisconnected: Nothing more comes: the client hung up, or has its answer.
        """
        if not (self._has_news or self.disconnected or self.response_complete):
            await self._wait()
        self._has_news = False
        if self.disconnected or self.response_complete:
            raise ClientDisconnected("The client hung up before the body's end.")
        body, self.body = self.body, b""
        return body, self.more_body

    def when_gone(self, tell: Callable[[], None]) -> Callable[[], None]:
        """Call back when the client hangs up before its answer; call the result to stop."""
        self._tell_gone = tell
        self.flow.resume_reading()
        if self.disconnected:
            tell()
        return self._forget_client

    def _forget_client(self) -> None:
        self._tell_gone = None

    async def _wait(self) -> None:
        if self.waiting_for_100_continue and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.waiting_for_100_continue = False
        self.flow.resume_reading()
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    async def receive(self) -> Any:
        """The next part of the body as an app receives it."""
        try:
            body, more = await self.next_part()
        except ClientDisconnected:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": body, "more_body": more}

    # The answer ------------------------------------------------------------------------------

    async def reply(self, status: int, lines: bytes, content: bytes) -> None:
        """Write a whole answer, of whose header lines one says how long it is."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        head = STATUS_LINE[status] + _write_known(tuple(self.default_headers)) + lines
        self.response_started = True
        self.waiting_for_100_continue = False
        if b"\r\nconnection: close\r\n" in head:
            self.keep_alive = False
        elif not self.keep_alive:
            head += b"connection: close\r\n"
        self._write(head + b"\r\n", content)
        self._end()

    async def send(self, message: Any) -> None:
        """Take a part of an app's answer.

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
            self._go_on(message)
        else:
            self._begin(message)

    def _begin(self, message: Message) -> None:
        if message["type"] != "http.response.start":
            raise RuntimeError(f"{message['type']} was sent before http.response.start.")
        self.response_started = True
        self.waiting_for_100_continue = False
        status: int = message["status"]
        headers = [*self.default_headers, *message.get("headers", ())]
        lines, named = write_lines(headers), dict(headers)
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

    def _go_on(self, message: Message) -> None:
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
        self._write(head, body)
        if not more:
            self._end()

    def _write(self, head: bytes, body: bytes) -> None:
        if len(body) <= _TOGETHER:
            self.transport.write(head + body)
        else:
            self.transport.write(head)
            self.transport.write(body)

    def _end(self) -> None:
        self.response_complete = True
        self.notify()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()

    def forget_connection(self) -> None:
        """Call nobody after the answer: no circle for the garbage collector."""
        self.on_response = _call_nobody


def _call_nobody() -> None:
    """Stand in for a connection that is lost."""
