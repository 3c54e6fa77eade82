"""A reply: what a request is answered, whole or part by part, and how ASGI is told."""

from typing import Protocol

from starlette.types import Send

from app.wire.header_lines import split_lines


class Parts(Protocol):
    """Content that comes part by part."""

    async def next_part(self) -> bytes:
        """The next bytes; empty at the end."""

    def close(self) -> None:
        """Give up what is left of it."""


WholeReply = tuple[int, bytes, bytes]
Reply = WholeReply | tuple[int, bytes, Parts]
"""An answer: its status, its header lines and its content."""


async def send_reply(reply: Reply, send: Send) -> None:
    """Send an answer by ASGI's messages."""
    status, lines, content = reply
    start = {"type": "http.response.start", "status": status, "headers": split_lines(lines)}
    if isinstance(content, bytes):
        await send(start)
        await send({"type": "http.response.body", "body": content})
        return
    try:
        await send(start)
        while part := await content.next_part():
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        content.close()
