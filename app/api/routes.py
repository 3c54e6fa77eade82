"""Operations by path: for the default model, for a model, for one version of it; and under /v2.

`ServeOperations` finds an operation's path by its segments, and answers HEAD as GET, whose body the
server leaves out (RFC 9110, section 9.3.2): Starlette's router, which tries one route after the
other, sees only the rest. Its routes of the operations are there for the refusal of
another method.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple
from weakref import ref

from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.answering import answer
from app.api.body import Incoming, Received
from app.api.inference import infer
from app.api.inference_names import INFERENCE_PATHS, find_name, split_name
from app.api.plan import Plans
from app.api.problems import describe_in, lookup, reply_of
from app.api.reply import Reply, send_reply
from app.api.routing import MODEL_PATHS, OPEN_INFERENCE, find_model, make_route
from app.api.service import Service
from app.operations.table import OPERATIONS, Operation
from app.serving.served_model import ServedModel
from models.errors import VAEError

MAX_PATHS, MAX_PATH_LENGTH = 256, 256
"""Paths whose operation is kept at hand: how many, and their characters."""


class Place(NamedTuple):
    """What a path is for."""

    operation: Operation
    path_params: Mapping[str, str]
    """Name the model and the version, if they do."""
    is_inference: bool = False
    """Whether requests and answers are those of the Open Inference Protocol."""


class OperationAt:
    """Answers the requests for one operation at one path."""

    def __init__(self, service: Service, place: Place) -> None:
        """Serve an operation."""
        self.service, self.operation, self.path_params = service, place.operation, place.path_params
        self._respond = infer if place.is_inference else answer
        self.plans = Plans()
        self._served: Callable[[], ServedModel | None] = lambda: None
        self._published = -1
        """Which publication of the registry the model is of."""

    async def answer(self, scope: Scope, incoming: Incoming) -> Reply:
        """Answer a request.

        Raises:
            VAEError: The request cannot be answered; says why.
        """
        registry = self.service.registry
        served = self._served() if self._published == registry.published else None
        if served is None:
            served = find_model(registry, self.path_params, scope["path"])
            self._served, self._published = ref(served), registry.published
            self.plans = Plans()
        return await self._respond(
            self.service,
            self.operation,
            served,
            self.plans,
            scope,
            incoming,
            versioned="version" in self.path_params,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request over ASGI."""
        try:
            reply = await self.answer(scope, Received(receive))
        except VAEError as error:
            if lookup(type(error))[0] == 500:
                raise
            reply = reply_of(describe_in(scope, error))
        await send_reply(reply, send)


class ServeOperations:
    """Calls the operation at a method and path, and another app for the rest."""

    def __init__(self, app: ASGIApp, *, service: Service) -> None:
        self.app, self.service = app, service
        self.operations: dict[tuple[str, str], Operation] = {
            (operation.method, name): operation for name, operation in OPERATIONS.items()
        }
        self._found: dict[tuple[str, str], OperationAt] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        app = self.app
        if scope["type"] == "http":
            if scope["method"] == "HEAD":
                scope = {**scope, "method": "GET"}
            app = self.find(scope) or app
        await app(scope, receive, send)

    def find(self, scope: Scope) -> OperationAt | None:
        """The operation that a request is for; None if it is for none."""
        if scope.get("root_path"):
            return None
        key: tuple[str, str] = scope["method"], scope["path"]
        return self._found.get(key) or self._find(key)

    def _find(self, key: tuple[str, str]) -> OperationAt | None:
        method, path = key
        prefix, _, name = path.rpartition("/")
        if (method, name) == ("POST", "infer"):
            place = inference_at(prefix)
        else:
            operation = self.operations.get((method, name))
            path_params = None if operation is None else model_of(prefix)
            place = Place(operation, path_params) if operation and path_params is not None else None
        if place is None:
            return None
        found = OperationAt(self.service, place)
        if len(self._found) < MAX_PATHS and len(path) <= MAX_PATH_LENGTH:
            self._found[key] = found
        return found


def inference_at(prefix: str) -> Place | None:
    """The operation in the path before `infer`; None if there is none."""
    path_params = model_of(prefix, OPEN_INFERENCE)
    if not path_params:
        return None
    model, operation = split_name(path_params["model"])
    if operation is None:
        return None
    return Place(operation, {**path_params, "model": model}, is_inference=True)


def model_of(prefix: str, root: str = MODEL_PATHS["default"]) -> dict[str, str] | None:
    """The model and version in the path before an operation's name; None if it is no such path."""
    if prefix == root:
        return {}
    segments = prefix.split("/")
    if segments[:3] != ["", root[1:], "models"] or not all(segments[3:]):
        return None
    if len(segments) == 4:
        return {"model": segments[3]}
    if len(segments) == 6 and segments[4] == "versions":
        return {"model": segments[3], "version": segments[5]}
    return None


def operation_routes(service: Service) -> list[Route]:
    """Three routes for each operation, and two of the Open Inference Protocol for all."""
    inference = [
        make_route("POST", f"{prefix}/infer", _InferenceApp(service))
        for prefix in INFERENCE_PATHS.values()
    ]
    return inference + [
        make_route(operation.method, f"{prefix}/{operation.name}", _RouteApp(service, operation))
        for operation in OPERATIONS.values()
        for prefix in MODEL_PATHS.values()
    ]


class _RouteApp:
    """The app of an operation's route, which names model and version: a server has a root path."""

    def __init__(self, service: Service, operation: Operation) -> None:
        self.service, self.operation = service, operation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = OperationAt(self.service, Place(self.operation, scope["path_params"]))
        await found(scope, receive, send)


class _InferenceApp:
    """The app of the route of `infer`, which refuses a name of no operation, too."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        model, operation = find_name(self.service.registry, scope["path_params"])
        place = Place(operation, {**scope["path_params"], "model": model}, is_inference=True)
        await OperationAt(self.service, place)(scope, receive, send)
