"""Requests to an app in this process, whose answers are read as they come.

httpx's own transport waits for the whole answer.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
from starlette.types import ASGIApp, Message


class InProcess(httpx.AsyncBaseTransport):
    """Sends requests to an ASGI app that answers its own crashes."""

    def __init__(self, app: ASGIApp) -> None:
        """Send to an app."""
        self._app = app

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; its answer is there once its head is."""
        answer = _Answer(await request.aread())
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "scheme": request.url.scheme,
            "path": request.url.path,
            "raw_path": request.url.raw_path.split(b"?")[0],
            "query_string": request.url.query,
            "server": (request.url.host, request.url.port),
            "client": ("127.0.0.1", 0),
            "root_path": "",
        }
        answer.run(self._app(scope, answer.receive, answer.send))
        start = await answer.next_message()
        return httpx.Response(start["status"], headers=start["headers"], stream=answer)


class _Answer(httpx.AsyncByteStream):
    """The messages of an answer under way."""

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body
        self._messages: asyncio.Queue[Message | None] = asyncio.Queue()
        self._gone = asyncio.Event()

    def run(self, app: Any) -> None:
        """Let the app answer."""
        self._task: asyncio.Future[None] = asyncio.ensure_future(app)
        self._task.add_done_callback(lambda _: self._messages.put_nowait(None))

    async def receive(self) -> Message:
        """The request as the app receives it; then the client's end."""
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take a part of the answer."""
        self._messages.put_nowait(message)

    async def next_message(self) -> Message:
        """The next part of the answer.

        Raises:
            httpx.RemoteProtocolError: The app ended without it.
        """
        message = await self._messages.get()
        if message is None:
            raise httpx.RemoteProtocolError("The answer ended early")
        return message

    async def __aiter__(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self.next_message()
            more = message.get("more_body", False)
            yield message.get("body", b"")

    async def aclose(self) -> None:
        """Leave; the app drops what is left of its work."""
        self._gone.set()
        await asyncio.wait([self._task])
