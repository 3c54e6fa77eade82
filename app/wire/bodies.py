"""A request's body as items: pictures, arrays, numbers, and the parameters beside them.

It decodes no picture (`models.images` does) and no array (`npy.py` does), and knows no operation.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from app.errors import InvalidParameter, MalformedRequest
from app.wire.media_types import (
    ANY_TYPE,
    BODY_TYPES,
    JSON_TYPE,
    MULTIPART_TYPE,
    NPY_TYPES,
    NPZ_TYPES,
    PICTURE_TYPES,
    bare_media_type,
)
from app.wire.multipart import Part, parse_multipart
from app.wire.npy import MAX_ARRAY_AXES, NPY_MAGIC, parse_npy, parse_npz
from models.errors import CorruptImage, ShapeMismatch, UnsupportedMedia, closest

_DATA_URL = re.compile(r"data:(?P<type>[\w.+/-]*)(?:;[\w=.+-]+)*?;base64,", re.ASCII)
_FORM_TYPE = "application/x-www-form-urlencoded"
_SNIPPETS = {"images": '{"images": ["<base64 of a PNG>"]}', "latents": '{"latents": [[0.5, ...]]}'}
"""A JSON body of each kind of item."""


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


def parse_body(data: bytes, content_type: str | None, *, max_bytes: int, max_items: int) -> Body:
    """Parse a body of any accepted type.

    Args:
        data: The body.
        content_type: The header that names its type.
        max_bytes: Limit of what a zip file may unpack to.
        max_items: Limit of files in a form.

    Raises:
        UnsupportedMedia: No such type is read here.
        MalformedRequest, CorruptImage, ShapeMismatch, PayloadTooLarge: The body is at fault.
    """
    media_type = bare_media_type(content_type)
    if media_type == JSON_TYPE:
        return parse_json(data)
    if media_type == MULTIPART_TYPE:
        return _form_body(parse_multipart(data, content_type or "", max_items=max_items))
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
    raise _unsupported_body(media_type)


def _unsupported_body(media_type: str) -> UnsupportedMedia:
    allowed = ", ".join(BODY_TYPES)
    if not media_type:
        return UnsupportedMedia(
            f"The request has no Content-Type, one of {allowed}. Say what the body is, such as "
            "Content-Type: image/png.",
            parameter="Content-Type",
            allowed=BODY_TYPES,
            suggestion="image/png",
        )
    if media_type == _FORM_TYPE:
        header = "-H 'Content-Type: image/png'"
        return UnsupportedMedia(
            f"Content-Type {_FORM_TYPE!r}, which curl sends by default, is not read here. Add "
            f"{header}, or application/json for JSON.",
            parameter="Content-Type",
            received=_FORM_TYPE,
            allowed=BODY_TYPES,
            suggestion=header,
        )
    meant = closest(media_type, BODY_TYPES)
    return UnsupportedMedia(
        f"Content-Type {media_type[:80]!r} is not read here.{_did_you_mean(meant)} Send one of "
        f"{allowed}.",
        parameter="Content-Type",
        received=media_type[:80],
        allowed=BODY_TYPES,
        suggestion=meant,
    )


def _did_you_mean(name: str | None) -> str:
    return f" Did you mean {name!r}?" if name else ""


def parse_json(data: bytes) -> Body:
    """Parse `{"images": [...]}` or `{"latents": [...]}`, with parameters beside them."""
    document = _load_json(data)
    if not isinstance(document, dict):
        wrapped = _SNIPPETS["images"]
        raise MalformedRequest(
            f"The JSON body is {_json_kind(document)}, not an object. Send {wrapped} or "
            f"{_SNIPPETS['latents']}.",
            parameter="body",
            suggestion=wrapped,
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


def _load_json(data: bytes) -> Any:
    if not data.strip():
        raise MalformedRequest(
            f"The body is empty. Send {_SNIPPETS['images']} or {_SNIPPETS['latents']}.",
            parameter="body",
            suggestion=_SNIPPETS["images"],
        )
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
        raise MalformedRequest(
            f"The body is not JSON: {error}. Send JSON in UTF-8, or another Content-Type, such as "
            "image/png.",
            parameter="body",
        ) from error


def _entries(document: Mapping[str, Any], name: str) -> list[tuple[int, Any]]:
    value = document[name]
    if isinstance(value, list) and value:
        return list(enumerate(value))
    if value == []:
        fix = f"Send at least one item: {_SNIPPETS[name]}."
    elif isinstance(value, str) and name == "images":
        fix = f"Wrap the picture in a list: {_SNIPPETS[name]}."
    else:
        fix = f"Send a list: {_SNIPPETS[name]}."
    fault = "an empty list" if value == [] else f"{_json_kind(value)}, not a list"
    raise ShapeMismatch(f"{name} is {fault}. {fix}", parameter=name, suggestion=_SNIPPETS[name])


def _json_image(index: int, entry: Any) -> Item:
    if isinstance(entry, str):
        return _json_picture(index, entry)
    numbers = _json_numbers(index, entry, "images")
    return numbers[None] if numbers.ndim > 2 else numbers  # one item, whatever its axes


def _json_picture(index: int, text: str) -> Picture:
    """A picture in base64, with or without the head of a data URL."""
    media_type, where = None, f"images[{index}]"
    if match := _DATA_URL.match(text):
        media_type, text = match["type"].lower() or None, text[match.end() :]
        if media_type is not None and media_type not in PICTURE_TYPES:
            raise UnsupportedMedia(
                f"{where} is a data URL of {media_type[:80]!r}, which is not read here. Convert it "
                f"to one of {', '.join(PICTURE_TYPES)}.",
                parameter=where,
                received=media_type[:80],
                allowed=PICTURE_TYPES,
            )
    try:
        return Picture(base64.b64decode(text, validate=True), media_type)
    except (binascii.Error, ValueError) as error:
        advice = "Send the picture's bytes in base64, or as a file: curl -F images=@digit.png."
        if re.match(r"https?://", text):
            advice = f"URLs are not fetched. {advice}"
        raise CorruptImage(
            f"{where} is not base64: {_shown(text)}. {advice}",
            parameter=where,
            received=text[:60],
            suggestion="curl -F images=@digit.png",
            items=((index, f"not base64: {error}"),),
        ) from error


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}...")


def _json_numbers(index: int, entry: Any, name: str) -> np.ndarray:
    """Nested lists as an array of numbers."""
    if not isinstance(entry, list):
        raise _not_numbers(index, name, _json_kind(entry))
    try:
        array = np.asarray(entry)
    except (ValueError, OverflowError) as error:
        raise _not_numbers(index, name, "a list of rows of unequal length") from error
    if array.ndim > MAX_ARRAY_AXES:
        raise _not_numbers(index, name, f"nested more than {MAX_ARRAY_AXES} deep")
    if array.dtype.kind not in "biuf":
        raise _not_numbers(index, name, "a list that holds something else than numbers")
    return array


def _not_numbers(index: int, name: str, received: str) -> ShapeMismatch:
    allowed = {
        "images": "base64 text, or rows of numbers such as [[0, 255], [255, 0]]",
        "latents": "a list of numbers such as [0.5, -1.2, ...], as encode answers it",
    }[name]
    return ShapeMismatch(
        f"{name}[{index}] is {received}. Send {allowed}.",
        parameter=f"{name}[{index}]",
        items=((index, received),),
    )


def _json_kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    return names.get(type(value), "a number")


def _form_body(parts: list[Part]) -> Body:
    """Files in the field `images` or `latents`, and parameters in text fields."""
    body = Body()
    for part in parts:
        if part.is_file:
            _add_file(body, part)
        elif part.name in body.members:
            raise InvalidParameter(
                f"{part.name[:60]} is given twice in the form. Give it once.",
                parameter=part.name[:60],
            )
        else:
            body.members[part.name] = part.text
    return body


def _add_file(body: Body, part: Part) -> None:
    data = bytes(part.data)
    if part.name not in ("images", "latents"):
        field_name = closest(part.name, ("images", "latents")) or "images"
        raise InvalidParameter(
            f"The form has a file in the field {part.name[:60]!r}. Files go into images (pictures, "
            f"npy) or latents (npy): curl -F {field_name}=@FILE.",
            parameter=part.name[:60],
            allowed=("images", "latents"),
            suggestion=field_name,
        )
    media_type = bare_media_type(part.content_type)
    if part.name == "latents":
        body.latents.append(parse_npy(data))
    elif media_type in NPY_TYPES or data.startswith(NPY_MAGIC):
        body.images.append(parse_npy(data))
    elif media_type in PICTURE_TYPES:
        body.images.append(Picture(data, media_type))
    elif media_type in ("", ANY_TYPE):
        body.images.append(Picture(data))
    else:
        allowed = (*PICTURE_TYPES, NPY_TYPES[0])
        meant = closest(media_type, allowed)
        raise UnsupportedMedia(
            f"The form's file in images is of type {media_type[:80]!r}, which is not read here."
            f"{_did_you_mean(meant)} Convert it to one of {', '.join(allowed)}.",
            parameter="images",
            received=media_type[:80],
            allowed=allowed,
            suggestion=meant,
        )
