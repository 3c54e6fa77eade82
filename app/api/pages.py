"""What is served besides the operations: models, probes, metrics, /docs and the start page."""

import asyncio
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import FileResponse, Response

from app.api import openapi as documents
from app.api.metrics import CONTENT_TYPE, Metrics
from app.api.middleware import record_of
from app.api.problems import TABLE, title
from app.api.schemas import Status
from app.serving.lifecycle import Lifecycle
from app.wire.rendering import to_json

PLAYGROUND = Path(__file__).resolve().parents[1] / "playground"
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def _json(value: Any, status: int = 200) -> Response:
    headers = {"Cache-Control": "no-store"}
    return Response(to_json(value), status, headers=headers, media_type="application/json")


def probe_router(lifecycle: Lifecycle, metrics: Metrics) -> APIRouter:
    """`/livez`, `/readyz`, `/healthz`, `/metrics`: none of them touches the queue."""
    router = APIRouter(tags=["probes"])
    ok = documents.json_response(Status, "Yes.", {"status": "ok"})
    unready = documents.json_response(Status, "Not now.", {"status": "loading"})

    @router.get("/livez", summary="Whether the process lives.", responses={200: ok})
    async def livez() -> Response:
        return _json({"status": "ok"})

    async def readyz() -> Response:
        status = lifecycle.status()
        return _json({"status": status}, 200 if status == "ok" else 503)

    for path in ("/readyz", "/healthz"):
        router.add_api_route(
            path,
            readyz,
            summary="Whether the models are loaded and work is welcome.",
            responses={200: ok, 503: unready},
            operation_id=path[1:],
        )

    @router.get(
        "/metrics",
        summary="Prometheus metrics.",
        responses={200: {"description": "Text.", "content": {"text/plain": {}}}},
    )
    async def prometheus(request: Request) -> Response:
        record_of(request.scope).operation = "metrics"
        text = await asyncio.to_thread(metrics.text)
        return Response(text, headers={"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"})

    return router


def page_router(app: FastAPI) -> APIRouter:
    """The start page, /docs, the OpenAPI document, and what a problem's type says."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def start() -> Response:
        policy = {"Content-Security-Policy": PAGE_POLICY, "Cache-Control": "no-cache"}
        return FileResponse(PLAYGROUND / "index.html", headers=policy)

    @router.get("/docs")
    async def docs() -> Response:
        return documents.docs_page()

    @router.get("/openapi.json")
    async def openapi() -> Response:
        return _json(app.openapi())

    @router.get("/problems/{slug}")
    async def problem_type(slug: str) -> Response:
        words = {s: error.__doc__ for error, (_, s) in reversed(TABLE.items())}
        text = f"{title(slug)}: {words[slug]}\n" if slug in words else "No such problem.\n"
        return Response(text, 200 if slug in words else 404, media_type="text/plain")

    return router
