"""The routes of the operations: for the default model, for a model, for a version of it."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from app.api import openapi as documents
from app.api.answering import answer
from app.api.service import Service
from app.operations.table import OPERATIONS, Operation

ModelName = Annotated[str, Path(description="Name of a model.", examples=["mnist"])]
Version = Annotated[
    int, Path(ge=1, le=2**31 - 1, description="Version of the model.", examples=[1])
]
Handler = Callable[..., Awaitable[Response]]


def operations_router(service: Service) -> APIRouter:
    """Each operation for the default model, for a model, and for a version of it."""
    router = APIRouter()
    for operation in OPERATIONS.values():
        handlers = {
            "/v1": _for_default(service, operation),
            "/v1/models/{model}": _for_model(service, operation),
            "/v1/models/{model}/versions/{version}": _for_version(service, operation),
        }
        for prefix, handler in handlers.items():
            router.add_api_route(
                f"{prefix}/{operation.name}",
                handler,
                methods=[operation.method],
                **documents.route(operation, prefix),
            )
    return router


def _for_default(service: Service, operation: Operation) -> Handler:
    async def handle(request: Request) -> Response:
        return await answer(service, operation, request, service.registry.find())

    return handle


def _for_model(service: Service, operation: Operation) -> Handler:
    async def handle(request: Request, model: ModelName) -> Response:
        return await answer(service, operation, request, service.registry.find(model))

    return handle


def _for_version(service: Service, operation: Operation) -> Handler:
    async def handle(request: Request, model: ModelName, version: Version) -> Response:
        served = service.registry.find(model, version)
        return await answer(service, operation, request, served, versioned=True)

    return handle
