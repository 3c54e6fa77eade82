"""Routes of the operations: each for the default model, for a model, for one version of it."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.api.answering import answer
from app.api.routing import MODEL_PATHS, Endpoint, find_model, make_route
from app.api.service import Service
from app.operations.table import OPERATIONS, Operation


def operation_routes(service: Service) -> list[Route]:
    """Three routes for each operation."""
    return [
        make_route(operation.method, f"{prefix}/{operation.name}", _endpoint(service, operation))
        for operation in OPERATIONS.values()
        for prefix in MODEL_PATHS.values()
    ]


def _endpoint(service: Service, operation: Operation) -> Endpoint:
    async def answer_operation(request: Request) -> Response:
        served = find_model(service.registry, request)
        versioned = "version" in request.path_params
        return await answer(service, operation, request, served, versioned=versioned)

    return answer_operation
