"""Headers of an answer: security, model, seed, preprocessing, and caching."""

import hashlib
from collections.abc import Sequence
from typing import Any

from app.api.plan import Plan
from app.compute.request import ComputeRequest
from app.operations.table import Operation
from app.serving.served_model import ServedModel
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


def identity_headers(
    request: ComputeRequest[Any], warnings: Sequence[Warned] = ()
) -> dict[str, str]:
    """The envelope, for formats that have none: model, seed, preprocessing, warnings."""
    headers = {
        "X-Model-Name": request.served.name,
        "X-Model-Version": str(request.served.version),
        "X-Bundle-Digest": request.served.bundle.digest,
    }
    if request.draws:
        headers["X-Seed"] = str(request.seed)
    if request.inputs.preprocessing is not None:
        headers["X-Preprocessing"] = preprocessing_header(request.inputs.preprocessing)
    if warnings:
        headers["X-Warnings"] = warnings_header(warnings)
    return headers


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


def caching_headers(
    plan: Plan, operation: Operation, served: ServedModel, *, versioned: bool
) -> dict[str, str]:
    """Caching of the answer: a seeded GET for ever, from the URL of one version."""
    headers = {"Vary": "Accept", "Cache-Control": "no-store"}
    if operation.method == "GET" and plan.seed is not None:
        digest = served.bundle.digest
        parts = (digest, __version__, plan.parameters.model_dump_json(), plan.form)
        headers["ETag"] = f'"{hashlib.sha256("|".join(parts).encode()).hexdigest()[:32]}"'
        kept = "max-age=31536000, immutable" if versioned else "no-cache"
        headers["Cache-Control"] = f"private, {kept}"
    return headers


def etag_matches(if_none_match: bytes | None, etag: str | None) -> bool:
    if if_none_match is None or etag is None:
        return False
    given = if_none_match.decode("latin-1").split(",")
    candidates = [tag.strip().removeprefix("W/") for tag in given]
    return etag in candidates or "*" in candidates
