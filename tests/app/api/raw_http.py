"""Raw HTTP over real sockets, and an app that listens behind the protocol in this process."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from app.api.protocol import serving_protocol
from app.settings import Settings

BOTH_LOOPS = pytest.mark.parametrize(
    "anyio_backend",
    [("asyncio", {"use_uvloop": False}), ("asyncio", {"use_uvloop": True})],
    ids=["asyncio", "uvloop"],
)
"""A test on each event loop that the server may run on."""
LAST = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
POST = b"POST /v1/encode HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@dataclass
class Received:
    """What came over one connection until the server closed it."""

    statuses: list[int]
    data: bytes

    @property
    def problem(self) -> dict[str, Any]:
        """The last answer, a problem; its connection is closed."""
        head, _, body = re.split(rb"HTTP/1\.1 (?=\d)", self.data)[-1].partition(b"\r\n\r\n")
        assert b"\r\nconnection: close" in head.lower()
        assert b"\r\ncontent-type: application/problem+json" in head.lower()
        found: dict[str, Any] = json.loads(body)
        assert f"x-request-id: {found['request_id']}".encode() in head.lower()
        return found


async def exchange(port: int, *pieces: bytes, pause: float = 0.0) -> Received:
    """Send the pieces, one after the other, and read until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)
        data = await asyncio.wait_for(reader.read(), 30)
    finally:
        writer.close()
    return Received([int(code) for code in re.findall(rb"HTTP/1\.1 (\d+)", data)], data)


@asynccontextmanager
async def listening(app: Any, **options: Any) -> AsyncIterator[int]:
    """The port of an app behind the protocol, in this process."""
    settings = {name: options.pop(name) for name in Settings.model_fields if name in options}
    protocol = options.pop("protocol", None) or serving_protocol(Settings(**settings))
    default_headers = options.pop("default_headers", [])
    config = uvicorn.Config(app, ws="none", log_config=None, **options)
    state = ServerState()
    state.default_headers = default_headers
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: protocol(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for one in state.connections:
            one.transport.abort()
        await asyncio.sleep(0)


async def read_all(scope: Any, receive: Any, send: Any) -> None:
    """An app that reads the body, and then answers with its length."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message["body"])
        more = message["more_body"]
    await answer(send, b"%d" % size)


async def answer_first(scope: Any, receive: Any, send: Any) -> None:
    """An app that answers without a look at the body."""
    await answer(send, scope["path"].encode())


async def answer(send: Any, body: bytes) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
