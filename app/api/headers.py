"""Headers of an answer: model, seed, preprocessing, and caching."""

import hashlib
from collections.abc import Sequence
from typing import Any

from app.api.service import Call
from app.compute.request import ComputeRequest
from models import __version__
from models.warnings import Warned

MAX_PREPROCESSING_HEADER = 1024
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


def identity_headers(request: ComputeRequest[Any], warnings: Sequence[Warned]) -> dict[str, str]:
    """The envelope, for formats that have none: model, seed, preprocessing, codes of warnings."""
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
        headers["X-Warnings"] = ", ".join(dict.fromkeys(warned.code for warned in warnings))
    return headers


def preprocessing_header(preprocessing: tuple[tuple[str, ...], ...]) -> str:
    """Steps by commas, items by " | "; once where all items are alike; "none" without steps."""
    items = [", ".join(steps) or "none" for steps in preprocessing]
    text = items[0] if len(set(items)) == 1 else " | ".join(items)
    text = text.encode("ascii", "replace").decode()
    if len(text) > MAX_PREPROCESSING_HEADER:
        return text[: MAX_PREPROCESSING_HEADER - 3] + "..."
    return text


def caching_headers(call: Call, *, versioned: bool) -> dict[str, str]:
    """Caching of the answer: a seeded GET for ever, from the URL of one version."""
    headers = {"Vary": "Accept", "Cache-Control": "no-store"}
    request = call.request
    if request.operation.method == "GET" and call.seeded:
        digest = request.served.bundle.digest
        parts = (digest, __version__, request.parameters.model_dump_json(), call.form)
        headers["ETag"] = f'"{hashlib.sha256("|".join(parts).encode()).hexdigest()[:32]}"'
        kept = "max-age=31536000, immutable" if versioned else "no-cache"
        headers["Cache-Control"] = f"private, {kept}"
    return headers


def etag_matches(if_none_match: str | None, etag: str | None) -> bool:
    if if_none_match is None or etag is None:
        return False
    candidates = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in candidates or "*" in candidates
