"""Reading a request's body, up to the limit VAE_MAX_BODY_BYTES."""

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request

from app.errors import ClientDisconnected, MalformedRequest
from models.errors import PayloadTooLarge, UnsupportedMedia

MAX_LENGTH_DIGITS = 20
REFUSED_WAIT_SECONDS = 1.0
"""How long the next chunk of a body that will be refused is waited for."""


async def read_body(request: Request, *, max_bytes: int) -> bytes:
    """Read the whole body.

    Raises:
        UnsupportedMedia: It is compressed.
        PayloadTooLarge: It is longer than the limit, by its Content-Length or in truth.
        ClientDisconnected: It ended early.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise UnsupportedMedia(
            f"Content-Encoding {encoding[:60]!r} is not read here. Send the body uncompressed, "
            "without that header.",
            parameter="Content-Encoding",
            received=encoding[:60],
            allowed=("identity",),
            suggestion="identity",
        )
    declared = request.headers.get("content-length", "")
    length = int(declared) if declared.isdecimal() and len(declared) <= MAX_LENGTH_DIGITS else 0
    data, seen = bytearray(), 0
    async for chunk in _stream(request, refused=length > max_bytes):
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


async def refuse_body(request: Request, operation: str, *, max_bytes: int) -> None:
    """Refuse a body where none is read: its parameters would be left out without a word.

    Raises:
        MalformedRequest: There is one.
    """
    if "transfer-encoding" not in request.headers and "content-length" not in request.headers:
        return
    if await read_body(request, max_bytes=max_bytes):
        suggestion = f"GET {request.url.path[:200]}?n=16&seed=1"
        raise MalformedRequest(
            f"{operation} is GET and takes no body. Send the parameters in the query: "
            f"{suggestion}.",
            parameter="body",
            suggestion=suggestion,
        )


async def _stream(request: Request, *, refused: bool) -> AsyncIterator[bytes]:
    """The body as it comes; one that is refused anyway only while it keeps coming."""
    if refused and "expect" in request.headers:  # the client asks before it sends
        return
    while True:
        try:
            async with asyncio.timeout(REFUSED_WAIT_SECONDS if refused else None):
                message = await request.receive()
        except TimeoutError:
            return
        if message["type"] == "http.disconnect":
            raise ClientDisconnected("The client hung up before the body's end.")
        yield message.get("body", b"")
        if not message.get("more_body", False):
            return
