"""The Open Inference Protocol under /v2: health, metadata, and the repository of models.

`app.api.inference` answers its inference requests. The protocol has an OpenAPI document of its own.
"""

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.api.body import Received, read_body
from app.api.inference import shape_of
from app.api.inference_names import INFERENCE_PATHS, find_served, inference_names, split_name
from app.api.model_control import check_may_change
from app.api.record import record_of
from app.api.routing import OPEN_INFERENCE, Endpoint, json_response, make_route
from app.errors import DeadlineExceeded, InvalidParameter, MalformedRequest
from app.operations.table import Operation
from app.operations.tensors import FORM_PARAMETERS, Tensor, input_tensors, output_tensors
from app.serving.capabilities import offered_operations
from app.serving.lifecycle import Lifecycle
from app.serving.registry import Registry
from app.serving.reload import Reloader
from app.serving.served_model import ServedModel
from app.serving.snapshot import State
from app.serving.wishes import Action, Target
from app.settings import Settings
from models import __version__

EXTENSIONS = ("binary_tensor_data", "model_repository")
PLATFORM = "vae"
STATES: dict[State, str] = {
    "ready": "READY",
    "loading": "LOADING",
    "draining": "UNLOADING",
    "unloaded": "UNAVAILABLE",
    "broken": "UNAVAILABLE",
}
"""States of the repository's index."""
REPOSITORY = f"{OPEN_INFERENCE}/repository"


def open_inference_routes(
    registry: Registry, lifecycle: Lifecycle, reloader: Reloader, settings: Settings
) -> list[Route]:
    """The paths under /v2 but those of `infer`."""
    return [
        *_health_routes(lifecycle),
        *_model_routes(registry),
        *_repository_routes(registry, reloader, settings),
    ]


def _health_routes(lifecycle: Lifecycle) -> list[Route]:
    async def live(request: Request) -> Response:
        return json_response({"live": True, "ready": lifecycle.status() == "ok"})

    async def ready(request: Request) -> Response:
        is_ready = lifecycle.status() == "ok"
        return json_response({"live": True, "ready": is_ready}, 200 if is_ready else 503)

    return [
        make_route("GET", f"{OPEN_INFERENCE}/health/live", live),
        make_route("GET", f"{OPEN_INFERENCE}/health/ready", ready),
    ]


def _model_routes(registry: Registry) -> list[Route]:
    async def server(request: Request) -> Response:
        record_of(request.scope).operation = "models"
        answer = {"name": "vae-serve", "version": __version__, "extensions": EXTENSIONS}
        return json_response(answer)

    def found(request: Request) -> tuple[ServedModel, Operation | None]:
        record = record_of(request.scope)
        record.operation = "models"
        served, operation = find_served(registry, request.path_params)
        record.model = served.name
        return served, operation

    async def describe(request: Request) -> Response:
        served, operation = found(request)
        return json_response(describe_inference(registry, served, operation))

    async def ready(request: Request) -> Response:
        found(request)
        return json_response({"name": request.path_params["model"], "ready": True})

    return [
        make_route("GET", OPEN_INFERENCE, server),
        *(make_route("GET", path, describe) for path in INFERENCE_PATHS.values()),
        *(make_route("GET", f"{path}/ready", ready) for path in INFERENCE_PATHS.values()),
    ]


def describe_inference(
    registry: Registry, served: ServedModel, operation: Operation | None
) -> dict[str, Any]:
    """Metadata of an operation of a model: its versions, tensors and parameters.

    A model by itself has no tensors: it is there to be loaded and unloaded.
    """
    versions = registry.models[served.name]
    if operation is None:
        names, inputs, outputs, parameters = sorted(versions), [], [], {}
        name = served.name
    else:
        name = f"{served.name}.{operation.name}"
        names = sorted(v for v, one in versions.items() if operation in _offered(one))
        inputs = [_describe(tensor, served) for tensor in input_tensors(operation)]
        outputs = [
            _describe(tensor, served)
            for tensor in output_tensors(operation.answer)
            if served.labels or tensor.name != "label_used"
        ]
        parameters = {
            field: info.description
            for field, info in operation.parameters.model_fields.items()
            if field not in FORM_PARAMETERS
        }
    return {
        "name": name,
        "versions": [str(version) for version in names],
        "platform": PLATFORM,
        "inputs": inputs,
        "outputs": outputs,
        "parameters": parameters,
    }


