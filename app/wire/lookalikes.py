"""What bytes are by their beginning: a picture, an array, JSON, base64, or nothing that is read."""

import re

from app.wire.media_types import ANY_TYPE, JSON, NPY, NPZ, PICTURE_TYPES
from models.errors import UnsupportedMedia
from models.images.picture_kinds import PICTURE_MEDIA_TYPES, picture_kind, why_not_read
from models.images.unread import describe_file, is_text, other_picture

_BEGINNINGS = (
    ("an npy array", NPY.media_type, re.compile(rb"\x93NUMPY")),
    ("a zip file, as npz is", NPZ.media_type, re.compile(rb"PK\x03\x04")),
    ("JSON", JSON.media_type, re.compile(rb"\s*[\[{]")),
)
_NEVER_READ = (
    ("compressed with gzip", re.compile(rb"\x1f\x8b"), "Unpack it: gunzip FILE"),
    (
        "a pickle of Python objects",
        re.compile(rb"\x80[\x02-\x05]"),
        "Save the array: numpy.save(file, array, allow_pickle=False)",
    ),
    (
        "a PNG without its line ends, as curl -d sends it",
        re.compile(rb"\x89PNG([^\r]|\r[^\n])"),
        "Send the file as it is: curl --data-binary @FILE",
    ),
    (
        "a picture that was read as text",
        re.compile(rb"(\xef\xbf\xbd|\xc2\x89)PNG|(\xef\xbf\xbd){3}|\xc3\xbf\xc3\x98\xc3\xbf"),
        "Read its bytes: open(path, 'rb').read()",
    ),
)
_NPZ = re.compile(rb"PK\x03\x04.{26}[^\0]{1,200}?\.npy", re.DOTALL)
"""A zip file whose first member is an npy array."""
_BASE64 = re.compile(rb"\s*(data:image/|iVBORw0KGgo|/9j/|R0lGOD|UklGR|SUkq|TU0AK)")


def find_likeness(data: bytes) -> tuple[str, str] | None:
    """What the bytes begin like, in words, and its media type."""
    if kind := picture_kind(data):
        return f"a picture in {kind}", PICTURE_MEDIA_TYPES[kind][0]
    found = (entry[:2] for entry in _BEGINNINGS if entry[2].match(data))
    return next(found, None)


def find_binary_type(data: bytes) -> str | None:
    """The media type of bytes without one: a picture of any format, npy or npz."""
    likeness = find_likeness(data)
    if likeness is None or likeness[1] == JSON.media_type:
        return None
    return ANY_TYPE if likeness[1] in PICTURE_TYPES else likeness[1]


def refuse_never_read(data: bytes, *, parameter: str) -> None:
    """Refuse what is read as no type of body.

    Raises:
        UnsupportedMedia: It is a pickle, or compressed; says what to send.
    """
    for words, beginning, fix in _NEVER_READ:
        if beginning.match(data):
            raise UnsupportedMedia(
                f"{describe_place(parameter)} is {words}, which is not read here. {fix}.",
                parameter=parameter,
                suggestion=fix.partition(": ")[2],
            )


def refuse_no_picture(data: bytes, *, parameter: str) -> None:
    """Refuse an array, JSON or base64 text in the place of a picture.

    Args:
        data: What was sent as a picture.
        parameter: Where it stands: body, images, images[0].

    Raises:
        UnsupportedMedia: It names the Content-Type to send.
    """
    if picture_kind(data) is not None:
        return
    refuse_never_read(data, parameter=parameter)
    likeness = find_likeness(data)
    if likeness is not None and likeness[1] == NPZ.media_type and not _NPZ.match(data):
        raise UnsupportedMedia(
            f"{describe_place(parameter)} is a zip file, not a picture. Unpack it and send the "
            "pictures in it.",
            parameter=parameter,
            allowed=PICTURE_TYPES,
        )
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


def refuse_described(data: bytes, media_type: str) -> None:
    """Refuse a body whose beginning says that it is nothing that is read.

    Text is left to its own type, where it has one.

    Raises:
        UnsupportedMedia: It says what the body is.
    """
    if not media_type and _BASE64.match(data):
        refuse_no_picture(data, parameter="body")
    is_known = find_likeness(data) is not None or (media_type and is_text(data[:1024]))
    if other_picture(data) or (not is_known and describe_file(data)):
        refuse_unread(data, media_type, parameter="body")


def refuse_unread(data: bytes, media_type: str, *, parameter: str) -> None:
    """Refuse what is no picture of a format that is read, whatever type it was sent as.

    Raises:
        UnsupportedMedia: It says what the bytes are.
    """
    if picture_kind(data) is None:
        raise UnsupportedMedia(
            why_not_read(data, media_type),
            parameter=parameter,
            received=media_type or None,
            allowed=PICTURE_TYPES,
        )


def describe_place(parameter: str) -> str:
    """The subject of a fault: "The body", "The file in images", "images[0]"."""
    if parameter == "body":
        return "The body"
    return parameter if parameter.endswith("]") else f"The file in {parameter}"
