"""Kinds of picture files by their first bytes: which are read, and what is said of others."""

import re

from models.errors import CorruptImage, UnsupportedMedia
from models.images import netpbm
from models.images.unread import describe_file, other_picture

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MAGIC = {
    name: re.compile(magic, re.DOTALL)
    for name, magic in {
        "PNG": re.escape(PNG_SIGNATURE),
        "JPEG": rb"\xff\xd8\xff",
        "WebP": rb"RIFF.{4}WEBPVP8[ LX]",
        "GIF": rb"GIF8[79]a",
        "BMP": rb"BM",
        "TIFF": rb"II[*+]\0|MM\0[*+]",
        "Netpbm": netpbm.BEGINNING,
    }.items()
}
PICTURE_MEDIA_TYPES = {
    "PNG": ("image/png", "image/apng", "image/x-png"),
    "JPEG": ("image/jpeg", "image/jpg", "image/pjpeg", "image/jfif", "image/x-jpeg"),
    "WebP": ("image/webp", "image/x-webp"),
    "GIF": ("image/gif", "image/x-gif"),
    "BMP": ("image/bmp", "image/x-bmp", "image/x-ms-bmp", "image/x-windows-bmp"),
    "TIFF": ("image/tiff", "image/tif", "image/x-tiff", "image/x-tif"),
    "Netpbm": (
        "image/x-portable-anymap",
        *(
            f"image/x-portable-{one}"
            for one in ("bitmap", "graymap", "greymap", "pixmap", "floatmap")
        ),
        *("image/x-pbm", "image/x-pgm", "image/x-ppm", "image/x-pnm"),
    ),
}


def picture_kind(data: bytes) -> str | None:
    """Name of the format of a picture that is read here, from its first bytes."""
    if data.startswith(PNG_SIGNATURE):  # most are
        return "PNG"
    return next((name for name, magic in _MAGIC.items() if magic.match(data)), None)


def check_kind(data: bytes, media_type: str | None) -> str:
    """The format's name, from its first bytes; `media_type` must agree."""
    if not data:
        raise CorruptImage(
            "The picture is empty: it has 0 bytes. Send the file's content: curl --data-binary "
            "@picture.png, or in a form curl -F images=@picture.png.",
            parameter="images",
            suggestion="curl --data-binary @picture.png",
        )
    kind = picture_kind(data)
    if kind is not None and media_type in (None, PICTURE_MEDIA_TYPES[kind][0]):
        return kind
    claimed = (media_type or "").split(";")[0].strip().lower()
    if kind is None:
        raise _not_read(data, claimed)
    if claimed not in ("", "application/octet-stream", *PICTURE_MEDIA_TYPES[kind]):
        fitting = PICTURE_MEDIA_TYPES[kind][0]
        raise UnsupportedMedia(
            f"The file is {kind}, but sent as {claimed}. Send it as {fitting} or as "
            "application/octet-stream.",
            parameter="Content-Type",
            received=claimed,
            allowed=(*PICTURE_MEDIA_TYPES[kind], "application/octet-stream"),
            suggestion=fitting,
        )
    return kind


def _not_read(data: bytes, claimed: str) -> UnsupportedMedia:
    """The fault of bytes that are no picture, or one of a format that is not read."""
    return UnsupportedMedia(
        why_not_read(data, claimed),
        parameter="images",
        received=claimed or other_picture(data) or None,
        allowed=_MAGIC,
    )


def why_not_read(data: bytes, claimed: str = "") -> str:
    """What a file is that `picture_kind` does not know, and what to do.

    Args:
        data: Its first kilobyte, or all of it.
        claimed: The media type that it was sent as.
    """
    formats, sent = ", ".join(_MAGIC), f", sent as {claimed}" if claimed else ""
    if other := other_picture(data):
        return f"{other} pictures are not read here; {formats} are. Convert it to PNG."
    if words := describe_file(data):
        return f"The file is {words}{sent}, and no picture. Pictures are {formats}."
    return (
        f"The file is in no format that is read here: it starts with the bytes "
        f"{data[:8].hex(' ')}{sent}. Pictures are {formats}."
    )
