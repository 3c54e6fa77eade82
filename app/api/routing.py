"""Routing: prefixes of paths, the model that a path names, routes of one method, JSON answers."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from app.api.redaction import redact_path
from app.errors import InvalidParameter
from app.serving.registry import Registry
from app.serving.served_model import ServedModel
from app.wire.rendering import to_json
from models.config import MAX_VERSION

MODEL_PATHS = {
    "default": "/v1",
    "model": "/v1/models/{model}",
    "version": "/v1/models/{model}/versions/{version}",
}
"""Prefixes of an operation's path: the default model, a model's highest version, one version."""
OPEN_INFERENCE = "/v2"
"""Prefix of the Open Inference Protocol."""
PROBES = (
    *("/livez", "/readyz", "/healthz"),
    *(f"{OPEN_INFERENCE}/health/live", f"{OPEN_INFERENCE}/health/ready"),
)
VERSION = re.compile(r"[1-9][0-9]{0,9}")
"""A version has one spelling: no sign, no leading zero, ASCII digits."""

Endpoint = Callable[[Request], Awaitable[Response]]


def make_route(method: str, path: str, endpoint: Endpoint | ASGIApp) -> Route:
    """Route one method of one path.

    Starlette would add HEAD to GET; `ServeOperations` serves HEAD on every path instead,
    so that the header Allow of a 405 names one method.
    """
    route = Route(path, endpoint, methods=[method])
    route.methods = {method}
    return route


def find_model(registry: Registry, path_params: Mapping[str, str], path: str) -> ServedModel:
    """The model that a path names, by default the default model and the highest version.

    Raises:
        InvalidParameter: The version is not a version number.
        ModelNotReady: The models are still loading.
        NoDefaultModel: The path names no model, and no model is the default.
        UnknownModel: No such model or version is served.
    """
    version = path_params.get("version")
    name = path_params.get("model")
    return registry.find(
        None if name is None else redact_path(name),
        None if version is None else parse_version(version),
        operation=path.rpartition("/")[2],
    )


def parse_version(text: str) -> int:
    """The version number in a path.

    Raises:
        InvalidParameter: It is not one.
    """
    if VERSION.fullmatch(text) and int(text) <= MAX_VERSION:
        return int(text)
    received = text[:60]
    raise InvalidParameter(
        f"version={received!r} in the path is not a version number, an integer from 1 to "
        f"{MAX_VERSION}. GET /v1/models lists the versions of every model.",
        parameter="version",
        received=received,
        suggestion="GET /v1/models",
    )


def json_response(value: Any, status: int = 200) -> Response:
    """JSON that no cache may keep."""
    headers = {"Cache-Control": "no-store"}
    return Response(to_json(value), status, headers=headers, media_type="application/json")
