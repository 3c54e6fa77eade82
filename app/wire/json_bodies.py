"""JSON bodies: pictures in base64, nested numbers, and the parameters beside them."""

import codecs
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from app.errors import InvalidParameter, MalformedRequest
from app.wire.base64_text import decode_base64, decode_data_url, is_data_url
from app.wire.items import Body, Item, Picture
from app.wire.lookalikes import find_likeness, refuse_never_read, refuse_no_picture, refuse_unread
from app.wire.media_types import (
    ANY_TYPE,
    JSON_TYPE,
    NPY_TYPE,
    PICTURE_TYPES,
    canonical_media_type,
)
from app.wire.npy import MAX_ARRAY_AXES
from models.errors import CorruptImage, ShapeMismatch, UnsupportedMedia
from models.images.orders import LEAST_SIDE

_ENCODINGS = (
    ("UTF-32", re.compile(rb"\xff\xfe\0\0|\0\0\xfe\xff|\0\0\0[^\0]|[^\0]\0\0\0")),
    ("UTF-16", re.compile(rb"\xff\xfe|\xfe\xff|\0[^\0]|[^\0]\0")),
)
"""Encodings that JSON had before RFC 8259, by the first bytes (RFC 4627, section 3)."""
SNIPPETS = {"images": '{"images": ["<base64 of a PNG>"]}', "latents": '{"latents": [[0.5, ...]]}'}
"""A JSON body of each kind of item."""


def parse_json(data: bytes, takes: Sequence[str] = ("images", "latents")) -> Body:
    """Parse `{"images": [...]}` or `{"latents": [...]}`, with parameters beside them."""
    document = _load_json(data, takes)
    if not isinstance(document, dict):
        raise MalformedRequest(
            f"The JSON body is {_json_kind(document)}, not an object. Send {snippets(takes)}.",
            parameter="body",
            suggestion=SNIPPETS[takes[0]],
        )
    body = Body()
    if "images" in document:
        body.images = [_json_image(i, entry) for i, entry in _entries(document, "images")]
    if "latents" in document:
        body.latents = [
            _json_numbers(i, entry, "latents")[None] for i, entry in _entries(document, "latents")
        ]
    body.members = {
        name: value for name, value in document.items() if name not in ("images", "latents")
    }
    return body


def snippets(takes: Sequence[str]) -> str:
    return " or ".join(SNIPPETS[kind] for kind in takes)


def _load_json(data: bytes, takes: Sequence[str]) -> Any:
    data = data.removeprefix(codecs.BOM_UTF8)
    if not data.strip():
        raise empty_body(takes)
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        if found := re.search(rb"(?<![\w\"])-?(NaN|Infinity)(?![\w\"])", data):
            received = found[0].decode()
            raise InvalidParameter(
                f"The JSON body holds {received}, which JSON does not have (RFC 8259). Send finite "
                "numbers.",
                parameter="body",
                received=received,
            ) from error
        refuse_never_read(data, parameter="body")
        if fault := _wrong_encoding(data):
            raise MalformedRequest(
                f"The JSON body {fault}. Send it in UTF-8 (RFC 8259): text.encode('utf-8').",
                parameter="body",
                suggestion="text.encode('utf-8')",
            ) from error
        likeness = find_likeness(data)
        if likeness is not None and likeness[1] != JSON_TYPE:
            words, media_type = likeness
            fault, fix = f"is {words}, not JSON", "Send"
        else:
            media_type = "image/png" if "images" in takes else NPY_TYPE
            fault, fix = f"is not JSON: {error}", "Send JSON in UTF-8, or another type, such as"
        raise MalformedRequest(
            f"The body {fault}. {fix} Content-Type: {media_type}.",
            parameter="body",
            suggestion=f"-H 'Content-Type: {media_type}'",
        ) from error


def _wrong_encoding(data: bytes) -> str | None:
    """What is wrong with the encoding of text that may be JSON."""
    for name, beginning in _ENCODINGS:
        if beginning.match(data):
            return f"is in {name}"
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        if data.lstrip()[:1] in (b"{", b"["):
            return f"is not UTF-8 at byte {error.start}"
    return None


def _entries(document: Mapping[str, Any], name: str) -> list[tuple[int, Any]]:
    value = document[name]
    if isinstance(value, list) and value:
        return list(enumerate(value))
    if value == []:
        fix = f"Send at least one item: {SNIPPETS[name]}."
    elif isinstance(value, str) and name == "images":
        fix = f"Wrap the picture in a list: {SNIPPETS[name]}."
    else:
        fix = f"Send a list: {SNIPPETS[name]}."
    fault = "an empty list" if value == [] else f"{_json_kind(value)}, not a list"
    raise ShapeMismatch(f"{name} is {fault}. {fix}", parameter=name, suggestion=SNIPPETS[name])


