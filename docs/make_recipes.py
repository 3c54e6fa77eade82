"""Writes recipes.md's tables from the configs and their docstrings: python docs/make_recipes.py"""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from models.config import Config
from models.noise import MAX_SEED
from training.recipes.recipe import Recipe

PAGE = Path(__file__).resolve().parent / "recipes.md"
TABLES = re.compile(r"(<!-- entries -->\n).*?(<!-- end -->)", re.DOTALL)


def tables() -> Iterator[str]:
    """A section per table of a recipe, and per kind where it has kinds."""
    for config, keys in places().items():
        kind = config.model_fields.get("kind")
        title = ", ".join(f"`[{key}]`" for key in keys if key) or "Outside of tables"
        if kind is not None:
            kinds = get_args(kind.annotation)
            title += " with `kind` " + " or ".join(f'`"{name}"`' for name in kinds)
        yield f"### {title}\n\n{inspect.getdoc(config)}\n"
        rows = [
            f"| `{name}` | {values(field)} | {default(field)} | {words(config, name)} |"
            for name, field in config.model_fields.items()
            if name != "kind"
        ]
        if rows:
            yield "\n".join(["| entry | value | default | |", "|---|---|---|---|", *rows]) + "\n"


def places(config: type[Config] = Recipe, key: str = "") -> dict[type[Config], list[str]]:
    """Every config with the keys where a recipe may have it, in the order of the fields."""
    found = {config: [key]}
    for name, field in config.model_fields.items():
        for inner in configs_in(field.annotation):
            for one, keys in places(inner, f"{key}.{name}" if key else name).items():
                found[one] = [*found.get(one, []), *keys]
    return {one: list(dict.fromkeys(keys)) for one, keys in found.items()}


def words(config: type[Config], name: str) -> str:
    """A field's docstring in a cell of a table."""
    return docstrings(config)[name].replace("|", "\\|")


def docstrings(config: type[Config]) -> dict[str, str]:
    """The docstring under each field, on one line."""
    (tree,) = ast.parse(inspect.getsource(config)).body
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for field, after in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(after, ast.Expr):
            assert isinstance(field.target, ast.Name)
            found[field.target.id] = " ".join(ast.literal_eval(after.value).split())
    return found


def configs_in(annotation: Any) -> list[type[Config]]:
    """The configs that a field's type names."""
    if inspect.isclass(annotation) and issubclass(annotation, Config):
        return [annotation]
    return [config for part in get_args(annotation) for config in configs_in(part)]


def values(field: FieldInfo) -> str:
    """What a field may be, in words."""
    if configs_in(field.annotation):
        return "a table"
    return words_of(field.annotation, field.metadata)


def words_of(annotation: Any, limits: Any = ()) -> str:
    """A type in words: its choices, or what it is and its limits."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{part!r}`".replace("'", '"') for part in parts)
    if origin is Annotated:
        return words_of(parts[0], [*parts[1:], *limits])
    if origin in (Union, UnionType):
        return words_of(next(part for part in parts if part is not NoneType), limits)
    if origin is tuple:
        if Ellipsis in parts:
            return f"list of {words_of(parts[0])}"
        return "[" + "; ".join(map(words_of, parts)) + "]"
    name = {int: "whole number", float: "number", str: "text", bool: "`true`, `false`"}[annotation]
    return " ".join([name, *(words for limit in spread(limits) if (words := bound(limit)))])


def spread(limits: Any) -> Iterator[Any]:
    """Limits, with those that a pydantic field holds itself."""
    for limit in limits:
        yield from limit.metadata if isinstance(limit, FieldInfo) else [limit]


def bound(limit: Any) -> str:
    """One limit in words; nothing for what is no limit of numbers."""
    signs = {Ge: ("≥", "ge"), Gt: (">", "gt"), Le: ("≤", "le"), Lt: ("<", "lt")}
    if type(limit) not in signs:
        return ""
    sign, name = signs[type(limit)]
    value = getattr(limit, name)
    return f"{sign} {value:,}" if value < MAX_SEED else f"{sign} 2^63 - 1"


def default(field: FieldInfo) -> str:
    """A field's default as TOML has it, or a dash where one must be given."""
    if field.is_required():
        return "must be given"
    value = field.default
    if isinstance(value, Config):
        return f'`kind = "{value.kind}"`' if hasattr(value, "kind") else "its defaults"
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return f"`{list(value)}`"
    return f"`{value!r}`".replace("'", '"').replace("True", "true").replace("False", "false")


def fill(page: str) -> str:
    """The page with its tables made anew."""
    return TABLES.sub(lambda found: found[1] + "\n".join(tables()) + found[2], page)


if __name__ == "__main__":
    PAGE.write_text(fill(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
