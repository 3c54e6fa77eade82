"""Reading a request's body, up to the limit VAE_MAX_BODY_BYTES."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import nullcontext

from starlette.types import Receive, Scope

from app.errors import ClientDisconnected, MalformedRequest
from models.errors import PayloadTooLarge, UnsupportedMedia

Headers = Mapping[bytes, bytes]

MAX_LENGTH_DIGITS = 20
REFUSED_WAIT_SECONDS = 1.0
"""How long the next chunk of a body that will be refused is waited for."""


async def read_body(headers: Headers, receive: Receive, *, max_bytes: int) -> bytes:
    """Read the whole body.

    Raises:
        UnsupportedMedia: It is compressed.
        PayloadTooLarge: It is longer than the limit, by its Content-Length or in truth.
        ClientDisconnected: It ended early.
    """
    encoding = headers.get(b"content-encoding", b"").decode("latin-1").strip().lower()
    if encoding not in ("", "identity"):
        raise UnsupportedMedia(
            f"Content-Encoding {encoding[:60]!r} is not read here. Send the body uncompressed, "
            "without that header.",
            parameter="Content-Encoding",
            received=encoding[:60],
            allowed=("identity",),
            suggestion="identity",
        )
    declared = headers.get(b"content-length", b"")
    length = int(declared) if declared.isdigit() and len(declared) <= MAX_LENGTH_DIGITS else 0
    data, seen = bytearray(), 0
    refused = length > max_bytes
    asks_first = b"expect" in headers
    async for chunk in _stream(receive, refused=refused, asks_first=asks_first):
        seen += len(chunk)
        if max(seen, length) <= max_bytes:
            data += chunk
        elif seen > 2 * max_bytes:  # read on so far, so that a client still sending sees the answer
            break
    if max(seen, length) > max_bytes:
        raise PayloadTooLarge(
            f"The body's {length or seen} bytes are over this server's limit of {max_bytes} "
            "(VAE_MAX_BODY_BYTES). Send fewer images per request, or smaller ones.",
            parameter="body",
            received=length or seen,
            limit=max_bytes,
        )
    return bytes(data)


async def refuse_body(
    scope: Scope, headers: Headers, receive: Receive, operation: str, *, max_bytes: int
) -> None:
    """Refuse a body where none is read: its parameters would be left out without a word.

    Raises:
        MalformedRequest: There is one.
    """
    if b"transfer-encoding" not in headers and b"content-length" not in headers:
        return
    if await read_body(headers, receive, max_bytes=max_bytes):
        suggestion = f"GET {scope['path'][:200]}?n=16&seed=1"
        raise MalformedRequest(
            f"{operation} is GET and takes no body. Send the parameters in the query: "
            f"{suggestion}.",
            parameter="body",
            suggestion=suggestion,
        )


async def _stream(receive: Receive, *, refused: bool, asks_first: bool) -> AsyncIterator[bytes]:
    """The body as it comes; one that is refused anyway only while it keeps coming."""
    if refused and asks_first:
        return
    while True:
        try:
            async with asyncio.timeout(REFUSED_WAIT_SECONDS) if refused else nullcontext():
                message = await receive()
        except TimeoutError:
            return
        if message["type"] == "http.disconnect":
            raise ClientDisconnected("The client hung up before the body's end.")
        yield message.get("body", b"")
        if not message.get("more_body", False):
            return
