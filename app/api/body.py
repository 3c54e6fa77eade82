"""Reading a request's body, up to the limit VAE_MAX_BODY_BYTES."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from starlette.types import Receive, Scope

from app.errors import ClientDisconnected, MalformedRequest
from models.errors import PayloadTooLarge, UnsupportedMedia

Headers = Mapping[bytes, bytes]
NextPart = Callable[[], Awaitable[tuple[bytes, bool]]]
"""Gives the next part of a body, and whether there is more.

It raises ClientDisconnected where nothing more comes, also after the body's end.
"""

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


def parts_of(receive: Receive) -> NextPart:
    """The parts of a body that an ASGI server gives."""

    async def next_part() -> tuple[bytes, bool]:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected("The client hung up before the body's end.")
        return message.get("body", b""), message.get("more_body", False)

    return next_part


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
