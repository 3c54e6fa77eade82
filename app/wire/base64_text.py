"""Bytes written as text: base64 (RFC 4648) and data URLs (RFC 2397)."""

import base64
from urllib.parse import unquote, unquote_to_bytes

MAX_DATA_URL_HEAD = 256


def decode_base64(text: str) -> bytes:
    """Decode base64 in lines of any length, in either alphabet, with padding or without.

    Raises:
        ValueError: It is not base64, or was changed on its way; says how.
    """
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        lines = text.replace("\r", "\n").split("\n")
    joined = "".join(line.strip(" \t") for line in lines)
    if " " in joined:
        raise ValueError("spaces stand in it, as where a form has read + as a space")
    url_safe = "-" in joined or "_" in joined
    if url_safe and ("+" in joined or "/" in joined):
        raise ValueError("both alphabets stand in it, + or / and - or _")
    bare = joined.rstrip("=")
    if len(joined) - len(bare) > 2 or len(bare) % 4 == 1:
        raise ValueError("its length is not that of base64, so it is cut short")
    padded = bare + "=" * (-len(bare) % 4)
    return base64.b64decode(padded, altchars=b"-_" if url_safe else None, validate=True)


def is_data_url(text: str) -> bool:
    return text[:5].lower() == "data:"


def decode_data_url(url: str) -> tuple[str, bytes]:
    """(media type, bytes) of a data URL; its parameters are left out.

    Raises:
        ValueError: It has no comma, or its base64 is broken.
    """
    head, comma, payload = url.partition(",")
    if not comma or len(head) > MAX_DATA_URL_HEAD:
        raise ValueError("a data URL has a comma before its data")
    media_type, *parameters = (piece.strip().lower() for piece in head[5:].split(";"))
    if parameters and parameters[-1] == "base64":
        return media_type, decode_base64(unquote(payload) if "%" in payload else payload)
    return media_type, unquote_to_bytes(payload)
