"""Refusals of the router: an unknown path gets the closest one, a wrong method the right one."""

from http import HTTPMethod

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.api.problems import HTTP_SLUGS, problem
from app.api.routing import MODEL_PATHS
from app.operations.table import OPERATIONS
from models.errors import closest

PREFIXES = tuple(MODEL_PATHS.values())
PATHS = (
    "/v1/models",
    *PREFIXES[1:],
    *(f"{prefix}/{operation}" for prefix in PREFIXES for operation in OPERATIONS),
    *("/livez", "/readyz", "/healthz", "/metrics"),
)
PAGES = ("/", "/docs", "/openapi.json")
"""Paths that are served unless VAE_DOCS is off."""
EXAMPLES = {
    "sample": "?n=16&seed=1",
    "images": " with a picture as the body and Content-Type: image/png",
    "latents": ' with {"latents": [[...]]} as the body and Content-Type: application/json',
}


async def answer_http_error(request: Request, error: Exception) -> Response:
    """Answer what the router refuses, with status 404 or 405."""
    assert isinstance(error, HTTPException)
    path = request.url.path[:200]
    if error.status_code == 405:
        detail, details = _wrong_method(request.method, path, (error.headers or {}).get("Allow"))
    else:
        detail, details = _unknown_path(path, with_pages=request.app.state.service.settings.docs)
    return problem(
        error.status_code,
        HTTP_SLUGS.get(error.status_code, "malformed-request"),
        detail,
        instance=request.url.path,
        request_id=request.scope["vae.record"].request_id,
        headers=error.headers,
        details=details,
    )


def _unknown_path(path: str, *, with_pages: bool) -> tuple[str, dict[str, object]]:
    meant = closest_path(path, (*PATHS, *(PAGES if with_pages else ())))
    if meant is not None:
        fix = f"Did you mean {meant}?"
    else:
        fix = f"GET {'/openapi.json' if with_pages else '/v1/models'} lists what there is."
    return f"There is no path {path}. {fix}", {
        "parameter": "path",
        "received": path,
        "suggestion": meant,
    }


def closest_path(path: str, templates: tuple[str, ...]) -> str | None:
    """The path that a misspelt one most likely means; names of models are kept as they are."""
    given = path.split("/")
    filled = set()
    for template in templates:
        parts = template.split("/")
        named = [
            given[i] if part.startswith("{") and i < len(given) and given[i] else part
            for i, part in enumerate(parts)
        ]
        if "{" not in (text := "/".join(named)):
            filled.add(text)
    return closest(path, sorted(filled))


def _wrong_method(received: str, path: str, allowed: str | None) -> tuple[str, dict[str, object]]:
    method = (allowed or HTTPMethod.GET).split(",")[0]
    name = path.rsplit("/", 1)[-1]
    example = f"{method} {path}"
    if operation := OPERATIONS.get(name):
        kind = operation.takes[0] if operation.takes else name
        example += EXAMPLES.get(kind, "")
    return f"{name if operation else path} is {method}, not {received[:20]}: {example}.", {
        "parameter": "method",
        "received": received[:20],
        "allowed": [method],
        "suggestion": example,
    }
