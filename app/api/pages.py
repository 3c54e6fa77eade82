"""Pages for people: start page, /docs, OpenAPI document, and what a problem's type means."""

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import fastapi_offline
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
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
SWAGGER_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; frame-ancestors 'none'"
)
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
        policy = {"Content-Security-Policy": PAGE_POLICY, "Cache-Control": "no-cache"}
        return FileResponse(PLAYGROUND / "index.html", headers=policy)

    async def docs(request: Request) -> Response:
        return swagger_page()

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
        Mount("/assets", compressed(PageFiles(directory=PLAYGROUND))),
    ]


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


def swagger_page() -> HTMLResponse:
    """Swagger UI over /openapi.json."""
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title="vae-serve",
        swagger_js_url="assets/docs/swagger-ui-bundle.js",
        swagger_css_url="assets/docs/swagger-ui.css",
        swagger_favicon_url="assets/docs/favicon.png",
    )
    page.headers["Content-Security-Policy"] = SWAGGER_POLICY
    return page


def problem_meanings() -> dict[str, str]:
    """What each type of problem means: the first line of its exception's docstring."""
    found: dict[str, str] = {}
    for error, (_, slug) in TABLE.items():
        found.setdefault(slug, str(error.__doc__).partition("\n")[0])
    return found | MEANINGS
