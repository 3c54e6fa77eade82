"""Reading a request's body, up to the limit VAE_MAX_BODY_BYTES."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from starlette.types import Receive, Scope

from app.errors import ClientDisconnected, MalformedRequest
from models.errors import PayloadTooLarge, UnsupportedMedia

Headers = Mapping[bytes, bytes]
NextPart = Callable[[], Awaitable[tuple[bytes, bool]]]
"""Gives the next part of a body, and whether there is more.

It raises ClientDisconnected where nothing more comes, also after the body's end.
"""


class Incoming(Protocol):
    """What comes of a request: the parts of its body, and its client's end."""

    def next_part(self) -> Awaitable[tuple[bytes, bool]]:
        """The next part of the body, as `NextPart` says."""

    def when_gone(self, tell: Callable[[], None]) -> Callable[[], None]:
        """Call back when the client hangs up, once the body is there; call the result to stop."""


MAX_LENGTH_DIGITS = 20
REFUSED_WAIT_SECONDS = 1.0
"""How long the next chunk of a body that will be refused is waited for."""


async def read_body(headers: Headers, next_part: NextPart, *, max_bytes: int) -> bytes:
    """Read the whole body.

    Raises:
        UnsupportedMedia: It is compressed.
        PayloadTooLarge: It is longer than the limit, by its Content-Length or in truth.
        ClientDisconnected: It ended early.
    """
    if b"content-encoding" in headers:
        _check_encoding(headers[b"content-encoding"])
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and len(declared) <= MAX_LENGTH_DIGITS and int(declared) > max_bytes:
        if b"expect" not in headers:
            await _read_on(next_part, 2 * max_bytes)
        raise _too_long(int(declared), max_bytes)
    body, more = await next_part()
    if not more and len(body) <= max_bytes:
        return body
    parts, seen = [body], len(body)
    while more and seen <= max_bytes:
        part, more = await next_part()
        parts.append(part)
        seen += len(part)
    if seen > max_bytes:
        seen += await _read_on(next_part, 2 * max_bytes - seen) if more else 0
        raise _too_long(seen, max_bytes)
    return b"".join(parts)


class Received:
    """What comes of a request by an ASGI server."""

    def __init__(self, receive: Receive) -> None:
        """Take ASGI's messages."""
        self._receive = receive

    async def next_part(self) -> tuple[bytes, bool]:
        """The next part of the body.

        Raises:
            ClientDisconnected: The client hung up.
        """
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected("The client hung up before the body's end.")
        return message.get("body", b""), message.get("more_body", False)

    def when_gone(self, tell: Callable[[], None]) -> Callable[[], None]:
        """Call back when the client hangs up; call the result to stop."""
        watcher = asyncio.get_running_loop().create_task(self._watch(tell))

        def stop() -> None:
            watcher.cancel()

        return stop

    async def _watch(self, tell: Callable[[], None]) -> None:
        try:
            while True:
                await self.next_part()
        except ClientDisconnected:
            tell()


def _check_encoding(header: bytes) -> None:
    encoding = header.decode("latin-1").strip().lower()
    if encoding not in ("", "identity"):
        raise UnsupportedMedia(
            f"Content-Encoding {encoding[:60]!r} is not read here. Send the body uncompressed, "
            "without that header.",
            parameter="Content-Encoding",
            received=encoding[:60],
            allowed=("identity",),
            suggestion="identity",
        )


def _too_long(length: int, limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"The body's {length} bytes are over this server's limit of {limit} "
        "(VAE_MAX_BODY_BYTES). Send fewer images per request, or smaller ones.",
        parameter="body",
        received=length,
        limit=limit,
    )


async def refuse_body(
    scope: Scope, headers: Headers, next_part: NextPart, operation: str, *, max_bytes: int
) -> None:
    """Refuse a body where none is read: its parameters would be left out without a word.

    Raises:
        MalformedRequest: There is one.
    """
    if b"transfer-encoding" not in headers and b"content-length" not in headers:
        return
    if await read_body(headers, next_part, max_bytes=max_bytes):
        suggestion = f"GET {scope['path'][:200]}?n=16&seed=1"
        raise MalformedRequest(
            f"{operation} is GET and takes no body. Send the parameters in the query: "
            f"{suggestion}.",
            parameter="body",
            suggestion=suggestion,
        )


async def _read_on(next_part: NextPart, most: int) -> int:
    """Read what still comes of a body that is refused, so that its client sees the answer.

    Returns:
        Its bytes: about `most`, or fewer once nothing has come for a while.
    """
    seen, more = 0, True
    while more and seen <= most:
        coming = asyncio.ensure_future(next_part())
        await asyncio.wait([coming], timeout=REFUSED_WAIT_SECONDS)
        if not coming.done():
            coming.cancel()
            break
        part, more = coming.result()
        seen += len(part)
    return seen
