"""Pages for people: start page, /docs, OpenAPI document, and what a problem's type means."""

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import fastapi_offline
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from app.api.problems import TABLE, title
from app.api.routing import json_response, make_route

PLAYGROUND = Path(__file__).resolve().parents[1] / "playground"
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SWAGGER_ASSETS = Path(str(files(fastapi_offline))) / "static"
"""Swagger UI's own files, so that /docs works without a network."""
DOCS_PAGE = Path(__file__).with_name("docs_page")
"""The page around it: its arrangement of the document and its colours."""
DOCS_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Swagger UI writes styles into its elements."""
MEANINGS = {
    "not-found": "No route has this path.",
    "method-not-allowed": "The path takes another method; the header Allow names it.",
    "internal-error": "The server failed; its log has the error under the request_id.",
}
"""Types of problem that no docstring of an exception explains."""


def page_routes(document: Callable[[], dict[str, Any]]) -> list[BaseRoute]:
    """The start page, /docs, /openapi.json, /problems/... and their assets.

    Args:
        document: Builds the OpenAPI document.
    """

    async def start(request: Request) -> Response:
        return _page(PLAYGROUND / "index.html", PAGE_POLICY)

    async def docs(request: Request) -> Response:
        return _page(DOCS_PAGE / "index.html", DOCS_POLICY)

    async def openapi(request: Request) -> Response:
        return json_response(document())

    async def problem_type(request: Request) -> Response:
        slug = request.path_params["slug"]
        meaning = problem_meanings().get(slug)
        text = f"{title(slug)}: {meaning}\n" if meaning else "No such problem.\n"
        return Response(text, 200 if meaning else 404, media_type="text/plain")

    return [
        make_route("GET", "/", start),
        make_route("GET", "/docs", docs),
        make_route("GET", "/openapi.json", openapi),
        make_route("GET", "/problems/{slug}", problem_type),
        Mount("/assets/docs", compressed(StaticFiles(directory=SWAGGER_ASSETS))),
        Mount("/assets/docs-page", compressed(PageFiles(directory=DOCS_PAGE))),
        Mount("/assets", compressed(PageFiles(directory=PLAYGROUND))),
    ]


def _page(path: Path, policy: str) -> Response:
    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-cache"}
    return FileResponse(path, headers=headers)


class PageFiles(StaticFiles):
    """Files of the page, which browsers ask for again each time: a new service has new ones."""

    def file_response(self, *arguments: Any, **options: Any) -> Response:
        """The file, or that it has not changed."""
        response = super().file_response(*arguments, **options)
        response.headers["Cache-Control"] = "no-cache"
        return response


def compressed(app: ASGIApp) -> ASGIApp:
    """An app whose answers are compressed for browsers that read that."""
    return GZipMiddleware(app, minimum_size=512)


def problem_meanings() -> dict[str, str]:
    """What each type of problem means: the first line of its exception's docstring."""
    found: dict[str, str] = {}
    for error, (_, slug) in TABLE.items():
        found.setdefault(slug, str(error.__doc__).partition("\n")[0])
    return found | MEANINGS
