"""The OpenAPI 3.1 document, built from the declarations of operations, answers and problems."""

import re
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app.api.examples import ANSWERS, EXAMPLE_ID, PROBLEMS, example_body
from app.api.model_descriptions import ModelControl, ModelDescription, ModelList
from app.api.probes import Status
from app.api.problems import TABLE, Problem, title
from app.api.request_schemas import request_model
from app.api.routing import MODEL_PATHS
from app.operations.table import OPERATIONS, Operation
from app.wire.media_types import (
    JSON_TYPE,
    MEDIA_TYPES,
    MULTIPART_TYPE,
    NPY_TYPE,
    NPZ_TYPE,
    PICTURE_TYPES,
    PROBLEM_TYPE,
)
from models import __version__
from models.config import MAX_VERSION

DESCRIPTION = (
    "Trained variational autoencoders: encode, decode, reconstruct, sample, interpolate, classify, "
    "and score images by ELBO and log-likelihood."
)
NEVER_SENT = 499
"""Status of a client that hung up: only the log has it."""
Described = dict[str, Any]

PATH_PARAMETERS: dict[str, Described] = {
    "model": {
        "description": "Name of a model; GET /v1/models lists them.",
        "schema": {"type": "string", "title": "Model", "examples": ["mnist"]},
    },
    "version": {
        "description": "Version of the model.",
        "schema": {
            "type": "integer",
            "minimum": 1,
            "maximum": MAX_VERSION,
            "title": "Version",
            "examples": [1],
        },
    },
}
HEADERS = {
    "X-Seed": "Seed of everything drawn; absent where nothing was drawn.",
    "X-Model-Name": "Name of the model that answered.",
    "X-Model-Version": "Version of the model that answered.",
    "X-Bundle-Digest": "sha256 of the bundle's manifest.",
    "X-Preprocessing": "Preprocessing steps of the images.",
    "X-Request-ID": "Request id, as in the log.",
    "Server-Timing": "Milliseconds of each phase.",
}


def openapi_document(
    *,
    with_keys: bool = False,
    with_admin_keys: bool = False,
    latents_body: dict[str, Any] | None = None,
) -> Described:
    """Build the whole document.

    Args:
        with_keys: Whether the service asks for API keys.
        with_admin_keys: Whether it takes admin keys.
        latents_body: Example of a JSON body of latents, which the default model can decode.
    """
    components: Described = {"schemas": schemas(), "responses": problem_responses()}
    document: Described = {
        "openapi": "3.1.0",
        "info": {"title": "vae-serve", "description": DESCRIPTION, "version": __version__},
        "paths": probe_paths()
        | model_paths()
        | control_paths(with_key=with_admin_keys)
        | operation_paths(latents_body),
        "components": components,
    }
    if with_keys or with_admin_keys:
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    if with_keys:
        document["security"] = [{"key": []}]
    return document


# Components ------------------------------------------------------------------------------------


def schemas() -> Described:
    """JSON Schemas of every answer and of every JSON body, by name."""
    operations = OPERATIONS.values()
    models: list[type[BaseModel]] = [
        *(Problem, ModelList, ModelDescription, ModelControl, Status),
        *(operation.answer for operation in operations),
        *(request_model(operation) for operation in operations if operation.takes),
    ]
    _, definitions = models_json_schema(
        [(model, "serialization") for model in models],
        ref_template="#/components/schemas/{model}",
    )
    found: Described = definitions["$defs"]
    return found


def problem_responses() -> Described:
    """A response for each status of a problem, with an example of each type of problem."""
    return {
        f"Problem{status}": {
            "description": f"{', '.join(title(slug) for slug in slugs)}.",
            "content": {
                PROBLEM_TYPE: {
                    "schema": schema_of(Problem),
                    "examples": {slug: {"value": problem_example(slug)} for slug in slugs},
                }
            },
        }
        for status, slugs in slugs_by_status().items()
    }


def slugs_by_status() -> dict[int, list[str]]:
    """Types of problem that a caller may receive, by status."""
    found: dict[int, list[str]] = {}
    for status, slug in sorted(dict.fromkeys(TABLE.values()), key=lambda entry: entry[0]):
        if status != NEVER_SENT:
            found.setdefault(status, []).append(slug)
    return found


