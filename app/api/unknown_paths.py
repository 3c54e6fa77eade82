"""Refusals of the router: an unknown path gets the closest one, a wrong method the right one."""

import re
import shlex
from collections.abc import Collection
from http import HTTPMethod

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.api.examples import curl_options
from app.api.problems import HTTP_SLUGS, ROOT_PATH, problem
from app.api.record import record_of
from app.api.redaction import redact_path, redact_query
from app.api.routing import MODEL_PATHS, OPEN_INFERENCE, VERSION
from app.operations.table import OPERATIONS
from models.errors import closest

PREFIXES = tuple(MODEL_PATHS.values())
PATHS = (
    "/v1/models",
    *PREFIXES[1:],
    *(f"{prefix}/{operation}" for prefix in PREFIXES for operation in OPERATIONS),
    *(
        f"{prefix}/{page}"
        for prefix in PREFIXES[1:]
        for page in ("examples", "map", "load", "unload", "remote/decode", "remote/encode")
    ),
    *("/livez", "/readyz", "/healthz", "/metrics"),
)
INFERENCE_TEMPLATES = (
    OPEN_INFERENCE,
    *(f"{OPEN_INFERENCE}/health/{page}" for page in ("live", "ready")),
    *(
        f"{OPEN_INFERENCE}/models/{{name}}{version}{page}"
        for version in ("", "/versions/{version}")
        for page in ("", "/ready", "/infer")
    ),
    f"{OPEN_INFERENCE}/repository/index",
    *(f"{OPEN_INFERENCE}/repository/models/{{model}}/{action}" for action in ("load", "unload")),
)
"""Those of the Open Inference Protocol; {name} is a model or `<model>.<operation>`."""
PAGES = ("/", "/docs", "/openapi.json")
"""Paths that are served unless VAE_DOCS is off."""
OPERATION_PATH = re.compile(r"/v1(?:/models/[^/]+(?:/versions/[^/]+)?)?/(?P<name>[^/]+)")

NEAR, LEFT_OUT, UNKNOWN_NAME, TOO_MUCH = 0.1, 0.8, 0.8, 1.0
ASSUMED = {"v1": 0.3, "models": 0.3, "versions": 0.3}
"""Distances of `closest_path`; the segments that may be put in cost less than one left out."""


async def answer_http_error(request: Request, error: Exception) -> Response:
    """Answer what the router refuses, with status 404 or 405."""
    assert isinstance(error, HTTPException)
    service = request.app.state.service
    path = redact_path(request.url.path)[:200]
    if error.status_code == 405:
        detail, details = _wrong_method(request, path, (error.headers or {}).get("Allow"))
    else:
        names = tuple(service.registry.models)
        detail, details = _unknown_path(path, names, with_pages=service.settings.docs)
    record = record_of(request.scope)
    return problem(
        error.status_code,
        HTTP_SLUGS.get(error.status_code, "malformed-request"),
        detail,
        instance=request.url.path,
        request_id=record.request_id,
        trace_id=record.trace_id,
        headers=error.headers,
        details=details,
        root=request.scope.get(ROOT_PATH, ""),
    )


def _unknown_path(
    path: str, models: Collection[str], *, with_pages: bool
) -> tuple[str, dict[str, object]]:
    templates = (*PATHS, *INFERENCE_TEMPLATES, *(PAGES[1:] if with_pages else ()))
    meant = closest_path(path, templates, models)
    if meant is not None:
        fix = f"Did you mean {meant}?"
    else:
        fix = f"GET {'/openapi.json' if with_pages else '/v1/models'} lists what there is."
    return f"There is no path {path}. {fix}", {
        "parameter": "path",
        "received": path,
        "suggestion": meant,
    }


def closest_path(path: str, templates: Collection[str], models: Collection[str]) -> str | None:
    """The path that an unknown one most likely means, by its segments.

    A segment may be misspelt, or missing (`/v1/mnist/elbo`), or one too many.

    Args:
        path: The unknown path.
        templates: The paths that there are, with {model} and {version}.
        models: Names of the models that are served.
    """
    split = {template: tuple(template.split("/")[1:]) for template in templates}
    literals = frozenset(part for parts in split.values() for part in parts if part[0] != "{")
    given = tuple(segment for segment in path.split("/") if segment)
    found = [_align(given, parts, literals, models, TOO_MUCH) for parts in split.values()]
    distance, parts = min(found)
    return f"/{'/'.join(parts)}" if distance < TOO_MUCH else None


def _align(
    given: tuple[str, ...],
    parts: tuple[str, ...],
    literals: Collection[str],
    models: Collection[str],
    budget: float,
) -> tuple[float, tuple[str, ...]]:
    """Least distance of segments from a template, and the template filled with them."""
    if budget <= 0:
        return TOO_MUCH, ()
    if not given and not parts:
        return 0.0, ()
    found: list[tuple[float, tuple[str, ...]]] = [(TOO_MUCH, ())]

    def go_on(cost: float, put: tuple[str, ...], taken: int, filled: int) -> None:
        rest = (given[taken:], parts[filled:], literals, models, budget - cost)
        distance, following = _align(*rest)
        found.append((cost + distance, (*put, *following)))

    if given:
        go_on(LEFT_OUT, (), 1, 0)
    if parts and parts[0] in ASSUMED:
        go_on(ASSUMED[parts[0]], (parts[0],), 0, 1)
    if given and parts:
        cost, segment = _compare(given[0], parts[0], literals, models)
        go_on(cost, (segment,), 1, 1)
    return min(found)


def _compare(
    segment: str, part: str, literals: Collection[str], models: Collection[str]
) -> tuple[float, str]:
    """Distance of a segment from a part of a template, and what stands there in the end."""
    if part in ("{model}", "{name}"):
        names = models if part == "{model}" else _inference_names(models)
        meant = segment if segment in names else closest(segment, names)
        if meant is None:
            return UNKNOWN_NAME, segment
        return (0.0 if meant == segment else NEAR), meant
    if part == "{version}":
        return (0.0 if VERSION.fullmatch(segment) else TOO_MUCH), segment
    if segment == part:
        return 0.0, part
    is_near = closest(segment, literals) == part
    if part == "v1":
        is_near = re.fullmatch(r"v\d*", segment, re.IGNORECASE) is not None
    return (NEAR if is_near else TOO_MUCH), part


def _inference_names(models: Collection[str]) -> tuple[str, ...]:
    return (*models, *(f"{model}.{operation}" for model in models for operation in OPERATIONS))


def _wrong_method(
    request: Request, path: str, allowed: str | None
) -> tuple[str, dict[str, object]]:
    method, received = (allowed or HTTPMethod.GET).split(",")[0], request.method[:20]
    query = f"?{redact_query(request.url.query)}" if request.url.query else ""
    found = OPERATION_PATH.fullmatch(path)
    operation = OPERATIONS.get(found["name"]) if found else None
    example = f"{method} {path}{query}"
    if operation and operation.takes:
        url = shlex.quote(f"{request.url.scheme}://{request.url.netloc}{path}{query}"[:500])
        example = f"curl {curl_options(operation)} {url}"
    elif operation and not query:
        example += "?n=16&seed=1"
    return f"{operation.name if operation else path} is {method}, not {received}: {example}.", {
        "parameter": "method",
        "received": received,
        "allowed": [method],
        "suggestion": example,
    }