def _offered(served: ServedModel) -> list[Operation]:
    return offered_operations(served.lacks)


def _describe(tensor: Tensor, served: ServedModel) -> dict[str, Any]:
    shape = shape_of(tensor, served)
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": shape}


def _repository_routes(registry: Registry, reloader: Reloader, settings: Settings) -> list[Route]:
    async def index(request: Request) -> Response:
        record_of(request.scope).operation = "models"
        only_ready = (await _document(request, settings)).get("ready") is True
        listed = _index(registry)
        return json_response(
            [entry for entry in listed if entry["state"] == "READY" or not only_ready]
        )

    def endpoint(action: Action) -> Endpoint:
        async def control(request: Request) -> Response:
            record_of(request.scope).operation = action
            check_may_change(registry, settings, request.headers.get("authorization", ""))
            _check_plain(await _document(request, settings))
            target = Target(_bundle_name(request.path_params["model"], action), None)
            seconds = settings.request_timeout_seconds
            done, total = await reloader.command(action, target, seconds=seconds)
            if done < total:
                raise DeadlineExceeded(
                    f"{done} of {total} workers have done the {action} of {target.name} after "
                    f"{seconds:g} s; the others follow. Send it again to wait for them.",
                    limit=seconds,
                )
            return json_response({"name": target.name, action: True})

        return control

    return [
        make_route("POST", f"{REPOSITORY}/index", index),
        make_route("POST", f"{REPOSITORY}/models/{{model}}/load", endpoint("load")),
        make_route("POST", f"{REPOSITORY}/models/{{model}}/unload", endpoint("unload")),
    ]


def _index(registry: Registry) -> list[dict[str, str]]:
    """Every version of every model, and of those that are ready each operation."""
    found = []
    for known in registry.states():
        names = [known.name]
        served = registry.models.get(known.name, {}).get(known.version or 0)
        if known.state == "ready" and served is not None:
            names += inference_names(served)
        found += [
            {
                "name": name,
                "version": "" if known.version is None else str(known.version),
                "state": STATES[known.state],
                "reason": known.reason or ("" if known.state == "ready" else known.state),
            }
            for name in names
        ]
    return found


def _bundle_name(name: str, action: Action) -> str:
    """The model that is to be loaded or unloaded.

    Raises:
        InvalidParameter: The name is that of one operation.
    """
    model, operation = split_name(name)
    if operation is not None:
        raise InvalidParameter(
            f"{name[:200]} is one operation of {model}, and a model is {action}ed as a whole. POST "
            f"{REPOSITORY}/models/{model}/{action}.",
            parameter="model",
            received=name[:200],
            suggestion=model,
        )
    return name


async def _document(request: Request, settings: Settings) -> dict[str, Any]:
    """The JSON object in a body; empty where there is no body.

    Raises:
        MalformedRequest: It is no JSON object.
    """
    headers = record_of(request.scope).headers
    receive = Received(request.receive)
    body = await read_body(headers, receive.next_part, max_bytes=settings.max_body_bytes)
    try:
        document = orjson.loads(body) if body.strip() else {}
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        raise MalformedRequest("The body is no JSON object. Send {}, or no body.", parameter="body")
    return document


def _check_plain(document: dict[str, Any]) -> None:
    """Refuse a config or files that come with the request: a bundle is loaded as it is.

    Raises:
        InvalidParameter: There are some.
    """
    parameters = document.get("parameters")
    given = sorted(set(parameters if isinstance(parameters, dict) else {}) - {"unload_dependents"})
    if given:
        raise InvalidParameter(
            f"{given[0][:60]} is not read: a bundle is loaded as it is in the repository. Leave "
            f"{given[0][:60]} out.",
            parameter=given[0][:60],
        )
