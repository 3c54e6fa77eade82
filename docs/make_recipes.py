"""Writes recipes.md's tables from the configs and their docstrings: python docs/make_recipes.py"""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from pydantic.fields import FieldInfo

from models.config import Config
from training.recipes.entries import describe_field, kinds_of, places

PAGE = Path(__file__).resolve().parent / "recipes.md"
TABLES = re.compile(r"(<!-- entries -->\n).*?(<!-- end -->)", re.DOTALL)


def tables() -> Iterator[str]:
    """A section per table of a recipe, and per kind where it has kinds."""
    for config, keys in places().items():
        title = ", ".join(f"`[{key}]`" for key in keys if key) or "Outside of tables"
        if kinds := kinds_of(config):
            title += " with `kind` " + " or ".join(f'`"{name}"`' for name in kinds)
        yield f"### {title}\n\n{inspect.getdoc(config)}\n"
        rows = [
            f"| `{name}` | {describe_field(field)} | {default(field)} | {words(config, name)} |"
            for name, field in config.model_fields.items()
            if name != "kind"
        ]
        if rows:
            yield "\n".join(["| entry | value | default | |", "|---|---|---|---|", *rows]) + "\n"


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
