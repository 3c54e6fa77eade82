"""The OpenAPI document, derived from the declarations: typed bodies, examples, errors; and /docs.

It serves no operation. Assets come from this process, so that /docs works offline.
"""

from importlib.resources import files
from pathlib import Path
from typing import Any

import fastapi_offline
from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.json_schema import models_json_schema
from starlette.responses import HTMLResponse

from app.api import schemas as pages
from app.api.examples import EXAMPLES, PNG_8X8
from app.api.problems import TABLE, title
from app.operations import answers as schemas
from app.operations.table import OPERATIONS, Operation
from app.wire.media_types import (
    JSON_TYPE,
    MEDIA_TYPES,
    MULTIPART_TYPE,
    NPY_TYPES,
    NPZ_TYPES,
    PICTURE_TYPES,
    PROBLEM_TYPE,
)
from models import __version__

DESCRIPTION = (
    "Serves trained variational autoencoders: latents, reconstructions, samples, interpolations, "
    "classes, and likelihood scores that say what they are."
)
DOCS_ASSETS = Path(str(files(fastapi_offline))) / "static"
DOCS_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; frame-ancestors 'none'"
)
REF = "#/components/schemas/{model}"


class _Images(BaseModel):
    """A JSON body of images, with parameters beside them."""

    model_config = ConfigDict(extra="forbid")
    images: list[schemas.JSONImage] = Field(
        min_length=1, description="Base64 or data URLs of pictures, or nested numbers."
    )


class _Latents(BaseModel):
    """A JSON body of latents, with parameters beside them."""

    model_config = ConfigDict(extra="forbid")
    latents: schemas.Latents = Field(min_length=1, description="N x latent shape.")


class _ImagesOrLatents(BaseModel):
    """A JSON body of two images or two latents, with parameters beside them."""

    model_config = ConfigDict(extra="forbid")
    images: list[schemas.JSONImage] | None = Field(None, min_length=2, max_length=2)
    latents: schemas.Latents | None = Field(None, min_length=2, max_length=2)


_BODIES: dict[tuple[str, ...], type[BaseModel]] = {
    ("images",): _Images,
    ("latents",): _Latents,
    ("images", "latents"): _ImagesOrLatents,
}


def request_model(operation: Operation) -> type[BaseModel]:
    """The JSON body of an operation: its items and its parameters."""
    fields: dict[str, Any] = {
        name: (field.annotation, field) for name, field in operation.parameters.model_fields.items()
    }
    name = f"{operation.answer.__name__.removesuffix('Answer')}Request"
    return create_model(name, __base__=_BODIES[operation.takes], **fields)


MODELS: tuple[type[BaseModel], ...] = (
    pages.Problem,
    pages.ModelList,
    pages.ModelDescription,
    pages.Status,
    *(operation.answer for operation in OPERATIONS.values()),
    *(request_model(operation) for operation in OPERATIONS.values() if operation.takes),
)


def route(operation: Operation, prefix: str) -> dict[str, Any]:
    """What FastAPI needs to know of an operation's route."""
    scope = {"/v1": "default", "/v1/models/{model}": "model"}.get(prefix, "version")
    extra: dict[str, Any] = {"parameters": query_parameters(operation)}
    primary = "`, or else `".join(operation.primary)
    if operation.takes:
        extra["requestBody"] = {"required": True, "content": request_content(operation)}
    return {
        "operation_id": f"{operation.name.replace('-', '_')}_by_{scope}",
        "summary": operation.summary,
        "description": f"{operation.summary} npy gives `{primary}`.",
        "tags": [operation.name],
        "responses": responses(operation),
        "openapi_extra": extra,
        "response_model": None,
    }


def query_parameters(operation: Operation) -> list[dict[str, Any]]:
    """The parameters of an operation, as OpenAPI says them."""
    properties = operation.parameters.model_json_schema()["properties"]
    parameters = []
    for name, declared in properties.items():
        schema = dict(declared)
        description = schema.pop("description", "")
        if "anyOf" in schema:  # a query has no null
            (schema_of_value,) = (s for s in schema.pop("anyOf") if s != {"type": "null"})
            schema = {**schema, **schema_of_value}
            schema.pop("default", None)
        parameters.append(
            {"name": name, "in": "query", "description": description, "schema": schema}
        )
    return parameters


def request_content(operation: Operation) -> dict[str, Any]:
    """The bodies that an operation takes, each with an example."""
    binary = {"type": "string", "format": "binary"}
    example = (
        {"latents": [[0.5, -1.0], [0.0, 0.25]]}
        if operation.takes == ("latents",)
        else {"images": [PNG_8X8] * (operation.exact_items or 1)}
    )
    content: dict[str, Any] = {
        JSON_TYPE: {
            "schema": {"$ref": REF.format(model=request_model(operation).__name__)},
            "example": example,
        }
    }
    arrays = {NPY_TYPES[0]: "An array saved by numpy.save.", NPZ_TYPES[0]: "Saved by numpy.savez."}
    for media_type, summary in arrays.items():
        content[media_type] = _binary_content(
            binary, summary, "npy" if "npy" in media_type else "npz"
        )
    if "images" in operation.takes:
        content[MULTIPART_TYPE] = {
            "schema": _form_schema(operation),
            "examples": {
                "files": {
                    "summary": "One or many files in the field `images`.",
                    "externalValue": "/v1/sample?n=1&seed=1",
                }
            },
        }
        for media_type in PICTURE_TYPES if operation.exact_items is None else ():
            content[media_type] = _binary_content(binary, "One picture file.", "png")
    return content


