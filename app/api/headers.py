"""Headers of an answer: security, model, seed, preprocessing, and caching."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from app.api.plan import FixedLines, Plan
from app.compute.request import ComputeRequest
from app.operations.table import Operation
from app.serving.served_model import ServedModel
from app.wire.header_lines import write_lines
from app.wire.media_types import ANSWER_TYPES
from models import __version__
from models.warnings import Warned

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
MAX_HEADER = 1024
"""Characters of a header that grows with the items."""
IDENTITY_HEADERS = (
    "X-Seed",
    "X-Model-Name",
    "X-Model-Version",
    "X-Bundle-Digest",
    "X-Preprocessing",
    "X-Warnings",
    "X-Request-ID",
    "Server-Timing",
    "ETag",
)


def fixed_lines(
    plan: Plan, operation: Operation, served: ServedModel, *, versioned: bool
) -> FixedLines:
    """Header lines that follow from the plan: caching, the model's identity, the answer's type.

    The plan keeps them.
    """
    etag = _etag(plan, served) if operation.method == "GET" and plan.seed is not None else None
    caching = caching_headers(etag, versioned=versioned)
    identity = _identity(served, ANSWER_TYPES[plan.form])
    fixed = FixedLines(etag, _lines(caching), _lines({**caching, **identity}))
    plan.lines[versioned] = fixed
    return fixed


def identity_lines(
    served: ServedModel, media_type: str, more: Mapping[str, str] | None = None
) -> bytes:
    """Header lines of an answer that no cache keeps: the model's identity, the type, and more."""
    return _lines({"Cache-Control": "no-store", **_identity(served, media_type), **(more or {})})


def _identity(served: ServedModel, media_type: str) -> dict[str, str]:
    return {
        "X-Model-Name": served.name,
        "X-Model-Version": str(served.version),
        "X-Bundle-Digest": served.bundle.digest,
        "Content-Type": media_type,
    }


def changing_lines(
    request: ComputeRequest[Any], warnings: Sequence[Warned], length: int | None, *, draws: bool
) -> bytes:
    """The other header lines: the answer's length, and its envelope for formats without one.

    A streamed answer has no length, and asks a proxy to pass its lines on as they come.
    """
    lines = b"x-seed: %d\r\n" % request.seed if draws else b""
    preprocessing = request.inputs.preprocessing
    if preprocessing is not None:
        lines += _preprocessing_line(preprocessing)
    if warnings:
        lines += write_lines([(b"x-warnings", warnings_header(warnings).encode("latin-1"))])
    if length is None:
        return lines + b"x-accel-buffering: no\r\n"
    return lines + b"content-length: %d\r\n" % length


@lru_cache(maxsize=32)  # each may be of a thousand items
def _preprocessing_line(preprocessing: tuple[tuple[str, ...], ...]) -> bytes:
    return write_lines([(b"x-preprocessing", preprocessing_header(preprocessing).encode())])


def _lines(headers: Mapping[str, str]) -> bytes:
    pairs = headers.items()
    return write_lines([(name.lower().encode(), value.encode("latin-1")) for name, value in pairs])


def preprocessing_header(preprocessing: tuple[tuple[str, ...], ...]) -> str:
    """Steps by commas, items by " | "; once where all items are alike; "none" without steps."""
    items = [", ".join(steps) or "none" for steps in preprocessing]
    text = items[0] if len(set(items)) == 1 else " | ".join(items)
    return _cut(text.encode("ascii", "replace").decode())


def warnings_header(warnings: Sequence[Warned]) -> str:
    """Codes by commas, each with its item: `constant;item=0, shrunk;item=2`."""
    return _cut(", ".join(warned.code + _item(warned) for warned in warnings))


def _item(warned: Warned) -> str:
    return "" if warned.item is None else f";item={warned.item}"


def _cut(text: str) -> str:
    return text if len(text) <= MAX_HEADER else text[: MAX_HEADER - 3] + "..."


def caching_headers(etag: str | None, *, versioned: bool) -> dict[str, str]:
    """Caching of the answer: a seeded GET for ever, from the URL of one version."""
    if etag is None:
        return {"Vary": "Accept", "Cache-Control": "no-store"}
    kept = "max-age=31536000, immutable" if versioned else "no-cache"
    return {"Vary": "Accept", "Cache-Control": f"private, {kept}", "ETag": etag}


def _etag(plan: Plan, served: ServedModel) -> str:
    parts = (served.bundle.digest, __version__, plan.parameters.model_dump_json(), plan.form)
    return f'"{hashlib.sha256("|".join(parts).encode()).hexdigest()[:32]}"'


def etag_matches(if_none_match: bytes | None, etag: str | None) -> bool:
    if if_none_match is None or etag is None:
        return False
    given = if_none_match.decode("latin-1").split(",")
    candidates = [tag.strip().removeprefix("W/") for tag in given]
    return etag in candidates or "*" in candidates
