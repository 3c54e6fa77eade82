"""The access log of a server: JSON lines that are kept for a moment, and stay in order."""

import asyncio
import io
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from app.api import logs
from app.api.logs import BufferedLines, JSONFormatter, log_request
from app.api.record import Record

pytestmark = pytest.mark.anyio


@pytest.fixture
def server_log(monkeypatch: pytest.MonkeyPatch) -> Callable[..., io.StringIO]:
    """Begins to log as a server does, within the test: pytest adds a handler of its own before."""

    def begin(level: int = logging.INFO) -> io.StringIO:
        handler, written = BufferedLines(), io.StringIO()
        handler.setStream(written)
        handler.setFormatter(JSONFormatter())
        app = logging.getLogger("app")
        monkeypatch.setattr(app, "handlers", [handler])
        monkeypatch.setattr(app, "propagate", False)
        monkeypatch.setattr(logs.access_log, "level", level)
        logs.access_log.manager._clear_cache()  # type: ignore[attr-defined]
        return written

    return begin


def answered(number: int, status: int = 200) -> None:
    scope: dict[str, Any] = {
        "method": "POST",
        "path": "/v1/encode",
        "query_string": b"api_key=hidden",
        "client": ("127.0.0.1", 1),
    }
    log_request(Record(f"id{number}"), scope, status)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


async def test_a_line_is_written_after_a_moment(
    server_log: Callable[..., io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = server_log()
    monkeypatch.setattr(logs, "FLUSH_SECONDS", 0.01)
    answered(1)
    assert stream.getvalue() == ""
    async with asyncio.timeout(5):
        while not stream.getvalue():
            await asyncio.sleep(0.01)
    (line,) = lines(stream)
    assert (line["message"], line["level"], line["request_id"]) == ("request", "info", "id1")
    assert (line["status"], line["query"]) == (200, "api_key=[redacted]")
    assert line["time"].endswith("Z")


async def test_many_lines_are_written_at_once(server_log: Callable[..., io.StringIO]) -> None:
    stream = server_log()
    for number in range(logs.FLUSH_LINES + 1):
        answered(number)
    assert len(lines(stream)) == logs.FLUSH_LINES
    logging.getLogger("app").handlers[0].flush()  # as the end of the process does
    ids = [line["request_id"] for line in lines(stream)]
    assert ids == [f"id{number}" for number in range(logs.FLUSH_LINES + 1)]


async def test_lines_of_other_logs_keep_their_order(server_log: Callable[..., io.StringIO]) -> None:
    stream = server_log()
    answered(1)
    logging.getLogger("app").warning("something")
    answered(2)
    logging.getLogger("app").handlers[0].flush()
    messages = [line["message"] for line in lines(stream)]
    assert messages == ["request", "something", "request"]


async def test_a_log_level_above_info_leaves_access_lines_out(
    server_log: Callable[..., io.StringIO],
) -> None:
    stream = server_log(logging.WARNING)
    answered(1)
    logging.getLogger("app").handlers[0].flush()
    assert stream.getvalue() == ""


async def test_of_many_refusals_a_few_are_logged_and_the_others_counted(
    server_log: Callable[..., io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = server_log()
    seconds = iter([*[1.0] * 25, 2.5, 2.6])
    monkeypatch.setattr(logs, "_refusals", logs.Sampler(lambda: next(seconds)))
    for number in range(25):
        answered(number, status=503)
    answered(25, status=200)
    answered(26, status=503)
    answered(27, status=503)
    logging.getLogger("app").handlers[0].flush()
    found = lines(stream)
    assert [line["request_id"] for line in found] == [f"id{n}" for n in (*range(10), 25, 26, 27)]
    assert [line.get("left_out") for line in found[-3:]] == [None, 15, None]


async def test_a_closed_standard_error_stops_nobody(
    server_log: Callable[..., io.StringIO],
) -> None:
    stream = server_log()
    answered(1)
    stream.close()
    logging.getLogger("app").handlers[0].flush()
