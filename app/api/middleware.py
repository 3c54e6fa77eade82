"""Middleware of every request: request id, access log, metrics, security headers, HEAD.

Pure ASGI: starlette's BaseHTTPMiddleware hides disconnects.
"""

import logging
import re
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.headers import SECURITY_HEADERS
from app.api.logs import log_request
from app.api.metrics import Metrics
from app.api.problems import describe, lookup
from app.api.record import Record, record_of
from app.errors import ClientDisconnected
from app.wire.request_head import two_lengths

log = logging.getLogger("app")

REQUEST_ID = re.compile(r"[A-Za-z0-9._~+/=:@-]{1,128}")
PROBES = ("/livez", "/readyz", "/healthz")


class Observe:
    """Gives each request an id, counts and logs it, and answers a crash with a 500.

    A crash is caught here because starlette's own handler would close the connection.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics, access_log: bool) -> None:
        self.app = app
        self.metrics = metrics
        self.access_log = access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        record = Record(given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex)
        record.body_type = headers.get("content-type")
        scope["vae.record"] = record
        if scope["path"] in PROBES:
            record.operation = "probe"

        async def send_recorded(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                _add_headers(MutableHeaders(scope=message), record)
            await send(message)

        self.metrics.in_flight.inc()
        try:
            await self.app(scope, receive, send_recorded)
        except Exception as error:
            await self._crashed(error, record, scope, receive, send_recorded)
        finally:
            self.metrics.in_flight.dec()
            self._done(record, scope)

    async def _crashed(
        self, error: Exception, record: Record, scope: Scope, receive: Receive, send: Send
    ) -> None:
        log.error("crash", exc_info=error, extra={"fields": {"request_id": record.request_id}})
        if record.status:  # the answer has begun: only closing the connection tells the client
            raise error
        answer = describe(error, instance=scope["path"], request_id=record.request_id)
        await answer(scope, receive, send)

    def _done(self, record: Record, scope: Scope) -> None:
        if record.operation == "probe":
            return
        status = record.status or lookup(ClientDisconnected)[0]
        self.metrics.count_request(
            record.operation,
            record.model,
            status=status,
            body_type=record.body_type,
            seconds=record.seconds,
        )
        if self.access_log:
            log_request(record, scope, status)


def _add_headers(headers: MutableHeaders, record: Record) -> None:
    for name, value in SECURITY_HEADERS.items():
        headers.setdefault(name, value)
    headers["X-Request-ID"] = record.request_id
    timings = {**record.timings, "total": record.seconds}
    headers["Server-Timing"] = ", ".join(f"{n};dur={s * 1e3:.3f}" for n, s in timings.items())


class RefuseTwoLengths:
    """Refuses Content-Length beside Transfer-Encoding, which some parsers let through.

    `vae serve` refuses more, on the bytes of a head (app/wire/request_head.py).
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        if "transfer-encoding" not in headers or "content-length" not in headers:
            await self.app(scope, receive, send)
            return
        error = two_lengths()
        error.headers["Connection"] = "close"
        request_id = record_of(scope).request_id
        await describe(error, instance=scope["path"], request_id=request_id)(scope, receive, send)


class AnswerHead:
    """Answers HEAD as GET; uvicorn leaves the body out (RFC 9110, section 9.3.2)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = scope["type"] == "http" and scope["method"] == "HEAD"
        await self.app({**scope, "method": "GET"} if head else scope, receive, send)
