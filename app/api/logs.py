"""Logging: its configuration, log records as JSON lines, and the access log, a line per request."""

import json
import logging
import time
from typing import Any

from starlette.types import Scope

from app.api.record import Record
from app.api.redaction import redact_path, redact_query

access_log = logging.getLogger("app.access")


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


def log_config(level: str) -> dict[str, Any]:
    """Logging of this service and of uvicorn: JSON lines on standard error."""
    logger = {"handlers": ["lines"], "level": level.upper(), "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "app.api.logs.JSONFormatter"}},
        "handlers": {"lines": {"class": "logging.StreamHandler", "formatter": "json"}},
        "loggers": {"app": logger, "uvicorn": logger},
    }
