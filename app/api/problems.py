"""RFC 9457 problems: the table from an exception to (status, slug), and the answer it becomes."""

import math
from collections.abc import Mapping
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from app.api.record import record_of
from app.api.redaction import is_secret, redact_path
from app.api.reply import WholeReply
from app.api.routing import OPEN_INFERENCE
from app.errors import (
    BrokenModel,
    ClientDisconnected,
    DeadlineExceeded,
    HeadersTooLarge,
    InvalidParameter,
    MalformedRequest,
    ModelControlClosed,
    ModelNotReady,
    NoDefaultModel,
    NotAcceptable,
    QueueFull,
    ReceiveTimeout,
    ServerBusy,
    TargetTooLong,
    Unauthorized,
    UnknownModel,
    UnsupportedVersion,
)
from app.operations.answers import Schema
from app.wire.header_lines import write_lines
from app.wire.media_types import JSON_TYPE, PROBLEM_TYPE
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

ROOT_PATH = "vae.root_path"
"""Key of a scope: the path prefix of the service, where it has one (VAE_ROOT_PATH)."""
MAX_TEXT = 200
MAX_ENTRIES = 64
"""Limits of what a problem repeats of the caller's values."""


class ItemFault(Schema):
    """One item of a request that is at fault."""

    index: int
    reason: str


class Problem(BaseModel):
    """RFC 9457 `application/problem+json`; the members from `parameter` on are there where they
    exist."""

    type: Annotated[str, Field(description="A stable URI reference; docs/api.md lists them.")]
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    trace_id: Annotated[
        str | None, Field(description="The trace that the request is part of, where it is of one.")
    ] = None
    items: Annotated[
        list[ItemFault] | None, Field(description="Which items are at fault, where some are.")
    ] = None
    parameter: Annotated[
        str | None,
        Field(description="Parameter, JSON member, header or part of the path that is at fault."),
    ] = None
    received: Annotated[
        Any, Field(description="Value that was received, cut to 200 characters.")
    ] = None
    allowed: Annotated[
        list[Any] | None, Field(description="Values that are allowed, at most 64 of them.")
    ] = None
    limit: Annotated[float | None, Field(description="Bound that the value crosses.")] = None
    suggestion: Annotated[
        Any, Field(description="Value, path, header or command to send instead.")
    ] = None


TABLE: dict[type[Exception], tuple[int, str]] = {
    MalformedRequest: (400, "malformed-request"),
    CorruptImage: (400, "corrupt-image"),
    Unauthorized: (401, "unauthorized"),
    ModelControlClosed: (403, "model-control-closed"),
    UnknownModel: (404, "unknown-model"),
    BundleNotFound: (404, "unknown-model"),
    NotAcceptable: (406, "not-acceptable"),
    ReceiveTimeout: (408, "request-timeout"),
    NoDefaultModel: (409, "no-default-model"),
    BrokenModel: (409, "broken-model"),
    UnsupportedOperation: (409, "unsupported-operation"),
    PayloadTooLarge: (413, "payload-too-large"),
    TargetTooLong: (414, "target-too-long"),
    UnsupportedMedia: (415, "unsupported-media"),
    InvalidParameter: (422, "invalid-parameter"),
    ShapeMismatch: (422, "shape-mismatch"),
    OutOfSupport: (422, "out-of-support"),
    InputError: (422, "invalid-input"),
    HeadersTooLarge: (431, "headers-too-large"),
    ClientDisconnected: (499, "client-disconnected"),
    ModelNotReady: (503, "model-not-ready"),
    QueueFull: (503, "queue-full"),
    ServerBusy: (503, "server-busy"),
    DeadlineExceeded: (504, "deadline-exceeded"),
    UnsupportedVersion: (505, "unsupported-version"),
    ConfigError: (500, "internal-error"),
    BundleError: (500, "internal-error"),
    Exception: (500, "internal-error"),
}
"""The class nearest in an exception's MRO decides."""

