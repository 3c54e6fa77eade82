"""Connections to a server in a process of its own."""

from pathlib import Path

import pytest

from tests.app.api.ambiguous_requests import SMUGGLED
from tests.app.api.raw_http import LAST, POST, exchange
from tests.app.server_process import Served, serving

pytestmark = pytest.mark.anyio


@pytest.mark.slow
async def test_a_server_waits_for_a_client_as_long_as_its_setting_says(
    repository: Path, tmp_path: Path
) -> None:
    flags = (
        "--client-timeout-seconds",
        "0.5",
        "--min-body-bytes-per-second",
        "0",
        "--workers",
        "2",
    )
    with serving(repository, tmp_path / "log", *flags) as server:
        port = int(server.url.rpartition(":")[2])
        half_a_head = await exchange(port, b"GET /livez HTTP/1.1\r\nHo")
        half_a_body = await exchange(port, POST + b"Content-Length: 9\r\n\r\n{")
    assert half_a_head.statuses == half_a_body.statuses == [408]
    assert half_a_body.problem["limit"] == 0.5


@pytest.mark.slow
async def test_a_server_gives_one_answer_to_what_is_read_in_two_ways(served: Served) -> None:
    port = int(served.url.rpartition(":")[2])
    for request in SMUGGLED:
        received = await exchange(port, request + LAST)
        assert received.statuses == [400], request[:200]
        assert received.problem["detail"]
    assert served.client.get("/livez").status_code == 200
    assert "Traceback" not in served.log.read_text()
