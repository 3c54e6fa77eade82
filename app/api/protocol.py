"""The server's side of a connection: requests read strictly, time-outs, refusals as problems.

uvicorn's protocol for httptools runs the app and writes its answers. Heads and bodies are read by
`app.wire`: whatever is let through was read once, so no second parser can find another end in it.
"""

import asyncio
import logging
import uuid
from functools import partial
from types import SimpleNamespace
from typing import Any, Literal

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.api.connections import (
    Connections,
    CountRejection,
    allowed_connections,
    count_nothing,
)
from app.api.entry import Entry
from app.api.exchange import Exchange
from app.api.problems import describe, lookup, reply_of
from app.api.record import Record
from app.api.routing import PROBES
from app.api.run import Run
from app.api.shedding import no_room
from app.errors import ReceiveTimeout, ServerBusy, ServiceError
from app.settings import Settings
from app.wire.chunked_body import ChunkedBody
from app.wire.request_head import Head, path_of, read_head

LINGER_SECONDS = 2.0
"""How long a client that still sends is read on: a reset might take the answer from it."""

LAST_REQUEST_SECONDS = 1.0
"""How long an idle connection is kept when the server stops: its client may be sending already."""

log = logging.getLogger("app")


class StrictProtocol(HttpToolsProtocol):
    """One connection, whose requests are read and answered one after the other."""

    cycle: Exchange
    scope: Any

    def __init__(self, *arguments: Any, connections: Connections, **options: Any) -> None:
        """Serve one connection.

        Args:
            arguments: uvicorn's.
            connections: All of this process.
            options: uvicorn's.
        """
        super().__init__(*arguments, **options)
        self.parser = None  # type: ignore[assignment]
        self.shared = connections
        self.state: Literal["silent", "head", "body", "busy", "rest", "idle", "closing"] = "silent"
        self.since = self.loop.time()
        self._body_since = self.since
        self.stopping = False
        self._pending = b""
        self._left = 0
        self._chunks: ChunkedBody | None = None
        self._entry = self.app if isinstance(self.app, Entry) else None
        self._facts: dict[str, Any] = {}
        """What the scopes of all requests share."""
        self._is_begun = True
        self._run: Run | asyncio.Task[None] | None = None
        self._buffered = 0
        self._is_busy = False
        self._unread = 0
        self._unread_since = self.since

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._apps_transport = SimpleNamespace(
            write=transport.write,
            is_closing=transport.is_closing,
            close=self._close_after_answer,
        )
        self._facts = {
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme or "http",
            "root_path": self.root_path,
        }
        try:
            self.shared.add(self, self.loop)
        except ServerBusy as error:
            self._send_problem(error, "", uuid.uuid4().hex)  # not logged: the sweep counts a flood

    def connection_lost(self, exc: Exception | None) -> None:
        self.connections.discard(self)
        if self.cycle is not None:
            self.cycle.disconnected = not self.cycle.response_complete
            self.cycle.notify()
            self.cycle.forget_connection()
        self._pending = b""
        self.flow.resume_writing()
        self.transport.close()
        self._apps_transport.close = self.transport.close  # no circle for the garbage collector
        self.shared.remove(self)
        self._no_longer_busy()
        self._release_after_run()

    def data_received(self, data: bytes) -> None:
        if self._pending:
            data, self._pending = self._pending + data, b""
        in_body = False
        try:
            while data and self.state != "closing":
                in_body = self.state in ("body", "rest")
                data = self._read_body(data) if in_body else self._read_head(data)
        except ServiceError as error:
            if not self._is_begun:
                self._begin_run()
            in_its_body = in_body and self.scope is not None
            self._refuse(error, self.scope["path"] if in_its_body else path_of(data))
        else:
            if not self._is_begun:
                self._begin_run()

    def _read_head(self, data: bytes) -> bytes:
        """Begin a request, and return what follows its head."""
        if self.state == "busy":  # pipelined requests wait, so that answers keep their order
            if self.cycle.keep_alive:
                self._pending = data
                self.flow.pause_reading()
            return b""
        head = read_head(data)
        if head is None:
            if self.state == "idle":
                self.since = self.loop.time()
            self.state = "head"
            self._pending = data
            return b""
        if self.shared.busy >= self.shared.max_requests and self._can_be_shed(head):
            self._shed(head)
        else:
            self._begin(head)
        return data[head.size :]

    def _begin(self, head: Head) -> None:
        self.scope = scope = {**self._facts, **head.scope}
        if self.shared.root_path:
            _strip(scope, self.shared.root_path)
        self.cycle = Exchange(
            scope,
            self._apps_transport,
            self.flow,
            default_headers=self.server_state.default_headers,
            expects_continue=head.expects_continue,
            keep_alive=head.keep_alive and not self.stopping,
            headers=head.values,
            on_response=self.on_response_complete,
        )
        self._run, self._is_begun = None, False
        self._expect_body(head, "body")

    def _begin_run(self) -> None:
        """Let the app begin, once all that came with the request's head is read."""
        self._is_begun = True
        if self.scope["path"] in PROBES:
            self._start()
        else:
            self.shared.turns.begin(self._start, self.loop)

    def _start(self) -> None:
        """Let the app answer: an operation at once, and another app on a task."""
        cycle, entry = self.cycle, self._entry
        if cycle.disconnected:  # while it waited for its turn
            return
        operation = None if entry is None else entry.find_operation(self.scope)
        if entry is not None and operation is not None:
            self._run = run = Run(entry.answer(operation, cycle), self.tasks, self.transport.close)
            run.begin()
            return
        self.scope["headers"] = self.scope["headers"].copy()  # requests share the head's
        self.scope["state"] = self.app_state.copy()
        self._run = task = self.loop.create_task(cycle.run_asgi(self.app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def _expect_body(self, head: Head, state: Literal["body", "rest"]) -> None:
        self.state = state
        self._left = head.length
        self._chunks = ChunkedBody() if head.chunked else None
        self.since = self._body_since = self.loop.time()
        if not head.length and not head.chunked:
            self._end_request()

    def _can_be_shed(self, head: Head) -> bool:
        """Whether a request may be refused before it is read: probes and pages never are."""
        target = head.target.partition(b"?")[0]
        is_operation = target.startswith(b"/v1/") or target.endswith(b"/infer")
        return is_operation and head.keep_alive and not (head.expects_continue or self.stopping)

    def _shed(self, head: Head) -> None:
        """Refuse a request for want of room as cheaply as can be; the connection goes on."""
        self.shared.shed += 1
        self.shared.count_rejection("queue")
        room = self.shared.max_requests, self.shared.root_path
        self.transport.write(no_room(head.target, *room))
        self._expect_body(head, "rest")

    def _read_body(self, data: bytes) -> bytes:
        """Read on in a body, and return what follows it."""
        rest: bytes | None
        if self._chunks is not None:
            body, rest = self._chunks.read(data)
        else:
            body, rest = data[: self._left], data[self._left :]
            self._left -= len(body)
            if self._left:
                rest = None
        if self.state == "body":
            self.since = self.loop.time()
            if body:
                self._hand_over(body)
        if rest is None:
            return b""
        self._end_request()
        return rest

    def _hand_over(self, body: bytes) -> None:
        count = len(body)
        self.shared.buffer(count)
        self._buffered += count
        if self.cycle.take(body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()

    def _end_request(self) -> None:
        if self.state == "body":
            self.state = "busy"
            self._is_busy = True
            self.shared.busy += 1
            self.cycle.end_body()
        else:
            self.state = "idle"
            self.since = self.loop.time()

    def _no_longer_busy(self) -> None:
        self.shared.busy -= self._is_busy
        self._is_busy = False

    def on_response_complete(self) -> None:
        self._no_longer_busy()
        self.server_state.total_requests += 1
        if self._buffered:
            self.shared.release(self._buffered)
            self._buffered = 0
        if self.state == "closing" or self.transport.is_closing():
            return
        self.state = "rest" if self.state == "body" else "idle"
        self.since = self.loop.time()
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self._pending:
            self.loop.call_soon(self.data_received, b"")  # not inside the answer before it

    def shutdown(self) -> None:
        """Answer what is being read, or comes at once, as the connection's last request."""
        self.stopping = True
        if self.state in ("body", "busy"):
            self.cycle.keep_alive = False
        elif self.state in ("idle", "silent"):
            self.since = self.loop.time()

    def check(self, now: float) -> None:
        """Close what has waited too long: for a head, a body, the next request, the client."""
        unread = self.transport.get_write_buffer_size()
        if unread != self._unread:
            self._unread, self._unread_since = unread, now
        elif unread and now - self._unread_since >= self.shared.client_timeout:
            self.transport.abort()
        if self.transport.is_closing() or self.state == "busy":
            return
        if self.state == "body" and (
            self.flow.read_paused or self.cycle.waiting_for_100_continue
        ):  # the client waits for the server, which takes no part of its time
            self._body_since += now - self.since
            self.since = now
        elif now - self.since >= self._time_allowed():
            self._time_out()
        elif self.state == "body":
            self._check_rate(now - self._body_since)

    def _time_allowed(self) -> float:
        if self.state == "closing":
            return LINGER_SECONDS
        if self.stopping and self.state in ("idle", "silent"):
            return LAST_REQUEST_SECONDS
        return self.timeout_keep_alive if self.state == "idle" else self.shared.client_timeout

    def _time_out(self) -> None:
        if self.state not in ("head", "body"):
            self.transport.close()
            return
        missing = "head was not whole" if self.state == "head" else "body did not go on"
        timeout = self.shared.client_timeout
        error = ReceiveTimeout(
            f"The request's {missing} after {timeout:g} s (VAE_CLIENT_TIMEOUT_SECONDS). Send the "
            "request again.",
            limit=timeout,
        )
        path = self.scope["path"] if self.state == "body" else path_of(self._pending)
        self._refuse(error, path)

    def _check_rate(self, seconds: float) -> None:
        """Refuse a body that goes on, but would hold its connection for hours."""
        least = self.shared.min_body_rate
        if seconds < self.shared.client_timeout or self._buffered >= least * seconds:
            return
        rate = self._buffered / seconds
        error = ReceiveTimeout(
            f"The request's body came at {rate:.3g} bytes a second in its first {seconds:.3g} s, "
            f"below {least:g} (VAE_MIN_BODY_BYTES_PER_SECOND). Send it again, faster.",
            received=rate,
            limit=least,
        )
        self._refuse(error, self.scope["path"])

    def _refuse(self, error: ServiceError, path: str = "") -> None:
        """Answer with a problem, unless an answer has begun, and close the connection."""
        in_body = self.state in ("body", "rest")
        self._release_after_run()
        if in_body:
            answered = self.state == "rest" or self.cycle.response_started
            if self.state == "body":
                self.cycle.disconnected = True  # its app must not answer too
                record: Record | None = self.scope.get("vae.record")
                if record is not None:
                    record.refused = lookup(type(error))[0]
                self.cycle.waiting_for_100_continue = False
                self.cycle.notify()
            if answered:
                self.transport.close()
                return
        request_id = uuid.uuid4().hex
        fields = {"request_id": request_id, "status": lookup(type(error))[0], "detail": str(error)}
        fields["client"] = self.client[0] if self.client else None
        log.warning("refused", extra={"fields": fields})
        self._send_problem(error, path, request_id)

    def _close_gently(self) -> None:
        """Say that nothing more is sent, and read on for a while."""
        if self.shared.is_flooded or self.transport.is_closing():
            self.transport.close()
            return
        self.state = "closing"
        self.since = self.loop.time()
        self._pending = b""
        self.flow.resume_reading()
        self.transport.write_eof()

    def _close_after_answer(self) -> None:
        """Close for the app, at once unless the client still sends its body."""
        if self.state == "body" and self.cycle.response_complete:
            self._close_gently()
        else:
            self.transport.close()

    def _release_after_run(self) -> None:
        """Count the body out once the app, which still holds it, has noticed."""
        count, self._buffered = self._buffered, 0
        if count and self._run is not None:
            self._run.add_done_callback(lambda _: self.shared.release(count))
        elif count:
            self.shared.release(count)

    def _send_problem(self, error: ServiceError, path: str, request_id: str) -> None:
        self.shared.count_rejection(error.reason)
        root = self.shared.root_path
        problem = describe(error, instance=path, request_id=request_id, root=root)
        status, lines, content = reply_of(problem)
        lines += b"x-request-id: %b\r\nconnection: close\r\n" % request_id.encode()
        self.transport.write(STATUS_LINE[status] + lines + b"\r\n" + content)
        self._close_gently()


def _strip(scope: Any, root: str) -> None:
    """Take off the service's path prefix, which some proxies leave on."""
    if scope["path"].startswith(f"{root}/"):
        scope["path"] = scope["path"].removeprefix(root)
        scope["raw_path"] = scope["raw_path"].removeprefix(root.encode())


def serving_protocol(settings: Settings, count_rejection: CountRejection = count_nothing) -> Any:
    """uvicorn's `http`: the protocol with its bounds, for every worker."""
    connections = Connections(
        client_timeout=settings.client_timeout_seconds,
        min_body_rate=settings.min_body_bytes_per_second,
        max_connections=allowed_connections(settings.max_connections),
        max_buffered_bytes=settings.max_buffered_bytes,
        max_requests=settings.max_queue_requests,
        count_rejection=count_rejection,
        root_path=settings.root_path,
    )
    return partial(StrictProtocol, connections=connections)
