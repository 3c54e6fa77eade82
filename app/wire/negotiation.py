"""Content negotiation: the form of an answer that the caller likes best."""

from collections.abc import Sequence

from app.errors import NotAcceptable
from app.wire.media_types import MEDIA_TYPES


def negotiate(accept: str | None, formats: Sequence[str]) -> str:
    """The form that the caller likes best; ties go to the server's order.

    Args:
        accept: The Accept header (RFC 9110, section 12.5.1); None accepts anything.
        formats: The forms that there are, the default one first.

    Raises:
        NotAcceptable: None of them.
    """
    if accept is None or not accept.strip():
        return formats[0]
    ranges = [_parse_range(part) for part in accept[:4096].split(",") if part.strip()]
    qualities = [_quality(MEDIA_TYPES[name], ranges) for name in formats]
    best = max(qualities, default=0.0)
    if best <= 0:
        have = ", ".join(MEDIA_TYPES[name] for name in formats)
        raise NotAcceptable(
            f"The answer has one of the forms {have}; the Accept header was {accept[:200]!r}. "
            "Accept one of them, or use ?format=."
        )
    return formats[qualities.index(best)]


def _parse_range(part: str) -> tuple[str, float]:
    """(media range, q) of one element of an Accept header; a broken q is 0."""
    media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
    quality = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                quality = 0.0
    return media_range, quality if 0.0 <= quality <= 1.0 else 0.0


def _quality(media_type: str, ranges: Sequence[tuple[str, float]]) -> float:
    """The q of the most specific range that matches."""
    kind = media_type.split("/")[0]
    for pattern in (media_type, f"{kind}/*", "*/*"):
        matching = [quality for media_range, quality in ranges if media_range == pattern]
        if matching:
            return max(matching)
    return 0.0
