"""Operations by path: for the default model, for a model, for one version of it.

`ServeOperations` finds an operation's path by its segments, and answers HEAD as GET, whose body the
server leaves out (RFC 9110, section 9.3.2): Starlette's router, which tries one route after the
other, sees only the rest. Its routes of the operations are there for the refusal of
another method.
"""

from collections.abc import Mapping

from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.answering import answer
from app.api.problems import describe_in, lookup
from app.api.routing import MODEL_PATHS, find_model, make_route
from app.api.service import Service
from app.operations.table import OPERATIONS, Operation
from models.errors import VAEError

MAX_PATHS, MAX_PATH_LENGTH = 256, 256
"""Paths whose operation is kept at hand: how many, and their characters."""


class OperationApp:
    """Answers the requests for one operation."""

    def __init__(self, service: Service, operation: Operation) -> None:
        self.service, self.operation = service, operation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, whose model and version are the `path_params` of its scope."""
        path_params: Mapping[str, str] = scope["path_params"]
        service, operation = self.service, self.operation
        try:
            served = find_model(service.registry, path_params, scope["path"])
            versioned = "version" in path_params
            await answer(service, operation, served, scope, receive, send, versioned=versioned)
        except VAEError as error:
            if lookup(type(error))[0] == 500:
                raise
            await describe_in(scope, error)(scope, receive, send)


class ServeOperations:
    """Calls the app of an operation by its method and path, and another app for the rest."""

    def __init__(self, app: ASGIApp, *, service: Service) -> None:
        self.app = app
        self.operations: dict[tuple[str, str], OperationApp] = {
            (operation.method, name): OperationApp(service, operation)
            for name, operation in OPERATIONS.items()
        }

        self._found: dict[tuple[str, str], tuple[OperationApp, dict[str, str]]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and not scope.get("root_path"):
            if scope["method"] == "HEAD":
                scope = {**scope, "method": "GET"}
            key: tuple[str, str] = scope["method"], scope["path"]
            found = self._found.get(key) or self._find(key)
            if found is not None:
                app, scope["path_params"] = found
                await app(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _find(self, key: tuple[str, str]) -> tuple[OperationApp, dict[str, str]] | None:
        """The app of a method and path, and the model in the path; None if it is no operation's."""
        method, path = key
        prefix, _, name = path.rpartition("/")
        app = self.operations.get((method, name))
        path_params = None if app is None else model_of(prefix)
        if app is None or path_params is None:
            return None
        if len(self._found) < MAX_PATHS and len(path) <= MAX_PATH_LENGTH:
            self._found[key] = app, path_params
        return app, path_params


def model_of(prefix: str) -> dict[str, str] | None:
    """The model and version in the path before an operation's name; None if it is no such path."""
    if prefix == "/v1":
        return {}
    segments = prefix.split("/")
    if segments[:3] != ["", "v1", "models"] or not all(segments[3:]):
        return None
    if len(segments) == 4:
        return {"model": segments[3]}
    if len(segments) == 6 and segments[4] == "versions":
        return {"model": segments[3], "version": segments[5]}
    return None


def operation_routes(service: Service) -> list[Route]:
    """Three routes for each operation."""
    return [
        make_route(operation.method, f"{prefix}/{operation.name}", OperationApp(service, operation))
        for operation in OPERATIONS.values()
        for prefix in MODEL_PATHS.values()
    ]
