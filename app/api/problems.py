"""RFC 9457 problems: the one table from any exception to (status, slug), and its rendering."""

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.errors import (
    ClientDisconnected,
    DeadlineExceeded,
    InvalidParameter,
    MalformedRequest,
    ModelNotReady,
    NotAcceptable,
    QueueFull,
    Unauthorized,
    UnknownModel,
)
from models.errors import (
    BundleError,
    BundleNotFound,
    ConfigError,
    CorruptImage,
    InputError,
    OutOfSupport,
    PayloadTooLarge,
    ShapeMismatch,
    UnsupportedMedia,
    UnsupportedOperation,
)

PROBLEM_TYPE = "application/problem+json"


TABLE: dict[type[Exception], tuple[int, str]] = {
    MalformedRequest: (400, "malformed-request"),
    CorruptImage: (400, "corrupt-image"),
    Unauthorized: (401, "unauthorized"),
    UnknownModel: (404, "unknown-model"),
    BundleNotFound: (404, "unknown-model"),
    NotAcceptable: (406, "not-acceptable"),
    UnsupportedOperation: (409, "unsupported-operation"),
    PayloadTooLarge: (413, "payload-too-large"),
    UnsupportedMedia: (415, "unsupported-media"),
    InvalidParameter: (422, "invalid-parameter"),
    ShapeMismatch: (422, "shape-mismatch"),
    OutOfSupport: (422, "out-of-support"),
    InputError: (422, "invalid-input"),
    ClientDisconnected: (499, "client-disconnected"),
    ModelNotReady: (503, "model-not-ready"),
    QueueFull: (503, "queue-full"),
    DeadlineExceeded: (504, "deadline-exceeded"),
    ConfigError: (500, "internal-error"),
    BundleError: (500, "internal-error"),
    Exception: (500, "internal-error"),
}
"""The class nearest in an exception's MRO decides."""

HTTP_SLUGS = {404: "not-found", 405: "method-not-allowed"}
"""Slugs of what the router itself answers."""


def lookup(error_type: type[BaseException]) -> tuple[int, str]:
    """(status, slug) of an exception's class."""
    for ancestor in error_type.__mro__:
        if ancestor in TABLE:
            return TABLE[ancestor]
    return TABLE[Exception]


def problem(
    status: int,
    slug: str,
    detail: str,
    *,
    instance: str,
    request_id: str,
    items: tuple[tuple[int, str], ...] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An `application/problem+json` answer."""
    body: dict[str, Any] = {
        "type": f"/problems/{slug}",
        "title": title(slug),
        "status": status,
        "detail": detail,
        "instance": instance,
        "request_id": request_id,
    }
    if items:
        body["items"] = [{"index": index, "reason": reason} for index, reason in items]
    content = orjson.dumps(_encodable(body))
    return Response(
        content,
        status_code=status,
        media_type=PROBLEM_TYPE,
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def title(slug: str) -> str:
    """The slug in words."""
    return slug.replace("-", " ").capitalize()


def describe(error: Exception, *, instance: str, request_id: str) -> Response:
    """The problem that an exception is; one that nobody foresaw says nothing of itself."""
    status, slug = lookup(type(error))
    detail = (
        str(error)
        if status != 500
        else f"Something broke on our side; the log has it under request_id {request_id}."
    )
    return problem(
        status,
        slug,
        detail,
        instance=instance,
        request_id=request_id,
        items=getattr(error, "items", ()),
        headers=getattr(error, "headers", None),
    )


def _request_id(request: Request) -> str:
    request_id: str = request.scope["vae.record"].request_id
    return request_id


async def answer_vae_error(request: Request, error: Exception) -> Response:
    """One handler for the whole tree; what nobody foresaw goes on to the log."""
    if lookup(type(error))[0] == 500:
        raise error
    return describe(error, instance=request.url.path, request_id=_request_id(request))


async def answer_http_error(request: Request, error: Exception) -> Response:
    """What the router itself refuses: unknown paths and methods."""
    assert isinstance(error, HTTPException)
    slug = HTTP_SLUGS.get(error.status_code, "malformed-request")
    have = "GET /openapi.json lists what there is"
    return problem(
        error.status_code,
        slug,
        f"{error.detail}: {request.method} {request.url.path[:200]}. {have}.",
        instance=request.url.path,
        request_id=_request_id(request),
        headers=error.headers,
    )


def _encodable(value: Any) -> Any:
    """Text that UTF-8 can carry: a lone surrogate from a caller must not break the answer."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {key: _encodable(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_encodable(entry) for entry in value]
    return value
