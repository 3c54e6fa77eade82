"""A request's body in, its items out: pictures, arrays, numbers, and the parameters beside them.

It decodes no picture (`models.images` does), no array (`arrays.py` does), and knows no operation.
"""

import asyncio
import base64
import binascii
import re
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import orjson
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from app.errors import ClientDisconnected, InvalidParameter, MalformedRequest
from app.wire.media_types import (
    ANY_TYPE,
    BODY_TYPES,
    JSON_TYPE,
    MULTIPART_TYPE,
    NPY_TYPES,
    NPZ_TYPES,
    PICTURE_TYPES,
)
from app.wire.npy import MAX_ARRAY_AXES, NPY_MAGIC, parse_npy, parse_npz
from models.errors import (
    CorruptImage,
    PayloadTooLarge,
    ShapeMismatch,
    UnsupportedMedia,
)

T = TypeVar("T")

MAX_LENGTH_DIGITS = 20
REFUSED_WAIT_SECONDS = 1.0
"""How long a body that will be refused may pause before it is."""
MAX_FORM_FIELDS = 64
MAX_FORM_FIELD_BYTES = 64 * 1024
_DATA_URL = re.compile(r"data:(?P<type>[\w.+/-]*)(?:;[\w=.+-]+)*?;base64,", re.ASCII)


@dataclass(frozen=True)
class Picture:
    """The bytes of one picture, with the type that the caller gave it."""

    data: bytes
    media_type: str | None = None


Item = Picture | np.ndarray
"""A picture, or an array of one item or of many (the first axis)."""


@dataclass
class Body:
    """What a request's body holds."""

    images: list[Item] = field(default_factory=list)
    latents: list[np.ndarray] = field(default_factory=list)
    members: dict[str, Any] = field(default_factory=dict)
    """Parameters that JSON or form fields carry."""