def _form_schema(operation: Operation) -> dict[str, Any]:
    """Files in the field `images`, and parameters as text fields."""
    files = {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1}
    texts = {parameter["name"]: parameter["schema"] for parameter in query_parameters(operation)}
    return {
        "type": "object",
        "properties": {"images": files, **texts},
        "required": ["images"],
        "additionalProperties": False,
    }


def _binary_content(schema: dict[str, Any], summary: str, form: str) -> dict[str, Any]:
    url = f"/v1/sample?n=2&seed=1&format={form}"
    return {"schema": schema, "examples": {"file": {"summary": summary, "externalValue": url}}}


def responses(operation: Operation) -> dict[int | str, dict[str, Any]]:
    """Every status of an operation with its bodies."""
    content: dict[str, Any] = {}
    for form in operation.formats:
        if form == "json":
            content[JSON_TYPE] = {
                "schema": {"$ref": REF.format(model=operation.answer.__name__)},
                "example": EXAMPLES[operation.name],
            }
        else:
            binary = {"type": "string", "format": "binary"}
            content[MEDIA_TYPES[form]] = _binary_content(binary, f"The answer as {form}.", form)
    found: dict[int | str, dict[str, Any]] = {
        200: {"description": "The answer.", "headers": _headers(), "content": content}
    }
    if operation.method == "GET":
        found[304] = {"description": "The caller has this answer already, by its ETag."}
    return found | problems()


def _headers() -> dict[str, Any]:
    texts = {
        "X-Seed": "Seed of everything drawn; absent where nothing was.",
        "X-Model-Name": "Model that answered.",
        "X-Model-Version": "Its version.",
        "X-Bundle-Digest": "sha256 of its manifest.",
        "X-Preprocessing": "What was done to the images.",
        "X-Request-ID": "Names this request in the log.",
        "Server-Timing": "Milliseconds by phase.",
    }
    return {
        name: {"description": text, "schema": {"type": "string"}} for name, text in texts.items()
    }


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems of an operation by status, or only some of them."""
    by_status: dict[int, list[str]] = {}
    for status, slug in TABLE.values():
        if status != 499 and (not statuses or status in statuses):
            by_status.setdefault(status, []).append(slug)
    return {
        status: {
            "description": ", ".join(title(slug) for slug in dict.fromkeys(slugs)) + ".",
            "content": {
                PROBLEM_TYPE: {
                    "schema": {"$ref": REF.format(model="Problem")},
                    "example": _problem_example(status, slugs[0]),
                }
            },
        }
        for status, slugs in sorted(by_status.items())
    }


def _problem_example(status: int, slug: str) -> dict[str, Any]:
    return {
        "type": f"/problems/{slug}",
        "title": title(slug),
        "status": status,
        "detail": "The invariant; what was received; what to do about it.",
        "instance": "/v1/encode",
        "request_id": "0d1f3a52c9e84f6f8f6f5d0c8c1e7b11",
    }


def json_response(model: type[BaseModel], description: str, example: Any) -> dict[str, Any]:
    """A JSON answer by a schema of the document."""
    schema = {"$ref": REF.format(model=model.__name__)}
    return {
        "description": description,
        "content": {JSON_TYPE: {"schema": schema, "example": example}},
    }


def openapi(
    app: FastAPI, *, with_keys: bool, latents: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The whole OpenAPI document; `latents` is a body that stands for its examples of latents."""
    document = get_openapi(
        title="vae-serve", version=__version__, description=DESCRIPTION, routes=app.routes
    )
    modes = [(model, "serialization") for model in MODELS]
    _, definitions = models_json_schema(modes, ref_template=REF)  # type: ignore[arg-type]
    components = document.setdefault("components", {})
    components["schemas"] = definitions["$defs"]
    if with_keys:
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"key": []}]
    for path, methods in document["paths"].items():
        for described in methods.values():
            _mend(described, path.rpartition("/")[2])
            if latents is not None:
                _fit_latents(described, latents)
    return document


def _mend(described: dict[str, Any], name: str) -> None:
    """Take out FastAPI's own 422, and put back the nulls that it drops from examples."""
    if _is_fastapis(described):
        del described["responses"]["422"]
    if name in EXAMPLES:
        described["responses"]["200"]["content"][JSON_TYPE]["example"] = EXAMPLES[name]


def _fit_latents(described: dict[str, Any], latents: dict[str, Any]) -> None:
    """Replace an example of latents by a model's own, so that it can be tried out."""
    body = described.get("requestBody", {"content": {}})["content"].get(JSON_TYPE, {})
    if "latents" in body.get("example", {}):
        body["example"] = latents


def _is_fastapis(described: dict[str, Any]) -> bool:
    """Whether the 422 is the one that FastAPI adds, in a form that is not sent here."""
    content = described["responses"].get("422", {}).get("content", {})
    return JSON_TYPE in content


def docs_page() -> HTMLResponse:
    """Swagger UI from our own assets."""
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title="vae-serve",
        swagger_js_url="assets/docs/swagger-ui-bundle.js",
        swagger_css_url="assets/docs/swagger-ui.css",
        swagger_favicon_url="assets/docs/favicon.png",
    )
    page.headers["Content-Security-Policy"] = DOCS_POLICY
    return page
