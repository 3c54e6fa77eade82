"""The operations in the OpenAPI document: three paths each, their bodies and their answers."""

from typing import Any

from app.api.examples import ANSWERS, example_body
from app.api.openapi_components import (
    HEADERS,
    NOT_MODIFIED,
    Described,
    component_of,
    operation_id,
    path_parameters,
    problems,
    reference,
    schema_of,
    slugs_by_status,
)
from app.api.request_schemas import BODIES
from app.api.routing import MODEL_PATHS
from app.operations.table import OPERATIONS, Operation
from app.wire.media_types import (
    ANY_TYPE,
    JSON_TYPE,
    MEDIA_TYPES,
    MULTIPART_TYPE,
    NPY_TYPE,
    NPZ_TYPE,
    PICTURE_TYPES,
    STREAM_TYPES,
)


def operation_paths(latents_body: dict[str, Any] | None) -> Described:
    """The three paths of every operation."""
    paths: Described = {}
    for operation in OPERATIONS.values():
        described = operation_of_any_path(operation, latents_body)
        for scope, prefix in MODEL_PATHS.items():
            by_path = {
                "operationId": operation_id(operation, scope),
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
        "parameters": [
            reference("parameters", component_of(operation, name))
            for name in operation.parameters.model_fields
        ],
        "responses": answers(operation) | problems(*slugs_by_status()),
    }
    if operation.takes:
        content = request_content(operation, latents_body)
        described["requestBody"] = {"required": True, "content": content}
    return described


def request_content(
    operation: Operation, latents_body: dict[str, Any] | None
) -> dict[str, Described]:
    """The bodies that an operation takes, by media type."""
    takes, two_samples = operation.takes, "/v1/sample?n=2&seed=1"
    npy_url = f"{two_samples}&format=npy" if "images" in takes else None
    npz_url = f"{two_samples}&format=npz" if len(takes) == 1 else None  # images and latents
    content: dict[str, Described] = {
        JSON_TYPE: {
            "schema": schema_of(BODIES[takes]),
            "example": example_body(operation, latents_body),
        }
    }
    if "images" in takes:
        content[MULTIPART_TYPE] = form_content(operation)
    content[NPY_TYPE] = _binary("Array written by numpy.save.", npy_url)
    content[NPZ_TYPE] = _binary("Arrays written by numpy.savez.", npz_url)
    if takes == ("images",):
        for media_type in PICTURE_TYPES:
            url = "/v1/sample?n=1&seed=1" if media_type == MEDIA_TYPES["png"] else None
            content[media_type] = _binary("Picture file.", url)
    content[ANY_TYPE] = _binary(
        "Any of these files; its first bytes say which.", npy_url or npz_url
    )
    return content


def form_content(operation: Operation) -> Described:
    """A multipart form: files in the field `images`."""
    files = "PathEndFiles" if operation.exact_items == 2 else "ImageFiles"
    types = ", ".join((*PICTURE_TYPES, NPY_TYPE, NPZ_TYPE))
    return {
        "schema": reference("schemas", files),
        "encoding": {"images": {"contentType": types}},
    }


def answers(operation: Operation) -> Described:
    """The responses of an operation that succeeds; the first media type is the default."""
    content = {MEDIA_TYPES[form]: _binary(f"The answer as {form}.") for form in operation.formats}
    content[JSON_TYPE] = {
        "schema": schema_of(operation.answer),
        "example": ANSWERS[operation.name],
    }
    content |= {STREAM_TYPES[form]: _lines(form) for form in operation.streams}
    headers = {name: reference("headers", name) for name in HEADERS}
    found = {"200": {"description": "The answer.", "headers": headers, "content": content}}
    if operation.method == "GET":
        found["304"] = NOT_MODIFIED
    return found


def _lines(form: str) -> Described:
    """An answer line by line."""
    each = "Lines of JSON" if form == "ndjson" else "Server-sent events with JSON as their data"
    description = (
        f"{each}: running estimates, each with the index `item` of its image, and the JSON answer "
        "as the last. A failure after the first is a last one in the form of a problem."
    )
    return {"schema": {"type": "string", "description": description}}


def _binary(description: str, url: str | None = None) -> Described:
    """A file, with the path of one that would do."""
    description = f"{description} GET {url} gives one." if url else description
    return {"schema": {"type": "string", "format": "binary", "description": description}}
