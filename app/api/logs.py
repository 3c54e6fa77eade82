"""Logging: its configuration, log records as JSON lines, and the access log, a line per request."""

import json
import logging
import time
from typing import Any

from starlette.types import Scope

from app.api.metrics import UNKNOWN
from app.api.record import Record
from app.api.redaction import redact_path, redact_query
from models.errors import printable

access_log = logging.getLogger("app.access")
LEVELS = ("debug", "info", "warning", "error")


def log_request(record: Record, scope: Scope, status: int) -> None:
    """Write the access line of an answered request."""
    fields = {
        "request_id": record.request_id,
        "method": scope["method"],
        "path": redact_path(scope["path"]),
        "query": redact_query(scope["query_string"].decode("latin-1")),
        "status": status,
        "operation": record.operation,
        "model": record.model,
        "milliseconds": round(record.seconds * 1e3, 3),
        "client": (scope.get("client") or [None])[0],
    }
    access_log.info("request", extra={"fields": fields})


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
    logger = {"handlers": ["lines"], "level": level.upper(), "propagate": False}
    quiet = {**logger, "level": max(level, "warning", key=LEVELS.index).upper()}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": formatter}},
        "handlers": {"lines": {"class": "logging.StreamHandler", "formatter": "line"}},
        "loggers": {"app": logger, "uvicorn": quiet if terminal else logger},
    }
