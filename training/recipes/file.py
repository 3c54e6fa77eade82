"""A recipe as a TOML file: reading it with its base and overrides, and writing it whole.

A recipe is resolved (the recipe that it is based on, the file, then `--set a.b=c`), checked, and
written into the run's folder and the bundle, so that the same file trains the same model again.
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from models.config import Config
from models.errors import ConfigError
from training.recipes.recipe import Recipe

RECIPES = Path(__file__).resolve().parent
"""The shipped ones."""


def load_recipe(path: Path, *, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply overrides to it.

    Args:
        path: A TOML file. Its `base` names a recipe beside it, or a shipped one, and it then says
            only what differs: tables are merged, one that names its own `kind` replaces the other.
        overrides: `a.b=c` each; c is a TOML value, or text where it is not.

    Raises:
        ConfigError: The file or an override cannot be read, or the result is no recipe.
    """
    return check_recipe(apply_overrides(_read(path), overrides), str(path))


def _read(path: Path, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """A file's tables over those of its base; `above` names the recipes that led here."""
    try:
        values = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"A recipe is a readable TOML file; {path}: {error}. Mend it.") from error
    base, above = values.pop("base", None), (*above, path.stem)
    if base is None:
        return values
    found = [folder / f"{base}.toml" for folder in (path.parent, RECIPES)]
    file = next((file for file in found if file.is_file()), None)
    if file is None or base in above:
        raise ConfigError(
            f"A recipe's base is another one, beside it or shipped; received base = {base!r} in "
            f"{path}, after {', '.join(above)}. Name another, or write the recipe out."
        )
    return _merge(_read(file, above), values)


def _merge(below: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**below, **over}
    for key in below.keys() & over.keys():
        both = isinstance(below[key], dict) and isinstance(over[key], dict)
        if both and "kind" not in over[key]:
            merged[key] = _merge(below[key], over[key])
    return merged


def apply_overrides(values: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Set entries of a recipe's tables in place, and return them.

    Args:
        values: Tables, as read from TOML.
        overrides: As for `load_recipe`.

    Raises:
        ConfigError: An override reads otherwise, or goes through an entry that is no table.
    """
    for override in overrides:
        _set(values, override)
    return values


def check_recipe(values: dict[str, Any], words: str) -> Recipe:
    """The recipe that the tables hold.

    Args:
        values: Tables, as read from TOML.
        words: What they are, for the message.

    Raises:
        ConfigError: They are no recipe.
    """
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{words} is no recipe: {error}") from error


def _set(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    *tables, last = key.strip().split(".")
    if not equals or not all((*tables, last)):
        raise ConfigError(f"An override reads a.b=c; received {override!r}. Write it so.")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise ConfigError(
                f"{table!r} of the override {override!r} is no table. Check its name."
            )
    try:
        values[last] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        values[last] = text.strip()


def to_toml(config: Config, *, comments: Mapping[str, Sequence[str]] | None = None) -> str:
    """The config as TOML, defaults included; `load_recipe` reads it back to an equal one.

    Args:
        config: A recipe, or a part of one.
        comments: Lines to write under the header of a table, by its name.
    """
    return "\n".join(_toml_lines(config.model_dump(mode="json"), (), comments or {})) + "\n"


def _toml_lines(
    table: Mapping[str, Any], prefix: tuple[str, ...], comments: Mapping[str, Sequence[str]]
) -> list[str]:
    # JSON's text for strings, numbers, booleans and flat lists is TOML's too.
    values = {key: value for key, value in table.items() if value is not None}
    plain = [
        f"{key} = {json.dumps(v, ensure_ascii=False)}"
        for key, v in values.items()
        if not isinstance(v, dict)
    ]
    nested = [(key, value) for key, value in table.items() if isinstance(value, dict)]
    name = ".".join(prefix)
    header = ["", f"[{name}]", *(f"# {line}" for line in comments.get(name, ()))]
    lines = [*header, *plain] if prefix and plain else plain
    for key, value in nested:
        lines += _toml_lines(value, (*prefix, key), comments)
    return lines