def _json_image(index: int, entry: Any) -> Item:
    if isinstance(entry, str):
        return parse_picture(index, entry)
    numbers = _json_numbers(index, entry, "images")
    if numbers.ndim == 4 and len(numbers) == 1:
        return numbers
    if numbers.ndim == 4 or (numbers.ndim == 3 and not {1, 2, 3, 4} & set(numbers.shape[::2])):
        raise _several_pictures(index, numbers.shape)
    is_flat = numbers.ndim == 1 and numbers.size >= LEAST_SIDE**2
    if not (is_flat or numbers.ndim in (2, 3)) or 0 in numbers.shape:
        is_row = numbers.ndim == 1 and numbers.size > 0
        raise _not_numbers(index, "images", f"an array of shape {numbers.shape}", is_part=is_row)
    return numbers[None] if numbers.ndim > 2 else numbers  # one item, whatever its axes


def _several_pictures(index: int, shape: tuple[int, ...]) -> ShapeMismatch:
    where, fix = f"images[{index}]", '{"images": array.tolist()}'
    return ShapeMismatch(
        f"{where} is an array of shape {shape}, and each entry is one picture. Send {fix}.",
        parameter=where,
        suggestion=fix,
        items=((index, f"an array of shape {shape}"),),
    )


def parse_picture(index: int, text: str) -> Picture:
    """A picture in base64, with or without the head of a data URL.

    Raises:
        CorruptImage, UnsupportedMedia: It is none that is read here.
    """
    where, media_type = f"images[{index}]", ANY_TYPE
    text = text.strip()
    if not text:
        raise CorruptImage(
            f"{where} is empty. Send the picture's bytes in base64: {SNIPPETS['images']}.",
            parameter=where,
            suggestion=SNIPPETS["images"],
            items=((index, "empty"),),
        )
    try:
        if is_data_url(text):
            named, data = decode_data_url(text)
            media_type = canonical_media_type(named) or ANY_TYPE
        else:
            data = decode_base64(text)
    except ValueError as error:
        raise _not_base64(index, text, error) from error
    if media_type not in (ANY_TYPE, *PICTURE_TYPES):
        refuse_no_picture(data, parameter=where)
        refuse_unread(data, media_type[:80], parameter=where)
        raise UnsupportedMedia(
            f"{where} is a data URL of {media_type[:80]!r}, which is not read here. Name its type: "
            f"one of {', '.join(PICTURE_TYPES)}.",
            parameter=where,
            received=media_type[:80],
            allowed=PICTURE_TYPES,
        )
    refuse_no_picture(data, parameter=where)
    return Picture(data, None if media_type == ANY_TYPE else media_type)


def _not_base64(index: int, text: str, error: ValueError) -> CorruptImage:
    where, suggestion = f"images[{index}]", "curl -F images=@digit.png"
    advice = f"Send the picture's bytes in base64, or as a file: {suggestion}."
    if re.match(r"https?://", text):
        advice = f"URLs are not fetched. {advice}"
    elif re.match(r"b['\"]", text):
        suggestion = "base64.b64encode(data).decode()"
        advice = f"It is Python's way to show bytes. Send {suggestion}."
    return CorruptImage(
        f"{where} is not base64: {_shown(text)}; {error}. {advice}",
        parameter=where,
        received=text[:60],
        suggestion=suggestion,
        items=((index, f"not base64: {error}"),),
    )


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}...")


def _json_numbers(index: int, entry: Any, name: str) -> np.ndarray:
    """Nested lists as an array of numbers."""
    if not isinstance(entry, list):
        is_number = isinstance(entry, int | float) and not isinstance(entry, bool)
        raise _not_numbers(index, name, _json_kind(entry), is_part=is_number)
    try:
        array = np.asarray(entry)
    except (ValueError, OverflowError) as error:
        raise _not_numbers(index, name, "a list of rows of unequal length") from error
    if array.ndim > MAX_ARRAY_AXES:
        raise _not_numbers(index, name, f"nested more than {MAX_ARRAY_AXES} deep")
    if array.dtype.kind not in "biuf":
        raise _not_numbers(index, name, "a list that holds something else than numbers")
    return array


def _not_numbers(index: int, name: str, received: str, *, is_part: bool = False) -> ShapeMismatch:
    allowed = {
        "images": "base64 text, or rows of numbers such as [[0, 255], [255, 0]]",
        "latents": "a list of numbers such as [0.5, -1.2, ...], as encode answers it",
    }[name]
    one = {"images": "picture", "latents": "latent"}[name]
    fix = f'{{"{name}": [array.tolist()]}}'
    wrap = f" If {name} is one {one}, put it into a list: {fix}." if is_part else ""
    return ShapeMismatch(
        f"{name}[{index}] is {received}. Send {allowed}.{wrap}",
        parameter=f"{name}[{index}]",
        suggestion=fix if is_part else None,
        items=((index, received),),
    )


def _json_kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    return names.get(type(value), "a number")


def empty_body(takes: Sequence[str]) -> MalformedRequest:
    return MalformedRequest(
        f"The body is empty. Send {snippets(takes)}.",
        parameter="body",
        suggestion=SNIPPETS[takes[0]],
    )
