"""The entries that a recipe may have, read from the configs: tables, kinds and allowed values.

`docs/recipes.md` lists them, and the messages about a wrong entry quote them.
"""

import inspect
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic.fields import FieldInfo

from models.config import Config
from models.noise import MAX_SEED
from training.recipes.recipe import Recipe


def places(config: type[Config] = Recipe, key: str = "") -> dict[type[Config], list[str]]:
    """Every config with the dotted keys where a recipe may have it, in the order of the fields."""
    found = {config: [key]}
    for name, field in config.model_fields.items():
        for inner in configs_in(field.annotation):
            for one, keys in places(inner, f"{key}.{name}" if key else name).items():
                found[one] = [*found.get(one, []), *keys]
    return {one: list(dict.fromkeys(keys)) for one, keys in found.items()}


def dotted_entries() -> list[str]:
    """Every entry of a recipe by its dotted name: seed, training.epochs, vae.prior.kind, ..."""
    names = (
        f"{key}.{name}" if key else name
        for config, keys in places().items()
        for key in keys
        for name in config.model_fields
    )
    return list(dict.fromkeys(names))


def configs_in(annotation: Any) -> list[type[Config]]:
    """The configs that a field's type names: none for a plain value, several where it has kinds."""
    if inspect.isclass(annotation) and issubclass(annotation, Config):
        return [annotation]
    return [config for part in get_args(annotation) for config in configs_in(part)]


def kinds_of(config: type[Config]) -> tuple[str, ...]:
    """The values of `kind` that choose this config; empty where it has no kinds."""
    field = config.model_fields.get("kind")
    return () if field is None else get_args(field.annotation)


def describe_field(field: FieldInfo) -> str:
    """The values that an entry may have, in words."""
    if configs_in(field.annotation):
        return "a table"
    return describe_type(field.annotation, field.metadata)


def describe_type(annotation: Any, limits: Any = ()) -> str:
    """A type in words: its choices, or its name and its limits."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{part!r}`".replace("'", '"') for part in parts)
    if origin is Annotated:
        return describe_type(parts[0], [*parts[1:], *limits])
    if origin in (Union, UnionType):
        return describe_type(next(part for part in parts if part is not NoneType), limits)
    if origin is tuple:
        if Ellipsis in parts:
            lengths = "".join(
                f", {words}" for limit in _spread(limits) if (words := _length(limit))
            )
            return f"list of {describe_type(parts[0])}{lengths}"
        return "[" + "; ".join(map(describe_type, parts)) + "]"
    name = {int: "whole number", float: "number", str: "text", bool: "`true`, `false`"}[annotation]
    return " ".join([name, *(words for limit in _spread(limits) if (words := _bound(limit)))])


def _spread(limits: Any) -> Iterator[Any]:
    """Limits, with those that a pydantic field holds itself."""
    for limit in limits:
        yield from limit.metadata if isinstance(limit, FieldInfo) else [limit]


def _length(limit: Any) -> str:
    """A limit of a list's length in words; empty where it is another limit."""
    if isinstance(limit, MinLen):
        return f"{limit.min_length} or more"
    return f"at most {limit.max_length}" if isinstance(limit, MaxLen) else ""


def _bound(limit: Any) -> str:
    """A limit of a number or a text in words; empty where it is another limit."""
    if pattern := getattr(limit, "pattern", None):
        return f"like `{pattern}`"
    signs = {Ge: ("≥", "ge"), Gt: (">", "gt"), Le: ("≤", "le"), Lt: ("<", "lt")}
    if type(limit) not in signs:
        return ""
    sign, name = signs[type(limit)]
    value = getattr(limit, name)
    return f"{sign} {value:,}" if value < MAX_SEED else f"{sign} 2^63 - 1"
