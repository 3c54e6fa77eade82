"""The headers of an answer: who computed it, from what, and how long it may be kept."""

import hashlib

from app.api.service import Call
from app.compute.inputs import Inputs
from models import __version__

MAX_PREPROCESSING_HEADER = 1024
IDENTITY_HEADERS = (
    "X-Seed",
    "X-Model-Name",
    "X-Model-Version",
    "X-Bundle-Digest",
    "X-Preprocessing",
    "X-Request-ID",
    "Server-Timing",
    "ETag",
)


def identity_headers(call: Call, inputs: Inputs) -> dict[str, str]:
    """The envelope for forms that have none."""
    headers = {
        "X-Model-Name": call.served.name,
        "X-Model-Version": str(call.served.version),
        "X-Bundle-Digest": call.served.bundle.digest,
    }
    if call.draws:
        headers["X-Seed"] = str(call.seed)
    if inputs.preprocessing is not None:
        headers["X-Preprocessing"] = preprocessing_header(inputs.preprocessing)
    return headers


def preprocessing_header(preprocessing: tuple[tuple[str, ...], ...]) -> str:
    """The steps of each item, items apart by " | "; once where all are alike; "none" for none."""
    items = [", ".join(steps) or "none" for steps in preprocessing]
    text = items[0] if len(set(items)) == 1 else " | ".join(items)
    text = text.encode("ascii", "replace").decode()
    if len(text) > MAX_PREPROCESSING_HEADER:
        return text[: MAX_PREPROCESSING_HEADER - 3] + "..."
    return text


def caching_headers(call: Call, *, versioned: bool) -> dict[str, str]:
    """How long an answer may be kept: a seeded GET for ever, from the URL of one version."""
    headers = {"Vary": "Accept", "Cache-Control": "no-store"}
    if call.operation.method == "GET" and call.seeded:
        digest = call.served.bundle.digest
        parts = (digest, __version__, call.parameters.model_dump_json(), call.form)
        headers["ETag"] = f'"{hashlib.sha256("|".join(parts).encode()).hexdigest()[:32]}"'
        kept = "max-age=31536000, immutable" if versioned else "no-cache"
        headers["Cache-Control"] = f"private, {kept}"
    return headers


def etag_matches(if_none_match: str | None, etag: str | None) -> bool:
    if if_none_match is None or etag is None:
        return False
    candidates = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in candidates or "*" in candidates
