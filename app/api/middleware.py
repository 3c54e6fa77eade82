"""Middleware of every request: request id, access log, metrics, security headers.

Pure ASGI: starlette's BaseHTTPMiddleware hides disconnects.
"""

import os
import re
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.body import Incoming
from app.api.exchange import Exchange
from app.api.headers import SECURITY_HEADERS
from app.api.keys import RequireKey
from app.api.logs import log_crash, log_request
from app.api.metrics import CANCELLED, Metrics
from app.api.problems import ROOT_PATH, describe_in, lookup, reply_of
from app.api.record import Record
from app.api.reply import Reply, send_reply
from app.api.routing import PROBES
from app.api.trace_context import read_trace_id
from app.api.tracing import Tracing
from app.errors import ClientDisconnected
from app.wire.header_lines import split_lines, write_lines
from app.wire.request_head import two_lengths

REQUEST_ID = re.compile(r"[A-Za-z0-9._~+/=:@-]{1,128}")
_SECURITY_HEADERS = [(n.lower().encode(), v.encode()) for n, v in SECURITY_HEADERS.items()]
_SECURITY_LINES = write_lines(_SECURITY_HEADERS)


class AnswersOperation(Protocol):
    """An operation at a path."""

    async def answer(self, scope: Scope, incoming: Incoming) -> Reply:
        """Answer a request, by its scope and the parts of its body."""


class Observe:
    """Gives each request an id, counts and logs it, and answers a crash with a 500.

    A crash is caught here because starlette's own handler would close the connection.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        access_log: bool,
        tracing: Tracing | None = None,
        keys: RequireKey | None = None,
        root_path: str = "",
    ) -> None:
        """Observe an app.

        Args:
            app: The app.
            metrics: Counts requests.
            access_log: Whether requests are logged.
            tracing: Traces them, if it is on.
            keys: The app's check of keys, which `answer` makes too; None where there is none.
            root_path: Path prefix of the service, for the types of problems.
        """
        self.app = app
        self.metrics = metrics
        self.access_log = access_log
        self.tracing = tracing
        self.keys = keys
        self.root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        record = self._begin(scope, headers)

        async def send_recorded(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                message["headers"] = _with_headers(message.get("headers", ()), record)
            await send(message)

        try:
            if b"transfer-encoding" in headers and b"content-length" in headers:
                await _refuse_two_lengths(scope, receive, send_recorded)
            else:
                await self.app(scope, receive, send_recorded)
        except Exception as error:
            await self._crashed(error, record, scope, receive, send_recorded)
        finally:
            self._done(record, scope)

    async def answer(self, operation: AnswersOperation, exchange: Exchange) -> None:
        """Answer a request for an operation, without the messages of ASGI.

        Args:
            operation: Answers it, or says why not.
            exchange: The request, and where its answer goes.
        """
        scope, headers = exchange.scope, exchange.headers
        record = self._begin(scope, headers)
        try:
            try:
                if self.keys is not None:
                    self.keys.check(scope["path"], headers)
                status, lines, content = await operation.answer(scope, exchange)
            except Exception as error:
                if lookup(type(error))[0] == 500:
                    log_crash(error, record)
                status, lines, content = reply_of(describe_in(scope, error))
            record.status = status
            lines += _SECURITY_LINES + _own_lines(record)
            if isinstance(content, bytes):
                await exchange.reply(status, lines, content)
            else:
                await send_reply((status, lines, content), exchange.send)
        finally:
            self._done(record, scope)

    def _begin(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Record:
        """Begin the record of a request."""
        record = scope["vae.record"] = Record(_request_id(headers.get(b"x-request-id")), headers)
        if self.root_path:
            scope[ROOT_PATH] = self.root_path
        content_type = headers.get(b"content-type")
        if content_type is not None:
            record.body_type = content_type.decode("latin-1")
        if b"traceparent" in headers:
            record.trace_id = read_trace_id(headers[b"traceparent"])
        if self.tracing is not None:
            record.spans = []
            record.trace_id = record.trace_id or self.tracing.new_trace_id()
        if scope["path"] in PROBES:
            record.operation = "probe"
        self.metrics.in_flight += 1
        return record

    async def _crashed(
        self, error: Exception, record: Record, scope: Scope, receive: Receive, send: Send
    ) -> None:
        log_crash(error, record)
        if record.status:  # the answer has begun: only closing the connection tells the client
            raise error
        answer = describe_in(scope, error)
        await answer(scope, receive, send)

    def _done(self, record: Record, scope: Scope) -> None:
        self.metrics.in_flight -= 1
        if record.operation == "probe":
            return
        status = record.refused or record.status or lookup(ClientDisconnected)[0]
        if record.rejection is not None:
            self.metrics.count_rejection(record.rejection)
        if status in CANCELLED:
            self.metrics.count_cancellation(status, record.stage)
        self.metrics.count_request(
            record.operation,
            record.model,
            status=status,
            body_type=record.body_type,
            seconds=record.seconds,
        )
        if self.access_log:
            log_request(record, scope, status)
        if self.tracing is not None and record.operation != "metrics":
            self.tracing.add(record, scope, status)


async def _refuse_two_lengths(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse Content-Length beside Transfer-Encoding, which some parsers let through.

    `vae serve` refuses more, on the bytes of a head (app/wire/request_head.py).
    """
    error = two_lengths()
    error.headers["Connection"] = "close"
    await describe_in(scope, error)(scope, receive, send)


def _request_id(given: bytes | None) -> str:
    """The caller's id where it is a plain one, else a new one."""
    if given is not None:
        text = given.decode("latin-1")
        if REQUEST_ID.fullmatch(text):
            return text
    return os.urandom(16).hex()


def _with_headers(
    headers: Iterable[tuple[bytes, bytes]], record: Record
) -> list[tuple[bytes, bytes]]:
    """The headers of an answer, with those that every answer has."""
    found = list(headers)
    given = dict(found)  # a page has a policy of its own
    found += [pair for pair in _SECURITY_HEADERS if pair[0] not in given]
    return found + split_lines(_own_lines(record))


def _own_lines(record: Record) -> bytes:
    """The header lines that an answer has of its own: the request's id, and how long it took."""
    timings = record.timings
    words = "x-request-id: %s\r\nserver-timing: " + "%s;dur=%.3f, " * len(timings)
    given = record.request_id, *chain.from_iterable(timings.items()), record.seconds * 1e3
    return ((words + "total;dur=%.3f\r\n") % given).encode()
