"""Content negotiation: which form an answer takes, by `?format=` or the Accept header."""

from collections.abc import Sequence

from app.errors import NotAcceptable
from app.wire.media_types import ANSWER_TYPES


def negotiate(accept: str | None, formats: Sequence[str], *, wanted: str | None = None) -> str:
    """Choose the form that the caller likes best; ties go to the server's order.

    Args:
        accept: The Accept header (RFC 9110, section 12.5.1); None accepts anything.
        formats: The forms that this answer has, the default one first.
        wanted: The form that `?format=` names; it wins over the header.

    Raises:
        NotAcceptable: The answer has none of the forms asked for.
    """
    if wanted is not None:
        return _check_format(wanted, formats)
    if accept is None or not accept.strip():
        return formats[0]
    ranges = [_parse_range(part) for part in accept[:4096].split(",") if part.strip()]
    qualities = [_quality(ANSWER_TYPES[name], ranges) for name in formats]
    best = max(qualities, default=0.0)
    if best <= 0:
        have = [ANSWER_TYPES[name] for name in formats]
        unnamed = [media_type for media_type in have if media_type not in accept] or have
        meant = unnamed[0]
        fix = f"format={formats[have.index(meant)]}"
        raise NotAcceptable(
            f"Accept: {accept[:200]} matches no form of this answer; it has {', '.join(have)}. "
            f"Send Accept: {meant}, or add {fix} to the query.",
            parameter="Accept",
            received=accept[:200],
            allowed=have,
            suggestion=meant,
        )
    return formats[qualities.index(best)]


def _check_format(wanted: str, formats: Sequence[str]) -> str:
    if wanted in formats:
        return wanted
    raise NotAcceptable(
        f"format={wanted} does not fit this answer; it has {', '.join(formats)}. Send "
        f"format={formats[0]}.",
        parameter="format",
        received=wanted,
        allowed=formats,
        suggestion=formats[0],
    )


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