def problem_example(slug: str) -> Described:
    """A whole problem of one type."""
    status = next(status for status, known in TABLE.values() if known == slug)
    return {
        "type": f"/problems/{slug}",
        "title": title(slug),
        "status": status,
        "request_id": EXAMPLE_ID,
        **PROBLEMS[slug],
    }


def problems(*statuses: int) -> Described:
    """References to the problems of some statuses."""
    return {str(s): {"$ref": f"#/components/responses/Problem{s}"} for s in statuses}


def schema_of(model: type[BaseModel]) -> Described:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def json_answer(description: str, model: type[BaseModel], **example: Any) -> Described:
    """A response in JSON alone."""
    return {
        "description": description,
        "content": {JSON_TYPE: {"schema": schema_of(model), **example}},
    }


# Probes and models -----------------------------------------------------------------------------


def probe_paths() -> Described:
    """The probes and the metrics."""
    ok = json_answer("Yes.", Status, example={"status": "ok"})
    not_ready = json_answer("Not ready.", Status, example={"status": "loading"})
    metrics = {"description": "Metrics.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    readiness = "Readiness: whether the models are loaded and the server is not shutting down."
    return {
        "/livez": _get("livez_livez_get", "Liveness: whether the process runs.", {"200": ok}),
        "/readyz": _get("readyz", readiness, {"200": ok, "503": not_ready}),
        "/healthz": _get("healthz", readiness, {"200": ok, "503": not_ready}),
        "/metrics": _get("prometheus_metrics_get", "Prometheus metrics.", {"200": metrics}),
    }


def model_paths() -> Described:
    """The list of models, and the description of one."""
    listed = json_answer("All models.", ModelList, example={"models": []})
    described = json_answer("The model.", ModelDescription)
    return {
        "/v1/models": _get(
            "models_v1_models_get",
            "List the models with their versions, and why a broken one is not served.",
            {"200": listed, **problems(401)},
            tag="models",
        ),
        MODEL_PATHS["model"]: _get(
            "by_name_v1_models__model__get",
            "Describe a model's highest version.",
            {"200": described, **problems(400, 401, 404, 503)},
            parameters=path_parameters(MODEL_PATHS["model"]),
            tag="models",
        ),
        MODEL_PATHS["version"]: _get(
            "by_version_v1_models__model__versions__version__get",
            "Describe one version of a model.",
            {"200": described, **problems(400, 401, 404, 422, 503)},
            parameters=path_parameters(MODEL_PATHS["version"]),
            tag="models",
        ),
    }


def control_paths(*, with_key: bool) -> Described:
    """Loading and unloading of a model, and of one version of it."""
    done = json_answer("Every worker has done it.", ModelControl)
    not_by_all = json_answer("Not every worker has done it yet.", ModelControl)
    paths: Described = {}
    for scope in ("model", "version"):
        prefix, what = MODEL_PATHS[scope], "a model" if scope == "model" else "one version"
        for action in ("load", "unload"):
            faults = (400, 401, 403, 404, *((409,) if action == "load" else ()), 422, 503)
            described = {
                "operationId": f"{action}_by_{scope}",
                "summary": f"{action.capitalize()} {what} (with an admin key).",
                "tags": ["models"],
                "parameters": path_parameters(prefix),
                "responses": {"200": done, "202": not_by_all, **problems(*faults)},
            }
            if with_key:
                described["security"] = [{"key": []}]
            paths[f"{prefix}/{action}"] = {"post": described}
    return paths


def _get(
    operation_id: str, summary: str, responses: Described, *, tag: str = "probes", **more: Any
) -> Described:
    described = {"operationId": operation_id, "summary": summary, "tags": [tag]}
    return {"get": {**described, **more, "responses": responses}}


def path_parameters(path: str) -> list[Described]:
    """The parameters between the braces of a path."""
    return [
        {"name": name, "in": "path", "required": True, **PATH_PARAMETERS[name]}
        for name in re.findall(r"{(\w+)}", path)
    ]


# Operations ------------------------------------------------------------------------------------


def operation_paths(latents_body: dict[str, Any] | None) -> Described:
    """The three paths of every operation."""
    paths: Described = {}
    for operation in OPERATIONS.values():
        described = operation_of_any_path(operation, latents_body)
        for scope, prefix in MODEL_PATHS.items():
            by_path = {
                "operationId": f"{operation.name.replace('-', '_')}_by_{scope}",
                "parameters": path_parameters(prefix) + described["parameters"],
            }
            method = operation.method.lower()
            paths[f"{prefix}/{operation.name}"] = {method: {**described, **by_path}}
    return paths


def operation_of_any_path(operation: Operation, latents_body: dict[str, Any] | None) -> Described:
    """What the three paths of an operation have in common."""
    primary = "`, or else `".join(operation.primary)
    described: Described = {
        "summary": operation.summary,
        "description": f"{operation.summary} An npy answer holds `{primary}`.",
        "tags": [operation.name],
        "parameters": query_parameters(operation),
        "responses": answers(operation) | problems(*slugs_by_status()),
    }
    if operation.takes:
        content = request_content(operation, latents_body)
        described["requestBody"] = {"required": True, "content": content}
    return described


def query_parameters(operation: Operation) -> list[Described]:
    """The query parameters of an operation: its declared parameters, without null."""
    found = []
    for name, declared in operation.parameters.model_json_schema()["properties"].items():
        schema = dict(declared)
        description = schema.pop("description")
        if "anyOf" in schema:  # optional: a query leaves the parameter out instead
            (not_null,) = (s for s in schema.pop("anyOf") if s != {"type": "null"})
            del schema["default"]
            schema |= not_null
        found.append({"name": name, "in": "query", "description": description, "schema": schema})
    return found


def request_content(
    operation: Operation, latents_body: dict[str, Any] | None
) -> dict[str, Described]:
    """The bodies that an operation takes, by media type, each with an example."""
    takes, two_samples = operation.takes, "/v1/sample?n=2&seed=1"
    npy_url = two_samples if "images" in takes else None
    npz_url = two_samples if len(takes) == 1 else None  # it holds both images and latents
    content: dict[str, Described] = {
        JSON_TYPE: {
            "schema": schema_of(request_model(operation)),
            "example": example_body(operation, latents_body),
        },
        NPY_TYPE: _binary("Array written by numpy.save.", npy_url, "npy"),
        NPZ_TYPE: _binary("Arrays written by numpy.savez.", npz_url, "npz"),
    }
    if "images" in takes:
        content[MULTIPART_TYPE] = form_content(operation)
    if takes == ("images",):
        for media_type in PICTURE_TYPES:
            url = "/v1/sample?n=1&seed=1" if media_type == MEDIA_TYPES["png"] else None
            content[media_type] = _binary("Picture file.", url, "png")
    return content


def form_content(operation: Operation) -> Described:
    """A multipart form: files in the field `images`, parameters as text fields."""
    files = {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1}
    texts = {parameter["name"]: parameter["schema"] for parameter in query_parameters(operation)}
    summary = "Two" if operation.exact_items == 2 else "One or many"
    example = {
        "summary": f"{summary} files in the field `images`, such as this one.",
        "externalValue": "/v1/sample?n=1&seed=1",
    }
    return {
        "schema": {
            "type": "object",
            "properties": {"images": files, **texts},
            "required": ["images"],
            "additionalProperties": False,
        },
        "examples": {"files": example},
    }


def answers(operation: Operation) -> Described:
    """The responses of an operation that succeeds."""
    url = None if operation.takes else f"/v1/{operation.name}?n=2&seed=1"
    content: Described = {
        MEDIA_TYPES[form]: _binary(f"The answer as {form}.", url, form)
        for form in operation.formats
    }
    content[JSON_TYPE] = {
        "schema": schema_of(operation.answer),
        "example": ANSWERS[operation.name],
    }
    headers = {
        name: {"description": text, "schema": {"type": "string"}} for name, text in HEADERS.items()
    }
    found = {"200": {"description": "The answer.", "headers": headers, "content": content}}
    if operation.method == "GET":
        found["304"] = {"description": "Not modified: If-None-Match names the answer's ETag."}
    return found


def _binary(summary: str, url: str | None, form: str) -> Described:
    """A file, with the URL of one that would do."""
    example = {"summary": summary}
    if url is not None:
        example["externalValue"] = f"{url}&format={form}"
    return {"schema": {"type": "string", "format": "binary"}, "examples": {"file": example}}
