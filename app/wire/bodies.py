"""A request's body as items, by its Content-Type: pictures, arrays, JSON, forms.

Pictures are decoded in `models.images`, arrays in `npy.py`, JSON in `json_bodies.py`, forms in
`multipart.py`.
"""

from collections.abc import Sequence

from app.errors import InvalidParameter
from app.wire.items import Body, Picture
from app.wire.json_bodies import empty_body, parse_json
from app.wire.lookalikes import (
    find_binary_type,
    find_likeness,
    refuse_described,
    refuse_never_read,
    refuse_no_picture,
    refuse_unread,
)
from app.wire.media_types import (
    ANY_TYPE,
    JSON_TYPE,
    MULTIPART_TYPE,
    NPY_TYPE,
    NPZ_TYPE,
    PICTURE_TYPES,
    canonical_media_type,
    nearest_type,
    types_of_bodies,
)
from app.wire.multipart import Part, parse_multipart
from app.wire.npy import NPY_MAGIC, parse_npy, parse_npz
from models.errors import UnsupportedMedia, closest
from models.images.picture_kinds import PICTURE_MEDIA_TYPES, picture_kind

_FORM_TYPE = "application/x-www-form-urlencoded"


def parse_body(
    data: bytes,
    content_type: str | None,
    *,
    max_bytes: int,
    max_items: int,
    takes: Sequence[str] = ("images", "latents"),
) -> Body:
    """Parse a body of any accepted type.

    Args:
        data: The body.
        content_type: The header that names its type.
        max_bytes: Largest size that a zip file may unpack to.
        max_items: Largest number of files in a form.
        takes: The kinds of items that the operation takes, for advice.

    Raises:
        UnsupportedMedia: No such type is read here.
        MalformedRequest, CorruptImage, ShapeMismatch, PayloadTooLarge: The body is at fault.
    """
    media_type = canonical_media_type(content_type)
    if media_type in ("", ANY_TYPE):
        media_type = find_binary_type(data) or media_type
    if media_type in PICTURE_TYPES or media_type == ANY_TYPE:
        refuse_no_picture(data, parameter="body")
        return Body(images=[Picture(data, None if media_type == ANY_TYPE else media_type)])
    if media_type == JSON_TYPE:
        return parse_json(data, takes)
    if media_type == MULTIPART_TYPE:
        parts = parse_multipart(data, content_type or "", max_items=max_items, takes=takes)
        return _form_body(parts, takes)
    if media_type == NPZ_TYPE:
        arrays = parse_npz(data, max_bytes=max_bytes, takes=takes)
        return Body(
            images=[array for name, array in arrays.items() if name != "latents"],
            latents=[array for name, array in arrays.items() if name != "images"],
        )
    if media_type == NPY_TYPE:
        array = parse_npy(data)
        return Body(images=[array], latents=[array])
    if not data and not media_type:
        raise empty_body(takes)
    refuse_never_read(data, parameter="body")
    if "images" in takes and media_type != _FORM_TYPE:
        refuse_described(data, media_type[:80])
    raise _unsupported_body(data, media_type, takes)


def _unsupported_body(data: bytes, media_type: str, takes: Sequence[str]) -> UnsupportedMedia:
    allowed = types_of_bodies(takes)
    likeness = find_likeness(data)
    usual = likeness[1] if likeness and likeness[1] in allowed else allowed[0]
    meant = nearest_type(media_type, allowed)
    suggestion: str | None = meant
    if not media_type:
        fault = f"The request has no Content-Type, one of {', '.join(allowed)}."
        fix, suggestion = f"Say what the body is: Content-Type: {usual}.", usual
    elif media_type == _FORM_TYPE:
        suggestion = f"-H 'Content-Type: {usual}'"
        fault = f"Content-Type {_FORM_TYPE!r}, which curl sends by default, is not read here."
        json = "" if usual == JSON_TYPE else f" and --data-binary, or {JSON_TYPE} for JSON"
        fix = f"Add {suggestion}{json}."
    elif likeness and usual == likeness[1]:
        fault = f"Content-Type {media_type[:80]!r} is not read here, and the body is {likeness[0]}."
        fix, suggestion = f"Send Content-Type: {usual}.", usual
    elif meant:
        fault = f"Content-Type {media_type[:80]!r} is not read here."
        fix = f"Send Content-Type: {meant}."
    else:
        fault = f"Content-Type {media_type[:80]!r} is not read here."
        fix = f"Send one of {', '.join(allowed)}."
    return UnsupportedMedia(
        f"{fault} {fix}",
        parameter="Content-Type",
        received=media_type[:80] or None,
        allowed=allowed,
        suggestion=suggestion,
    )


def _form_body(parts: list[Part], takes: Sequence[str]) -> Body:
    """Files in the field `images` or `latents`, and parameters in text fields."""
    body = Body()
    for part in parts:
        if part.is_file:
            _add_file(body, part, takes)
        elif part.name in body.members:
            raise InvalidParameter(
                f"{part.name[:60]} is given twice in the form. Give it once.",
                parameter=part.name[:60],
            )
        else:
            body.members[part.name] = part.text
    return body


def _add_file(body: Body, part: Part, takes: Sequence[str]) -> None:
    data = bytes(part.data)
    if part.name not in ("images", "latents"):
        fix = f"curl -F {closest(part.name, takes) or takes[0]}=@FILE"
        fields = {"images": "images (pictures, npy)", "latents": "latents (npy)"}
        raise InvalidParameter(
            f"The form has a file in the field {part.name[:60]!r}. Files go into "
            f"{' or '.join(fields[kind] for kind in takes)}: {fix}.",
            parameter=part.name[:60],
            allowed=takes,
            suggestion=fix,
        )
    media_type = canonical_media_type(part.content_type)
    if part.name == "latents":
        body.latents.append(parse_npy(data, parameter=part.name))
    elif media_type == NPY_TYPE or data.startswith(NPY_MAGIC):
        body.images.append(parse_npy(data, parameter=part.name))
    else:
        body.images.append(_form_picture(data, media_type))


def _form_picture(data: bytes, media_type: str) -> Picture:
    refuse_no_picture(data, parameter="images")
    if media_type in ("", ANY_TYPE):
        return Picture(data)
    if media_type in PICTURE_TYPES:
        return Picture(data, media_type)
    refuse_unread(data, media_type[:80], parameter="images")
    allowed = (*PICTURE_TYPES, NPY_TYPE)
    meant = PICTURE_MEDIA_TYPES[str(picture_kind(data))][0]
    suggestion = f"curl -F 'images=@FILE;type={meant}'"
    raise UnsupportedMedia(
        f"The file in images is of type {media_type[:80]!r}; {', '.join(allowed)} are read. "
        f"Send it as {meant}: {suggestion}.",
        parameter="images",
        received=media_type[:80],
        allowed=allowed,
        suggestion=suggestion,
    )
