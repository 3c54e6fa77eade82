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
        InvalidParameter: Unknown, in conflict or out of bounds; says which.
    """
    declared = operation.parameters.model_fields
    sent: dict[str, list[tuple[str, Any]]] = {}
    for name, value in members.items():
        if value is not None or name not in declared:  # null leaves a parameter out
            sent.setdefault(name, []).append(("body", value))
    for name, text in pairs:
        sent.setdefault(name, []).append(("query", text))
    values = {
        name: found[0][1]
        if len(found) == 1 or name not in declared
        else _agreed(operation, name, found, served=served)
        for name, found in sent.items()
    }
    return _validated(operation, values, query=dict(pairs), served=served)


def _agreed(
    operation: Operation, name: str, sent: list[tuple[str, Any]], *, served: ServedModel
) -> Any:
    """The value of a parameter that is sent more than once, as generated clients send defaults.

    Args:
        operation: Declares it.
        name: Its name.
        sent: Where each value stands, and the value.
        served: The model that the messages name.

    Raises:
        InvalidParameter: Two values differ, and neither is the default.
    """
    default = operation.parameters.model_fields[name].default
    chosen: tuple[str, Any, Any] | None = None
    for where, raw in sent:
        one = _validated(operation, {name: raw}, query={}, served=served)
        value = getattr(one, name)
        if value == default:
            continue
        if chosen is not None and chosen[2] != value:
            first, second = str(chosen[1])[:60], str(raw)[:60]
            raise InvalidParameter(
                f"{name} is {second!r} in the {where} and {first!r} in the {chosen[0]}. Give it "
                "once.",
                parameter=name,
                received=[second, first],
            )
        chosen = chosen or (where, raw, value)
    return default if chosen is None else chosen[1]


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
