"""What the OpenAPI document refers to: schemas, parameters, headers and problems, each once."""

import re
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app.api.examples import EXAMPLE_ID, PROBLEMS
from app.api.model_descriptions import (
    ExamplesAnswer,
    MapAnswer,
    ModelControl,
    ModelDescription,
    ModelList,
)
from app.api.probes import Status
from app.api.problems import TABLE, Problem, title
from app.api.request_schemas import BODIES
from app.operations.table import OPERATIONS, Operation
from app.wire.media_types import PROBLEM_TYPE
from models.config import MAX_VERSION

Described = dict[str, Any]
NEVER_SENT = 499
"""Status of a client that hung up: only the log has it."""
ANYWHERE = (400, 408, 414, 431, 505)
"""Problems of what is no readable HTTP request, whatever its path."""

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


NOT_MODIFIED: Described = {"description": "Not modified: If-None-Match names the answer's ETag."}


def schemas() -> Described:
    """Schemas of every answer and of every body in JSON or of a form, by name."""
    operations = OPERATIONS.values()
    models: list[type[BaseModel]] = [
        *(Problem, ModelList, ModelDescription, ExamplesAnswer, MapAnswer, ModelControl, Status),
        *(operation.answer for operation in operations),
        *BODIES.values(),
    ]
    _, definitions = models_json_schema(
        [(model, "serialization") for model in models],
        ref_template="#/components/schemas/{model}",
    )
    found: Described = definitions["$defs"]
    return found | {
        "ImageFiles": _files("One or many files, each in a field `images`.", 1),
        "PathEndFiles": _files("Two files, each in a field `images`.", 2),
    }


def _files(description: str, count: int) -> Described:
    """A form with files and, as the service reads them, parameters as text fields."""
    file = {"type": "string", "format": "binary"}
    files = {"type": "array", "items": file, "minItems": count, "description": description}
    return {
        "type": "object",
        "description": f"{description} The query's parameters may stand beside them.",
        "properties": {"images": files},
        "required": ["images"],
    }


def parameters() -> Described:
    """Every parameter: those of paths, and those of queries by operation where these differ."""
    found = {
        name: {"name": name, "in": "path", "required": True, **described}
        for name, described in PATH_PARAMETERS.items()
    }
    for operation in OPERATIONS.values():
        for name, described in query_parameters(operation).items():
            found[component_of(operation, name)] = described
    return found


def answer_headers() -> Described:
    """The headers of an operation's answer."""
    return {
        name: {"description": text, "schema": {"type": "string"}} for name, text in HEADERS.items()
    }


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
    return {str(status): reference("responses", f"Problem{status}") for status in sorted(statuses)}


def schema_of(model: type[BaseModel]) -> Described:
    return reference("schemas", model.__name__)


def reference(kind: str, name: str) -> Described:
    return {"$ref": f"#/components/{kind}/{name}"}


def path_parameters(path: str) -> list[Described]:
    """References to the parameters between the braces of a path."""
    return [reference("parameters", name) for name in re.findall(r"{(\w+)}", path)]


def query_parameters(operation: Operation) -> dict[str, Described]:
    """The parameters of an operation by name, as its query has them: without null."""
    found = {}
    for name, declared in operation.parameters.model_json_schema()["properties"].items():
        schema = dict(declared)
        description = schema.pop("description")
        if "anyOf" in schema:  # optional: a query leaves the parameter out instead
            (not_null,) = (s for s in schema.pop("anyOf") if s != {"type": "null"})
            del schema["default"]
            schema |= not_null
        found[name] = {"name": name, "in": "query", "description": description, "schema": schema}
    return found


def component_of(operation: Operation, name: str) -> str:
    """Name of a parameter among the components: its own, or with the operation before it."""
    return f"{operation_id(operation)}_{name}" if name in _differing() else name


@cache
def _differing() -> frozenset[str]:
    """Names of the parameters that not all of their operations declare alike."""
    declared: dict[str, set[str]] = {}
    for operation in OPERATIONS.values():
        for name, described in query_parameters(operation).items():
            declared.setdefault(name, set()).add(repr(described))
    return frozenset(name for name, different in declared.items() if len(different) > 1)


def operation_id(operation: Operation, scope: str = "default") -> str:
    """Id of an operation at one of its paths: `encode`, `encode_by_model`, `encode_by_version`."""
    name = operation.name.replace("-", "_")
    return name if scope == "default" else f"{name}_by_{scope}"
