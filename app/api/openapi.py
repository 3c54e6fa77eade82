"""The OpenAPI 3.1 document, built from the declarations of operations, answers and problems.

Generators of clients read it unmodified (`make check-clients`): a parameter is declared once, in
the query; ids are short; an example is a value, never the URL of a file.
"""

from typing import Any

from pydantic import BaseModel

from app.api.model_descriptions import (
    ExamplesAnswer,
    MapAnswer,
    ModelControl,
    ModelDescription,
    ModelList,
)
from app.api.openapi_components import (
    ANYWHERE,
    NOT_MODIFIED,
    Described,
    answer_headers,
    parameters,
    path_parameters,
    problem_responses,
    problems,
    schema_of,
    schemas,
)
from app.api.openapi_operations import operation_paths
from app.api.openapi_remote import remote_vae_paths
from app.api.probes import Status
from app.api.routing import MODEL_PATHS
from app.operations.table import OPERATIONS
from app.wire.media_types import JSON_TYPE, MEDIA_TYPES
from models import __version__

DESCRIPTION = (
    "Trained variational autoencoders: encode, decode, reconstruct, sample, interpolate, classify, "
    "and score images by ELBO and log-likelihood."
)
LICENSE = {"name": "MIT", "identifier": "MIT"}
SERVER = "The service that this document comes from."
KEY: list[dict[str, list[str]]] = [{"key": []}]
"""Security of what asks for a key."""
TAGS = {
    **{operation.name: operation.summary for operation in OPERATIONS.values()},
    "models": "The models that are served; loading and unloading them.",
    "probes": "Liveness, readiness and metrics.",
}


def openapi_document(
    *,
    with_keys: bool = False,
    metrics_open: bool = False,
    latents_body: dict[str, Any] | None = None,
    root_path: str = "",
) -> Described:
    """Build the whole document.

    Args:
        with_keys: Whether the service asks for API keys.
        metrics_open: Whether the metrics need none of them.
        latents_body: Example of a JSON body of latents, which the default model can decode.
        root_path: Path prefix of the service.
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "vae-serve",
            "description": DESCRIPTION,
            "version": __version__,
            "license": LICENSE,
        },
        "servers": [{"url": root_path or "/", "description": SERVER}],
        "security": KEY if with_keys else [],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": operation_paths(latents_body)
        | model_paths()
        | held_out_paths()
        | remote_vae_paths()
        | control_paths()
        | probe_paths(metrics_open=metrics_open),
        "components": {
            "schemas": schemas(),
            "parameters": parameters(),
            "headers": answer_headers(),
            "responses": problem_responses(),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def json_answer(description: str, model: type[BaseModel], **example: Any) -> Described:
    """A response in JSON alone."""
    return {
        "description": description,
        "content": {JSON_TYPE: {"schema": schema_of(model), **example}},
    }


def probe_paths(*, metrics_open: bool) -> Described:
    """The probes and the metrics."""
    ok = json_answer("Yes.", Status, example={"status": "ok"})
    not_ready = json_answer("Not ready.", Status, example={"status": "loading"})
    text = {"description": "Metrics.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    readiness = "Readiness: whether the models are loaded and the server is not shutting down."
    ready = {"200": ok, **problems(*ANYWHERE), "503": not_ready}
    probes = {
        "/livez": _get(
            "live", "Liveness: whether the process runs.", {"200": ok} | problems(*ANYWHERE)
        ),
        "/readyz": _get("ready", readiness, ready),
        "/healthz": _get("health", readiness, ready),
        "/metrics": _get(
            "metrics", "Prometheus metrics.", {"200": text} | problems(*ANYWHERE, 401)
        ),
    }
    for path, methods in probes.items():
        if path != "/metrics" or metrics_open:
            methods["get"]["security"] = []
    return probes


def model_paths() -> Described:
    """The list of models, and the description of one."""
    listed = json_answer("All models.", ModelList, example={"models": []})
    described = json_answer("The model.", ModelDescription)
    return {
        "/v1/models": _get(
            "list_models",
            "List the models with their versions, and why a broken one is not served.",
            {"200": listed, **problems(*ANYWHERE, 401)},
            tag="models",
        ),
        MODEL_PATHS["model"]: _get(
            "describe_model",
            "Describe a model's highest version.",
            {"200": described, **problems(*ANYWHERE, 401, 404, 503)},
            parameters=path_parameters(MODEL_PATHS["model"]),
            tag="models",
        ),
        MODEL_PATHS["version"]: _get(
            "describe_version",
            "Describe one version of a model.",
            {"200": described, **problems(*ANYWHERE, 401, 404, 422, 503)},
            parameters=path_parameters(MODEL_PATHS["version"]),
            tag="models",
        ),
    }


def held_out_paths() -> Described:
    """What a bundle keeps of held-out pictures."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    shown = json_answer("The pictures.", ExamplesAnswer)
    shown["content"] |= {MEDIA_TYPES[form]: binary for form in ("png", "npy", "npz")}
    mapped = json_answer("The map.", MapAnswer)
    paths: Described = {}
    for scope, what in (("model", "a model's highest version"), ("version", "one version")):
        prefix = MODEL_PATHS[scope]
        faults = (*ANYWHERE, 401, 404, 406, 409, 422, 503)
        paths[f"{prefix}/examples"] = _get(
            f"examples_by_{scope}",
            f"Held-out pictures of {what}, with their labels and licence.",
            {"200": shown, "304": NOT_MODIFIED, **problems(*faults)},
            parameters=[*path_parameters(prefix), _format_parameter("json", "png", "npy", "npz")],
            tag="models",
        )
        paths[f"{prefix}/map"] = _get(
            f"map_by_{scope}",
            f"Held-out pictures of {what} in a plane of its latents.",
            {"200": mapped, "304": NOT_MODIFIED, **problems(*faults)},
            parameters=[*path_parameters(prefix), _format_parameter("json")],
            tag="models",
        )
    return paths


def control_paths() -> Described:
    """Loading and unloading of a model, and of one version of it."""
    done = json_answer("Every worker has done it.", ModelControl)
    not_by_all = json_answer("Not every worker has done it yet.", ModelControl)
    paths: Described = {}
    for scope in ("model", "version"):
        prefix, what = MODEL_PATHS[scope], "a model" if scope == "model" else "one version"
        for action in ("load", "unload"):
            faults = (*ANYWHERE, 401, 403, 404, *((409,) if action == "load" else ()), 422, 503)
            described = {
                "operationId": f"{action}_{scope}",
                "summary": f"{action.capitalize()} {what} (with an admin key).",
                "tags": ["models"],
                "security": KEY,
                "parameters": path_parameters(prefix),
                "responses": {"200": done, "202": not_by_all, **problems(*faults)},
            }
            paths[f"{prefix}/{action}"] = {"post": described}
    return paths


def _format_parameter(*formats: str) -> Described:
    return {
        "name": "format",
        "in": "query",
        "description": "Format of the answer; overrides the Accept header.",
        "schema": {"type": "string", "enum": list(formats)},
    }


def _get(
    operation_id: str, summary: str, responses: Described, *, tag: str = "probes", **more: Any
) -> Described:
    described = {"operationId": operation_id, "summary": summary, "tags": [tag]}
    return {"get": {**described, **more, "responses": responses}}