async def read_body(request: Request, *, max_bytes: int) -> bytes:
    """The whole body, never more than the limit of it.

    Raises:
        UnsupportedMedia: It is compressed.
        PayloadTooLarge: It is longer than the limit, by its Content-Length or in truth.
        ClientDisconnected: It ended early.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise UnsupportedMedia(
            f"A body is sent as it is; received Content-Encoding {encoding[:60]!r}. Send it "
            "uncompressed."
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
            f"A body has at most {max_bytes} bytes (VAE_MAX_BODY_BYTES); received "
            f"{length or seen}. Send fewer or smaller items."
        )
    return bytes(data)


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


def content_type(value: str | None) -> str:
    """The media type alone, lower case, without parameters."""
    return (value or "").split(";")[0].strip().lower()


def parse_body(data: bytes, headers: Headers, *, max_bytes: int, max_items: int) -> Body:
    """The items and parameters of a body of any accepted type.

    Args:
        data: The body.
        headers: Name its type.
        max_bytes: What a zip file may unpack to.
        max_items: Files in a form.

    Raises:
        UnsupportedMedia: No such type is read here.
        MalformedRequest, CorruptImage, ShapeMismatch, PayloadTooLarge: The body is at fault.
    """
    media_type = content_type(headers.get("content-type"))
    if media_type == JSON_TYPE:
        return parse_json(data)
    if media_type == MULTIPART_TYPE:
        return _parse_multipart(data, headers, max_items)
    if media_type in NPZ_TYPES:
        arrays = parse_npz(data, max_bytes=max_bytes)
        return Body(
            images=[array for name, array in arrays.items() if name != "latents"],
            latents=[array for name, array in arrays.items() if name != "images"],
        )
    if media_type in NPY_TYPES:
        array = parse_npy(data)
        return Body(images=[array], latents=[array])
    if media_type in PICTURE_TYPES:
        return Body(images=[Picture(data, media_type)])
    if media_type == ANY_TYPE:
        return Body(images=[Picture(data)])
    received = repr(media_type[:80]) if media_type else "no Content-Type"
    raise UnsupportedMedia(
        f"A body is one of {', '.join(BODY_TYPES)}; received {received}. Name its Content-Type."
    )


def parse_json(data: bytes) -> Body:
    """`{"images": [...]}` or `{"latents": [...]}`, and parameters beside them."""
    document = _load_json(data)
    if not isinstance(document, dict):
        raise MalformedRequest(
            f"A JSON body is an object; received {_json_kind(document)}. Send "
            '{"images": [...]} or {"latents": [...]}.'
        )
    body = Body(members=document)
    if "images" in document:
        body.images = [_json_image(i, entry) for i, entry in _entries(document, "images")]
    if "latents" in document:
        body.latents = [_json_numbers(i, entry)[None] for i, entry in _entries(document, "latents")]
    body.members = {
        name: value for name, value in document.items() if name not in ("images", "latents")
    }
    return body


def _load_json(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        if re.search(rb"(?<![\w\"])-?(NaN|Infinity)(?![\w\"])", data):
            raise InvalidParameter(
                "JSON has no NaN and no Infinity (RFC 8259); the body holds one. Send finite "
                "numbers."
            ) from error
        raise MalformedRequest(
            f"A body of type {JSON_TYPE} is JSON in UTF-8; received something else: {error}. "
            "Correct it."
        ) from error


def _entries(document: Mapping[str, Any], name: str) -> list[tuple[int, Any]]:
    value = document[name]
    if not isinstance(value, list) or not value:
        raise ShapeMismatch(
            f"`{name}` is a list with at least one item; received {_json_kind(value)}. Wrap a "
            "single item in a list."
        )
    return list(enumerate(value))


def _json_image(index: int, entry: Any) -> Item:
    if isinstance(entry, str):
        return _json_picture(index, entry)
    numbers = _json_numbers(index, entry)
    return numbers[None] if numbers.ndim > 2 else numbers  # one item, whatever its axes


def _json_picture(index: int, text: str) -> Picture:
    """A picture in base64, with or without the head of a data URL."""
    media_type = None
    if match := _DATA_URL.match(text):
        media_type, text = match["type"].lower() or None, text[match.end() :]
        if media_type is not None and media_type not in PICTURE_TYPES:
            raise UnsupportedMedia(
                f"A data URL has one of the types {', '.join(PICTURE_TYPES)}; item {index} has "
                f"{media_type[:80]!r}. Convert it."
            )
    try:
        return Picture(base64.b64decode(text, validate=True), media_type)
    except (binascii.Error, ValueError) as error:
        reason = f"no base64: {error}"
        raise CorruptImage(
            f"An image in JSON is base64, a data URL or nested numbers; item {index} is text and "
            f"{reason}. URLs are not fetched: send the picture itself.",
            items=((index, reason),),
        ) from error


def _json_numbers(index: int, entry: Any) -> np.ndarray:
    """Nested lists as an array of numbers."""
    if not isinstance(entry, list):
        raise _not_numbers(index, _json_kind(entry))
    try:
        array = np.asarray(entry)
    except (ValueError, OverflowError) as error:
        raise _not_numbers(index, "a ragged or too deep list") from error
    if array.dtype.kind not in "biuf" or array.ndim > MAX_ARRAY_AXES:
        raise _not_numbers(index, "something else in it")
    return array


def _not_numbers(index: int, received: str) -> ShapeMismatch:
    return ShapeMismatch(
        f"An item is a regular nested list of numbers (an image may also be base64); item {index} "
        f"is {received}. Correct it.",
        items=((index, received),),
    )


def _json_kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value"}
    return names.get(type(value), "a number") + (" without items" if value == [] else "")


class _MemoryParser(MultiPartParser):
    """Keeps files in memory: the body is bounded already, and a read-only root has no disk."""

    spool_max_size = 2**62


def _parse_multipart(data: bytes, headers: Headers, max_items: int) -> Body:
    """Files in the field `images` (pictures, npy), and parameters in text fields."""

    _check_parts(data, headers, max_items)

    async def stream() -> AsyncGenerator[bytes, None]:
        yield data

    parser = _MemoryParser(
        headers,
        stream(),
        max_files=max_items + MAX_FORM_FIELDS,
        max_fields=MAX_FORM_FIELDS,
        max_part_size=MAX_FORM_FIELD_BYTES,
    )
    try:
        form = _run_at_once(parser.parse())
    except (MultiPartException, KeyError, ValueError) as error:
        message = getattr(error, "message", type(error).__name__)
        raise MalformedRequest(
            f"A body of type {MULTIPART_TYPE} has the parts that its boundary promises; received "
            f"something else ({message}). Let an HTTP client make it."
        ) from error
    files = [value.file for _, value in form.multi_items() if isinstance(value, UploadFile)]
    try:
        return _form_body(form)
    finally:
        for file in files:
            file.close()


def _check_parts(data: bytes, headers: Headers, max_items: int) -> None:
    """Count the parts before they are parsed, and refuse a body that ends before its last boundary:
    the parser would drop its last part.
    """
    _, options = parse_options_header(headers.get("content-type"))
    boundary = options.get(b"boundary", b"")
    if not boundary or b"--" + boundary + b"--" not in data:
        raise MalformedRequest(
            f"A body of type {MULTIPART_TYPE} ends with its boundary; this one does not have "
            f"{boundary[:80]!r} at its end. Let an HTTP client make it."
        )
    parts = data.count(b"--" + boundary) - 1
    if parts > max_items + MAX_FORM_FIELDS:
        raise PayloadTooLarge(
            f"A form has at most {max_items} files (VAE_MAX_ITEMS) and {MAX_FORM_FIELDS} fields; "
            f"received {parts} parts. Send several, each with its `first_item`."
        )


def _form_body(form: FormData) -> Body:
    body = Body()
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            _add_file(body, name, value)
        elif name in body.members:
            raise InvalidParameter(f"A field is given once; {name[:60]!r} is given twice.")
        else:
            body.members[name] = value
    return body


def _run_at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that has nothing to wait for, on whatever thread."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise RuntimeError("A parser that reads from memory does not wait.")


def _add_file(body: Body, name: str, file: UploadFile) -> None:
    data = file.file.read()
    if name not in ("images", "latents"):
        raise InvalidParameter(
            f"Files stand in the field `images` (or `latents`); received {name[:60]!r}. Rename it."
        )
    media_type = content_type(file.content_type)
    if name == "latents":
        body.latents.append(parse_npy(data))
    elif media_type in NPY_TYPES or data.startswith(NPY_MAGIC):
        body.images.append(parse_npy(data))
    elif media_type in PICTURE_TYPES:
        body.images.append(Picture(data, media_type))
    elif media_type in ("", ANY_TYPE):
        body.images.append(Picture(data))
    else:
        raise UnsupportedMedia(
            f"A file is one of {', '.join(PICTURE_TYPES)} or {NPY_TYPES[0]}; received "
            f"{media_type[:80]!r}. Convert it."
        )
