"""Log lines: words on a terminal, JSON elsewhere."""

import logging
import sys
from typing import Any

import pytest

from app.api.logs import TerminalFormatter, log_config


def line(name: str, message: str, **fields: Any) -> str:
    record = logging.LogRecord(name, logging.WARNING, "", 0, message, (), None)
    record.fields = fields
    return TerminalFormatter().format(record)


def test_a_request_is_one_short_line_on_a_terminal() -> None:
    fields = {"request_id": "x", "method": "GET", "path": "/v1/sample", "status": 200}
    fields |= {"query": "n=1", "model": "mnist", "milliseconds": 3.25, "client": "127.0.0.1"}
    words = line("app.access", "request", **fields)
    assert words[8:] == "  200 GET /v1/sample?n=1  mnist  3.25 ms"
    fields |= {"query": "", "model": "unknown", "path": "/\x1b[2J"}
    assert line("app.access", "request", **fields)[8:] == "  200 GET /\\x1b[2J  3.25 ms"


def test_what_happens_is_said_in_words_on_a_terminal() -> None:
    assert line("app", "bundle refused", model="m", version=1)[8:] == (
        "  warning: bundle refused (model: m, version: 1)"
    )
    assert line("app", "odd")[8:] == "  warning: odd"
    try:
        raise ValueError("crashed")
    except ValueError:
        record = logging.LogRecord("app", logging.ERROR, "", 0, "crash", (), sys.exc_info())
    assert TerminalFormatter().format(record).endswith("ValueError: crashed")


@pytest.mark.parametrize(
    ("level", "terminal", "uvicorn"),
    [("info", True, "WARNING"), ("error", True, "ERROR"), ("debug", False, "DEBUG")],
)
def test_uvicorn_is_quiet_on_a_terminal(level: str, terminal: bool, uvicorn: str) -> None:
    loggers = log_config(level, terminal=terminal)["loggers"]
    assert loggers["app"]["level"] == level.upper()
    assert loggers["uvicorn"]["level"] == uvicorn
