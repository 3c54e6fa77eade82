"""The media types of bodies, answers and problems: one table, from which every list follows."""

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from models.errors import closest
from models.images.picture_kinds import PICTURE_MEDIA_TYPES


class MediaType(NamedTuple):
    """One media type and its names."""

    name: str
    """Name in `?format=`."""
    media_type: str
    aliases: tuple[str, ...] = ()
    """Other media types that mean the same."""
    suffixes: tuple[str, ...] = ()
    """Suffixes of its files."""


_SUFFIXES = {
    "JPEG": (".jpg", ".jpeg"),
    "TIFF": (".tif", ".tiff"),
    "Netpbm": (".pgm", ".ppm", ".pbm", ".pnm", ".pfm"),
}
PICTURES = tuple(
    MediaType(
        name=kind.lower(),
        media_type=names[0],
        aliases=names[1:],
        suffixes=_SUFFIXES.get(kind, (f".{kind.lower()}",)),
    )
    for kind, names in PICTURE_MEDIA_TYPES.items()
)
JSON = MediaType(
    "json", "application/json", ("text/json", "text/x-json", "application/x-json"), (".json",)
)
MULTIPART = MediaType("multipart", "multipart/form-data")
NPY = MediaType("npy", "application/x-npy", ("application/npy",), (".npy",))
NPZ = MediaType(
    "npz",
    "application/x-npz",
    ("application/npz", "application/zip", "application/x-zip-compressed"),
    (".npz",),
)
BODIES = (*PICTURES, JSON, MULTIPART, NPY, NPZ)

PICTURE_TYPES = tuple(entry.media_type for entry in PICTURES)
BODY_TYPES = tuple(entry.media_type for entry in BODIES)
NPY_TYPE = NPY.media_type
NPZ_TYPE = NPZ.media_type
JSON_TYPE = JSON.media_type
MULTIPART_TYPE = MULTIPART.media_type
ANY_TYPE = "application/octet-stream"
"""A picture or an array whose first bytes say what it is."""
ANY_TYPES = (ANY_TYPE, "binary/octet-stream", "image/*", "*/*")
_CANONICAL = {
    **{alias: entry.media_type for entry in BODIES for alias in entry.aliases},
    **dict.fromkeys(ANY_TYPES, ANY_TYPE),
}
PROBLEM_TYPE = "application/problem+json"

MEDIA_TYPES = {
    name: {entry.name: entry.media_type for entry in BODIES}[name]
    for name in ("json", "png", "npy", "npz", "webp", "gif")
}
"""Whole answers: a form's name in `?format=` and its media type."""
STREAM_TYPES = {"ndjson": "application/x-ndjson", "event-stream": "text/event-stream"}
"""Answers that come line by line."""
ANSWER_TYPES = MEDIA_TYPES | STREAM_TYPES


def bare_media_type(header: str | None) -> str:
    """The media type of a Content-Type header: lower case, without parameters."""
    return (header or "").split(";")[0].strip().lower()


@lru_cache(maxsize=256)
def canonical_media_type(header: str | None) -> str:
    """The media type of a Content-Type header by its usual name: image/jpg is image/jpeg."""
    media_type = bare_media_type(header)
    if media_type.startswith("application/") and media_type.endswith("+json"):  # RFC 6839
        return JSON_TYPE
    return _CANONICAL.get(media_type, media_type)


def nearest_type(media_type: str, allowed: Iterable[str]) -> str | None:
    """The allowed media type that another one most likely means: text/json is application/json."""
    by_subtype = {_subtype(one): one for one in allowed}
    meant = closest(_subtype(media_type), by_subtype)
    return by_subtype[meant] if meant else None


def _subtype(media_type: str) -> str:
    return media_type.rpartition("/")[2].removeprefix("x-")


def types_of_bodies(takes: Iterable[str]) -> tuple[str, ...]:
    """The media types of bodies of these kinds of items: a picture is never a latent."""
    return BODY_TYPES if "images" in takes else BODY_TYPES[len(PICTURE_TYPES) :]
