"""Middleware of every request: request id, access log, metrics, security headers.

Pure ASGI: starlette's BaseHTTPMiddleware hides disconnects.
"""

import logging
import os
import re
from collections.abc import Iterable
from itertools import chain

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.headers import SECURITY_HEADERS
from app.api.logs import log_request
from app.api.metrics import Metrics
from app.api.problems import describe_in, lookup
from app.api.record import Record
from app.api.trace_context import read_trace_id
from app.api.tracing import Tracing
from app.errors import ClientDisconnected
from app.wire.request_head import two_lengths

log = logging.getLogger("app")

REQUEST_ID = re.compile(r"[A-Za-z0-9._~+/=:@-]{1,128}")
_SECURITY_HEADERS = [(n.lower().encode(), v.encode()) for n, v in SECURITY_HEADERS.items()]
_SECURITY_NAMES = dict(_SECURITY_HEADERS).keys()
PROBES = ("/livez", "/readyz", "/healthz")


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
    ) -> None:
        self.app = app
        self.metrics = metrics
        self.access_log = access_log
        self.tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        record = Record(_request_id(headers.get(b"x-request-id")), headers)
        content_type = headers.get(b"content-type")
        record.body_type = None if content_type is None else content_type.decode("latin-1")
        scope["vae.record"] = record
        traceparent = headers.get(b"traceparent")
        if traceparent is not None:
            record.trace_id = read_trace_id(traceparent)
        if self.tracing is not None and not record.trace_id:
            record.trace_id = self.tracing.new_trace_id()
        if scope["path"] in PROBES:
            record.operation = "probe"

        async def send_recorded(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                message["headers"] = _with_headers(message.get("headers", ()), record)
            await send(message)

        self.metrics.in_flight += 1
        try:
            if b"transfer-encoding" in headers and b"content-length" in headers:
                await _refuse_two_lengths(scope, receive, send_recorded)
            else:
                await self.app(scope, receive, send_recorded)
        except Exception as error:
            await self._crashed(error, record, scope, receive, send_recorded)
        finally:
            self.metrics.in_flight -= 1
            self._done(record, scope)

    async def _crashed(
        self, error: Exception, record: Record, scope: Scope, receive: Receive, send: Send
    ) -> None:
        log.error("crash", exc_info=error, extra={"fields": {"request_id": record.request_id}})
        if record.status:  # the answer has begun: only closing the connection tells the client
            raise error
        answer = describe_in(scope, error)
        await answer(scope, receive, send)

    def _done(self, record: Record, scope: Scope) -> None:
        if record.operation == "probe":
            return
        status = record.refused or record.status or lookup(ClientDisconnected)[0]
        self.metrics.count_rejection(record.rejection)
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
    text = "" if given is None else given.decode("latin-1")
    return text if REQUEST_ID.fullmatch(text) else os.urandom(16).hex()


def _with_headers(
    headers: Iterable[tuple[bytes, bytes]], record: Record
) -> list[tuple[bytes, bytes]]:
    """The headers of an answer, with those that every answer has."""
    found = list(headers)
    given = dict(found)
    if _SECURITY_NAMES.isdisjoint(given):
        found += _SECURITY_HEADERS
    else:  # a page has a policy of its own
        found += [pair for pair in _SECURITY_HEADERS if pair[0] not in given]
    found.append((b"x-request-id", record.request_id.encode()))
    timings = *chain.from_iterable(record.timings.items()), record.seconds * 1e3
    words = "%s;dur=%.3f, " * len(record.timings) + "total;dur=%.3f"
    found.append((b"server-timing", (words % timings).encode()))
    return found
