"""A request's parameters, from its query and its body, checked with advice for what is at fault."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from app.api.faults import Fault, explain
from app.api.redaction import is_secret
from app.compute.labels import unknown_label
from app.errors import InvalidParameter
from app.operations.parameters import Parameters
from app.operations.table import Operation
from app.serving.served_model import ServedModel
from models.errors import closest

MAX_FAULTS_NAMED = 8
ALIASES = {"count": "n", "num": "n", "num_images": "n", "samples": "num_samples"}
"""Names that callers try, and what they are called here."""


def parse_parameters(
    operation: Operation,
    pairs: list[tuple[str, str]],
    members: Mapping[str, Any],
    *,
    served: ServedModel,
) -> Parameters:
    """The parameters, from the query and from the body's members.

    Args:
        operation: Declares them.
        pairs: Names and values of the query.
        members: Names and values of the body, without its items.
        served: The model that the messages name.

    Raises:
        InvalidParameter: Unknown, twice, in conflict or out of bounds; says which.
    """
    query = dict(pairs)
    if len(query) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)[:60]
        raise InvalidParameter(
            f"{twice} is given twice in the query. Give it once.", parameter=twice
        )
    declared = operation.parameters.model_fields
    members = {  # null leaves a parameter out
        name: value for name, value in members.items() if value is not None or name not in declared
    }
    parameters = _validated(operation, {**members, **query}, query=query, served=served)
    for name in query.keys() & members.keys():
        in_body = _validated(operation, {name: members[name]}, query={}, served=served)
        if getattr(in_body, name) != getattr(parameters, name):
            raise InvalidParameter(
                f"{name} is {query[name][:60]!r} in the query and {str(members[name])[:60]!r} in "
                "the body. Give it once.",
                parameter=name,
                received=[query[name][:60], str(members[name])[:60]],
            )
    return parameters


def _validated(
    operation: Operation,
    values: Mapping[str, Any],
    *,
    query: Mapping[str, Any],
    served: ServedModel,
) -> Parameters:
    try:
        return operation.parameters.model_validate(dict(values))
    except ValidationError as error:
        found: list[dict[str, Any]] = [dict(f) for f in error.errors(include_url=False)]
        declared = operation.parameters.model_json_schema()["properties"]
        name, received = str(found[0]["loc"][0]), found[0]["input"]
        if name == "label" and served.labels and not isinstance(received, str):
            raise unknown_label(served, received) from error
        if found[0]["type"] == "extra_forbidden":
            first = _unknown_parameter(
                operation, name, received, in_query=name in query, served=served
            )
        else:
            first = explain(name, received, declared[name])
        others = dict.fromkeys(str(fault["loc"][0])[:60] for fault in found[1:])
        listed = ", ".join(list(others)[:MAX_FAULTS_NAMED])
        also = f" Also at fault: {listed}." if others else ""
        raise InvalidParameter(f"{first.message} {first.fix}{also}", **first.details) from error


def _unknown_parameter(
    operation: Operation, name: str, received: Any, *, in_query: bool, served: ServedModel
) -> Fault:
    name, fields = name[:60], operation.parameters.model_fields
    own = [field for field in operation.parameters.__annotations__ if field in fields]
    known = [*own, *(field for field in fields if field not in own)]
    if name in ("images", "latents"):  # JSON's are items; these come from a query or a text field
        return _misplaced_items(operation, name, in_query=in_query)
    if name in ("model", "version"):
        return _misplaced_model(operation, name, received, served)
    if is_secret(name):
        return Fault(
            f"{operation.name} has no parameter {name!r}.",
            "Send the header Authorization: Bearer KEY instead; proxies log a query.",
            {"parameter": name, "suggestion": "Authorization: Bearer KEY"},
        )
    meant = ALIASES.get(name) or closest(name, known if in_query else [*known, *operation.takes])
    meant = meant if meant in (*known, *operation.takes) else None
    details = {"parameter": name, "allowed": known, "suggestion": meant}
    return Fault(
        f"{operation.name} has no parameter {name!r}.",
        f"Did you mean {meant!r}?" if meant else f"It has {', '.join(known)}.",
        details,
    )


def _misplaced_items(operation: Operation, name: str, *, in_query: bool) -> Fault:
    if name not in operation.takes:
        takes = f", but {operation.takes[0]} in the body" if operation.takes else ""
        return Fault(
            f"{operation.name} takes no {name}{takes}.", f"Leave {name} out.", {"parameter": name}
        )
    where = "the query" if in_query else "a text field of the form"
    return Fault(
        f"{name} stands in {where}; items are sent in the body.",
        f"Send files: curl -F {name}=@FILE.",
        {"parameter": name, "suggestion": f"curl -F {name}=@FILE"},
    )


def _misplaced_model(operation: Operation, name: str, received: Any, served: ServedModel) -> Fault:
    """A model or version that stands among the parameters; plain values are put into the path."""
    text = str(received)
    text = text if re.fullmatch(r"[\w.-]{1,60}", text) else ""
    model = (text if name == "model" else "") or served.name
    version = f"/versions/{text or served.version}" if name == "version" else ""
    path = f"/v1/models/{model}{version}/{operation.name}"
    return Fault(
        f"{operation.name} has no parameter {name!r}.",
        f"The {name} is in the path: {path}.",
        {"parameter": name, "suggestion": path},
    )
