"""The server's side of a connection: heads checked strictly, time-outs, refusals as problems.

uvicorn's protocol on h11 reads what is let through.
"""

import asyncio
import http
import logging
import uuid
from functools import partial
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from app.api.problems import describe
from app.errors import MalformedRequest, ReceiveTimeout, ServiceError
from app.wire.request_head import check_chunk_line, check_head, path_of, split_absolute

LINGER_SECONDS = 2.0
"""How long a refused connection is read on: closed at once, the client might not see the answer."""

log = logging.getLogger("app")


class StrictConnection(h11.Connection):
    """An HTTP/1.1 connection whose request heads are checked before they are parsed."""

    fault: ServiceError | None = None
    """What was wrong with what arrived."""
    path = ""
    """The path of the last request."""
    chunked = False
    """Whether the last request's body is."""

    def next_event(self) -> Any:
        """The next event; a request's target is a path.

        Raises:
            h11.RemoteProtocolError: The client breaks HTTP/1.1; `fault` says how.
        """
        try:
            if self.their_state is h11.IDLE and (data := self.trailing_data[0]):
                self.path = path_of(data)
                check_head(data)
            before = self.trailing_data[0] if self.chunked else b""
            event = super().next_event()
            if isinstance(event, h11.Request):
                self.chunked = any(name == b"transfer-encoding" for name, _ in event.headers)
                event = _in_origin_form(event)
            elif self.chunked and isinstance(event, h11.Data | h11.EndOfMessage):
                read = len(before) - len(self.trailing_data[0])
                check_chunk_line(before[: read - len(getattr(event, "data", b""))])
        except ServiceError as error:
            self.fault = error
            raise h11.RemoteProtocolError(str(error)) from error
        except h11.RemoteProtocolError as error:
            self.fault = MalformedRequest(
                f"The request breaks HTTP/1.1: {str(error)[:100]}. Let an HTTP library write it."
            )
            raise
        return event


def _in_origin_form(request: h11.Request) -> h11.Request:
    """The request with its path for a target, and the host of the URL that stood there."""
    parts = split_absolute(request.target)
    if parts is None:
        return request
    host, path = parts
    others = [(name, value) for name, value in request.headers if name != b"host"]
    return h11.Request(
        method=request.method,
        target=path,
        headers=[(b"host", host), *others],
        http_version=request.http_version,
    )


class StrictProtocol(H11Protocol):
    """uvicorn's protocol, which refuses with problems and waits for a client with bounds."""

    def __init__(self, *arguments: Any, client_timeout: float, **options: Any) -> None:
        """Serve one connection.

        Args:
            arguments: uvicorn's.
            client_timeout: Seconds for a head as a whole, for each next piece of a body, and for
                the client to read any of its answer.
            options: uvicorn's.
        """
        super().__init__(*arguments, **options)
        self.conn: StrictConnection = StrictConnection(h11.SERVER)
        self.client_timeout = client_timeout
        self.refused = False
        self._awaited: str | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        if not self.refused and self.conn.their_state is not h11.MUST_CLOSE:
            super().data_received(data)
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_watching()
        self._cancel_writing()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._check_reading(None)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._cancel_writing()

    def _check_reading(self, unread: int | None) -> None:
        """Drop a client that has read nothing since there were so many unread bytes."""
        now = self.transport.get_write_buffer_size()
        if now == unread:
            self.transport.abort()
        else:
            self._writing = self.loop.call_later(self.client_timeout, self._check_reading, now)

    def _cancel_writing(self) -> None:
        if self._writing is not None:
            self._writing.cancel()

    def send_400_response(self, msg: str) -> None:
        """Refuse what broke HTTP/1.1."""
        self._refuse(self.conn.fault or MalformedRequest(msg))

    def _watch(self) -> None:
        """Start the clock of what the client is to send next; a body's, anew for each piece."""
        awaited = self._what_is_awaited()
        if awaited == "body" or awaited != self._awaited:
            self._stop_watching()
            self._awaited = awaited
            if awaited is not None:
                self._timer = self.loop.call_later(self.client_timeout, self._timed_out)

    def _stop_watching(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._awaited = None

    def _what_is_awaited(self) -> str | None:
        """The head, the body, or the rest of a body that is answered already.

        Between two requests nothing is: uvicorn's own time-out closes an idle connection.
        """
        if self.refused or self.transport.is_closing():
            return None
        if self.conn.their_state is h11.IDLE:
            return "head" if self.cycle is None or self.conn.trailing_data[0] else None
        if self.conn.their_state is h11.SEND_BODY:
            return "body" if self.conn.our_state is h11.SEND_RESPONSE else "rest"
        return None

    def _timed_out(self) -> None:
        awaited = self._awaited
        self._stop_watching()
        if self.transport.is_closing():
            return
        if self.flow.read_paused:  # the client waits for the server
            self._watch()
        elif awaited == "head" and not self.conn.trailing_data[0]:
            self.transport.close()
        else:
            missing = "head was not whole" if awaited == "head" else "body did not go on"
            self._refuse(
                ReceiveTimeout(
                    f"The request's {missing} after {self.client_timeout:g} s "
                    "(VAE_CLIENT_TIMEOUT_SECONDS). Send the request again.",
                    limit=self.client_timeout,
                )
            )

    def _refuse(self, error: ServiceError) -> None:
        """Answer with a problem, unless an answer has begun, and close the connection."""
        self.refused = True
        self._stop_watching()
        self._unset_keepalive_if_required()
        if self.cycle is not None:  # its app must not answer too
            self.cycle.disconnected = True
            self.cycle.waiting_for_100_continue = False
            self.cycle.message_event.set()
        self.flow.resume_reading()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()
            return
        self.transport.write(self._problem(error))
        self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _problem(self, error: ServiceError) -> bytes:
        request_id = uuid.uuid4().hex
        answer = describe(error, instance=self.conn.path, request_id=request_id)
        fields = {"request_id": request_id, "status": answer.status_code, "detail": str(error)}
        fields["client"] = self.client[0] if self.client else None
        log.warning("refused", extra={"fields": fields})
        headers = {
            **{name.decode(): value.decode() for name, value in answer.raw_headers},
            "x-request-id": request_id,
            "connection": "close",
        }
        status = http.HTTPStatus(answer.status_code)
        lines = [f"HTTP/1.1 {status.value} {status.phrase}", *map(": ".join, headers.items())]
        return "\r\n".join([*lines, "", ""]).encode() + bytes(answer.body)


def serving_protocol(client_timeout: float) -> Any:
    """uvicorn's `http`: the protocol with a time-out, for every worker."""
    return partial(StrictProtocol, client_timeout=client_timeout)
