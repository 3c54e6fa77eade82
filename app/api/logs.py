"""Logging: its configuration, log records as JSON lines, and the access log, a line per request."""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from functools import lru_cache, partial
from typing import Any, TextIO

import orjson
from starlette.types import Scope

from app.api.metrics import UNKNOWN
from app.api.record import Record
from app.api.redaction import redact_path, redact_query
from models.errors import printable

access_log = logging.getLogger("app.access")
_app_log = logging.getLogger("app")
FLUSH_SECONDS = 0.1
"""How long an access line is kept at most before it is written."""
FLUSH_LINES = 100
BUSY = 503
MAX_REFUSALS_LOGGED = 10
"""Access lines a second of requests that were refused for want of room."""
LEVELS = ("debug", "info", "warning", "error")


class Sampler:
    """Lets a few lines of a kind through in each second, and counts the others."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._second, self._passed, self._left_out = 0, 0, 0

    def pass_on(self) -> int | None:
        """How many lines were left out before this one, or None to leave this one out too."""
        second = int(self._clock())
        if second != self._second:
            self._second, self._passed = second, 0
        if self._passed >= MAX_REFUSALS_LOGGED:
            self._left_out += 1
            return None
        self._passed += 1
        left_out, self._left_out = self._left_out, 0
        return left_out


_refusals = Sampler()


def log_crash(error: Exception, record: Record) -> None:
    """Log an error of the service itself, under the id of its request."""
    _app_log.error("crash", exc_info=error, extra={"fields": {"request_id": record.request_id}})


def log_request(record: Record, scope: Scope, status: int) -> None:
    """Write the access line of an answered request; of refusals for want of room, a few a second.

    A line after others that were left out says how many these were, as `left_out`.
    """
    left_out = _refusals.pass_on() if status == BUSY else 0
    if left_out is None:
        return
    if not access_log.isEnabledFor(logging.INFO):
        return
    client = scope.get("client")
    fields = {
        "request_id": record.request_id,
        **_request_fields(scope["method"], scope["path"], scope["query_string"]),
        "status": status,
        "operation": record.operation,
        "model": record.model,
        "milliseconds": round((time.perf_counter() - record.started_at) * 1e3, 3),
        "client": client[0] if client else None,
    }
    if record.trace_id:
        fields["trace_id"] = record.trace_id
    if left_out:
        fields["left_out"] = left_out
    handlers = _app_log.handlers
    if len(handlers) == 1 and isinstance(handlers[0], BufferedLines):
        handlers[0].buffer(fields)
    else:
        access_log.info("request", extra={"fields": fields})


@lru_cache(maxsize=256)
def _request_fields(method: str, path: str, query: bytes) -> dict[str, str]:
    return {
        "method": method,
        "path": redact_path(path),
        "query": redact_query(query.decode("latin-1")),
    }


_write_line = partial(orjson.dumps, default=str)


class BufferedLines(logging.StreamHandler[TextIO]):
    """Writes JSON lines; those of the access log are kept until there are many, or for a moment.

    A line of another log is written at once, after those that are kept.
    """

    def __init__(self) -> None:
        """Write to standard error."""
        super().__init__()
        self._kept: list[dict[str, Any]] = []
        self._second, self._clock = 0, ""

    def buffer(self, fields: dict[str, Any]) -> None:
        """Keep an access line; called on the event loop, which writes it later."""
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._clock = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
        clock = f"{self._clock}.{int((now - second) * 1000):03d}Z"
        kept = self._kept
        kept.append({"time": clock, "level": "info", "message": "request", **fields})
        if len(kept) == 1:
            asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)
        elif len(kept) >= FLUSH_LINES:
            self.flush()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line of another log."""
        self.flush()
        super().emit(record)

    def flush(self) -> None:
        """Write the lines that are kept; also called when the process ends."""
        with self.lock or nullcontext(), suppress(OSError, ValueError):  # a closed standard error
            kept, self._kept = self._kept, []
            if kept:
                self.stream.write(b"\n".join([*map(_write_line, kept), b""]).decode())
            super().flush()


class JSONFormatter(logging.Formatter):
    """One JSON object per line, times in UTC."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        """Format a record, with its extra `fields`, as one line."""
        line: dict[str, Any] = {
            "time": f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S')}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TerminalFormatter(logging.Formatter):
    """Short lines for a person: the time, and a request's status, path, model and milliseconds."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record and its extra `fields` in words."""
        fields = dict(getattr(record, "fields", {}))
        clock = self.formatTime(record, "%H:%M:%S")
        if record.name == access_log.name:
            model = "" if fields["model"] == UNKNOWN else f"  {fields['model']}"
            url = fields["path"] + (f"?{fields['query']}" if fields["query"] else "")
            words = f"{fields['status']} {fields['method']} {url}{model}"
            return printable(f"{clock}  {words}  {fields['milliseconds']:g} ms")
        named = ", ".join(f"{name}: {value}" for name, value in fields.items())
        words = record.getMessage() + (f" ({named})" if named else "")
        line = printable(f"{clock}  {record.levelname.lower()}: {words}")
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def log_config(level: str, *, terminal: bool = False) -> dict[str, Any]:
    """Logging of this service and of uvicorn on standard error.

    Args:
        level: The least severe that is logged.
        terminal: Short lines for a person, without uvicorn's of its start and stop; else JSON.
    """
    formatter = "app.api.logs.TerminalFormatter" if terminal else "app.api.logs.JSONFormatter"
    handler = "logging.StreamHandler" if terminal else "app.api.logs.BufferedLines"
    logger = {"handlers": ["lines"], "level": level.upper(), "propagate": False}
    quiet = {**logger, "level": max(level, "warning", key=LEVELS.index).upper()}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": formatter}},
        "handlers": {"lines": {"class": handler, "formatter": "line"}},
        "loggers": {
            "app": logger,
            "opentelemetry": quiet,
            "uvicorn": quiet if terminal else logger,
        },
    }