HTTP_SLUGS = {404: "not-found", 405: "method-not-allowed"}
"""Slugs of the statuses that the router answers."""


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
    trace_id: str = "",
    items: tuple[tuple[int, str], ...] = (),
    headers: Mapping[str, str] | None = None,
    details: Mapping[str, Any] | None = None,
    root: str = "",
) -> Response:
    """An `application/problem+json` answer; under /v2 `{"error": ...}`, as its protocol has it.

    Args:
        status: The HTTP status.
        slug: End of the problem's type.
        detail: The message.
        instance: Path of the request.
        request_id: Id of the request, by which the log has it.
        trace_id: The trace that it is part of, if any.
        items: (index, reason) of each item at fault.
        headers: Headers beside the usual ones.
        details: `parameter`, `received`, `allowed`, `limit`, `suggestion`, as far as they exist.
        root: Path prefix of the service (VAE_ROOT_PATH).
    """
    headers = {"Cache-Control": "no-store", **(headers or {})}
    if is_open_inference(instance, root):
        error = orjson.dumps({"error": _encodable(detail)})
        return Response(error, status, media_type=JSON_TYPE, headers=headers)
    body: dict[str, Any] = {
        "type": f"{root}/problems/{slug}",
        "title": title(slug),
        "status": status,
        "detail": detail,
        "instance": redact_path(instance),
        "request_id": request_id,
    }
    if trace_id:
        body["trace_id"] = trace_id
    if details and is_secret(str(details.get("parameter"))):
        details = {name: value for name, value in details.items() if name != "received"}
    if items:
        body["items"] = [{"index": index, "reason": reason} for index, reason in items]
    body |= {name: bounded(value) for name, value in (details or {}).items() if value is not None}
    content = orjson.dumps(_encodable(body))
    return Response(content, status, media_type=PROBLEM_TYPE, headers=headers)


def is_open_inference(path: str, root: str = "") -> bool:
    """Whether a path is one of the Open Inference Protocol, whose errors have their own form."""
    path = path.removeprefix(root)
    return path == OPEN_INFERENCE or path.startswith(f"{OPEN_INFERENCE}/")


def title(slug: str) -> str:
    """The slug in words."""
    return slug.replace("-", " ").capitalize()


def describe(
    error: Exception, *, instance: str, request_id: str, trace_id: str = "", root: str = ""
) -> Response:
    """The problem of an exception; a 500 leaves its message and its members to the log."""
    status, slug = lookup(type(error))
    detail = (
        str(error)
        if status != 500
        else f"The server failed; its log has the error under request_id {request_id}. Retry, or "
        "send that id to the server's operator."
    )
    return problem(
        status,
        slug,
        detail,
        instance=instance,
        request_id=request_id,
        trace_id=trace_id,
        items=getattr(error, "items", ()),
        headers=getattr(error, "headers", None),
        details=getattr(error, "details", None) if status != 500 else None,
        root=root,
    )


def describe_in(scope: Scope, error: Exception, instance: str | None = None) -> Response:
    """The problem of an exception, noted in the record of its request.

    Args:
        scope: The request's.
        error: The exception.
        instance: By default the scope's path.
    """
    record = record_of(scope)
    record.rejection = getattr(error, "reason", None)
    return describe(
        error,
        instance=scope["path"] if instance is None else instance,
        request_id=record.request_id,
        trace_id=record.trace_id,
        root=scope.get(ROOT_PATH, ""),
    )


def reply_of(response: Response) -> WholeReply:
    """A response that is whole, as an operation answers."""
    return response.status_code, write_lines(response.raw_headers), bytes(response.body)


async def answer_vae_error(request: Request, error: Exception) -> Response:
    """Answer any exception of the tree; a 500 is raised again, so that it is logged."""
    if lookup(type(error))[0] == 500:
        raise error
    return describe_in(request.scope, error, request.url.path)


def bounded(value: Any) -> Any:
    """A value as JSON, cut to a bounded length: a request may hold a megabyte in one parameter."""
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT else f"{value[:MAX_TEXT]}..."
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**63 else bounded(str(value))
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        entries = list(value.items())[:MAX_ENTRIES]
        return {bounded(str(key)): bounded(entry) for key, entry in entries}
    if isinstance(value, list | tuple):
        return [bounded(entry) for entry in value[:MAX_ENTRIES]]
    return bounded(str(value))


def _encodable(value: Any) -> Any:
    """Text with each lone surrogate replaced, which UTF-8 cannot encode."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {key: _encodable(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_encodable(entry) for entry in value]
    return value
