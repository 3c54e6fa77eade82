"""Probes of liveness and readiness, and Prometheus metrics; they never wait for the queue."""

import asyncio
from typing import Annotated, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.api.metrics import CONTENT_TYPE, Metrics
from app.api.record import record_of
from app.api.routing import json_response, make_route
from app.operations.answers import Schema
from app.serving.lifecycle import Lifecycle


class Status(Schema):
    """Status of the service."""

    status: Literal["ok", "loading", "draining", "no model"]
    reason: Annotated[str | None, Field(description="Why no model is served, where none is.")] = (
        None
    )


def probe_routes(lifecycle: Lifecycle, metrics: Metrics) -> list[Route]:
    """`/livez`, `/readyz` and its alias `/healthz`, `/metrics`."""

    async def live(request: Request) -> Response:
        return json_response({"status": "ok"})

    async def ready(request: Request) -> Response:
        status = lifecycle.status()
        reason = lifecycle.registry.why_not_served if status == "no model" else None
        answer = {"status": status} | ({"reason": reason} if reason else {})
        return json_response(answer, 200 if status == "ok" else 503)

    async def prometheus(request: Request) -> Response:
        record_of(request.scope).operation = "metrics"
        metrics.flush()
        text = await asyncio.to_thread(metrics.text)
        return Response(text, headers={"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"})

    return [
        make_route("GET", "/livez", live),
        make_route("GET", "/readyz", ready),
        make_route("GET", "/healthz", ready),
        make_route("GET", "/metrics", prometheus),
    ]
