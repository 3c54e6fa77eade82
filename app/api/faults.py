"""What is wrong with the value of a declared parameter or setting: in words, and for programs.

pydantic's own words ("Input should be ...") name neither the value that is allowed nor a fix.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from models.errors import closest

MAX_SHOWN = 60


@dataclass(frozen=True)
class Fault:
    """One value that is not allowed."""

    message: str
    """The fault first, then what is allowed."""
    fix: str
    """One thing to do, without a full stop."""
    details: dict[str, Any] = field(default_factory=dict)
    """Members of a problem: parameter, received, allowed or limit, suggestion."""


def explain(
    name: str, received: Any, declared: Mapping[str, Any], *, assign: str = "{}={}"
) -> Fault:
    """Explain why a declaration refuses a value.

    Args:
        name: The parameter's.
        received: Its value, as the caller sent it.
        declared: JSON Schema of the parameter.
        assign: How a name and a value are written: `n=1` in a query, `--n 1` in a command.
    """
    schema = _without_null(declared)
    details: dict[str, Any] = {"parameter": name, "received": received}
    suggestion = _suggestion(received, schema, declared.get("default"))
    choices = schema.get("enum")
    if choices:
        details["allowed"] = choices
    elif (limit := _limit_crossed(received, schema)) is not None:
        details["limit"] = limit
    if suggestion is not None:
        details["suggestion"] = suggestion
    message = f"{assign.format(name, shown(received))} is not {allowed(schema)}."
    meant = closest(str(received), map(str, choices)) if choices else None
    if meant is not None:
        return Fault(message, f"Did you mean {meant!r}?", details)
    fix = "Leave it out" if suggestion is None else f"Use {assign.format(name, shown(suggestion))}"
    return Fault(message, fix + ".", details)


def allowed(schema: Mapping[str, Any]) -> str:
    """What a JSON Schema allows, as a noun: "a whole number from 1 to 1024"."""
    if choices := schema.get("enum"):
        return f"one of {', '.join(map(str, choices))}" if len(choices) > 1 else str(choices[0])
    kind = {
        "integer": "a whole number",
        "number": "a number",
        "boolean": "true or false",
        "array": "a list",
    }.get(str(schema.get("type")), "text")
    low, high = schema.get("minimum"), schema.get("maximum")
    if "exclusiveMinimum" in schema:
        above = f"{kind} above {schema['exclusiveMinimum']:g}"
        return above if high is None else f"{above} and at most {_plain(high)}"
    if low is not None and high is not None:
        return f"{kind} from {_plain(low)} to {_plain(high)}"
    if low is not None:
        return f"{kind} of at least {_plain(low)}"
    if "maxLength" in schema:
        return f"text of at most {schema['maxLength']} characters"
    return kind


def shown(value: Any) -> str:
    """A value as a query or a command line has it, cut to a readable length."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    text = text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
    plain = text.isprintable() and text != "" and " " not in text
    return text if plain else repr(text)


def _plain(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else f"{number:g}"


def _without_null(declared: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a value that is given: null stands for "not given"."""
    choices = [schema for schema in declared.get("anyOf", []) if schema != {"type": "null"}]
    schema = {**declared, **(choices[0] if choices else {})}
    if "const" in schema:
        schema["enum"] = [schema["const"]]
    return schema


def _number(value: Any) -> float | None:
    try:
        return None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _limit_crossed(received: Any, schema: Mapping[str, Any]) -> float | None:
    """The bound that a number is beyond."""
    number = _number(received)
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high: float | None = schema.get("maximum")
    if number is not None and low is not None and number <= low and number != schema.get("minimum"):
        return float(low) if isinstance(low, float) else int(low)
    if number is not None and high is not None and number > high:
        return high
    return schema.get("maxLength") if isinstance(received, str) else None


def _suggestion(received: Any, schema: Mapping[str, Any], default: Any) -> Any:
    """The allowed value that the caller most likely means, else the default."""
    if choices := schema.get("enum"):
        meant = closest(str(received), map(str, choices))
        return next((choice for choice in choices if str(choice) == meant), default)
    if "maxLength" in schema:
        return None
    bound = _limit_crossed(received, schema)
    if bound is not None and "exclusiveMinimum" not in schema:
        return bound
    return default
