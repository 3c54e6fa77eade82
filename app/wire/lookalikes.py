"""Bytes sent as one thing that begin like another: an array, JSON or base64 sent as a picture."""

import re

from app.wire.media_types import JSON, NPY, NPZ, PICTURE_TYPES
from models.errors import UnsupportedMedia

_BEGINNINGS = (
    ("an npy array", NPY.media_type, re.compile(rb"\x93NUMPY")),
    ("a zip file, as npz is", NPZ.media_type, re.compile(rb"PK\x03\x04")),
    ("JSON", JSON.media_type, re.compile(rb"\s*[\[{]")),
)
_BASE64 = re.compile(rb"\s*(data:image/|iVBORw0KGgo|/9j/|R0lGOD|UklGR|SUkq|TU0AK)")


def find_likeness(data: bytes) -> tuple[str, str] | None:
    """What the bytes begin like, other than a picture, and its media type."""
    found = (entry[:2] for entry in _BEGINNINGS if entry[2].match(data))
    return next(found, None)


def refuse_no_picture(data: bytes, *, parameter: str) -> None:
    """Refuse an array, JSON or base64 text in the place of a picture.

    Args:
        data: What was sent as a picture.
        parameter: Where it stands: body, images, images[0].

    Raises:
        UnsupportedMedia: It names the Content-Type to send.
    """
    likeness = find_likeness(data)
    if likeness is not None:
        words, media_type = likeness
        send = "it" if parameter == "body" else "the file itself as the body"
    elif _BASE64.match(data):
        words, media_type = "base64 text", JSON.media_type
        send = '{"images": ["<the text>"]}'
    else:
        return
    raise UnsupportedMedia(
        f"{describe_place(parameter)} is {words}, not a picture. Send {send} with Content-Type: "
        f"{media_type}.",
        parameter=parameter,
        allowed=PICTURE_TYPES,
        suggestion=f"-H 'Content-Type: {media_type}'",
    )


def describe_place(parameter: str) -> str:
    """The subject of a fault: "The body", "The file in images", "images[0]"."""
    if parameter == "body":
        return "The body"
    return parameter if parameter.endswith("]") else f"The file in {parameter}"
