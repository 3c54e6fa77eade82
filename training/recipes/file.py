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
from models.errors import ConfigError, closest
from training.recipes.faults import describe_fault
from training.recipes.overrides import apply_overrides
from training.recipes.recipe import Recipe
from training.recipes.text import read_text

RECIPES = Path(__file__).resolve().parent
"""Folder of the shipped recipes."""


def shipped_recipes() -> list[str]:
    """Names of the shipped recipes."""
    return sorted(file.stem for file in RECIPES.glob("*.toml"))


def load_recipe(path: Path, *, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply overrides to it.

    Args:
        path: A TOML file. Its `base` names a recipe beside it, or a shipped one, and the file then
            says only what differs: tables are merged, one with a `kind` replaces the base's whole.
        overrides: `a.b=c` each; c is a TOML value, or text where it is not.

    Raises:
        ConfigError: The file or an override cannot be read, or the result is not a recipe.
    """
    values = apply_overrides(_read(path), overrides)
    name = path.stem if path.parent == RECIPES else str(path)
    return check_recipe(values, f"Recipe {name}", overrides=overrides)


def _read(path: Path, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """A file's tables over those of its base; `above` names the recipes that led here."""
    try:
        values = tomllib.loads(read_text(path))
    except OSError as error:
        raise ConfigError(f"Cannot read the recipe {path}: {error.strerror}.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"Recipe {path} is not TOML: {error}. Correct that line; text stands in quotes."
        ) from error
    base, above = values.pop("base", None), (*above, path.stem)
    if base is None:
        return values
    found = [folder / f"{base}.toml" for folder in (path.parent, RECIPES)]
    file = next((file for file in found if file.is_file()), None)
    if base in above:
        raise ConfigError(
            f"The base of {path} leads back to itself: {' -> '.join((*above, base))}. "
            "Delete one base = line."
        )
    if file is None:
        raise _unknown_base(path, str(base))
    return _merge(_read(file, above), values)


def _unknown_base(path: Path, base: str) -> ConfigError:
    names = sorted({*shipped_recipes(), *(file.stem for file in path.parent.glob("*.toml"))})
    best = closest(base, names)
    hint = f" Did you mean {best!r}?" if best else ""
    return ConfigError(
        f"Recipe {path}: there is no base {base!r}.{hint} Allowed: {', '.join(names)}.",
        parameter="base",
        received=base,
        allowed=names,
        suggestion=best,
    )


def _merge(below: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**below, **over}
    for key in below.keys() & over.keys():
        both = isinstance(below[key], dict) and isinstance(over[key], dict)
        if both and "kind" not in over[key]:
            merged[key] = _merge(below[key], over[key])
    return merged


def check_recipe(values: dict[str, Any], where: str, *, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe that the tables hold.

    Args:
        values: Tables, as read from TOML, with the overrides applied.
        where: The recipe's file or name, which the message begins with.
        overrides: Those that were applied, which the message names where one is at fault.

    Raises:
        ConfigError: An entry is unknown, missing or not allowed, or two do not go together.
    """
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise describe_fault(error, where, overrides) from error


def to_toml(config: Config, *, comments: Mapping[str, Sequence[str]] | None = None) -> str:
    """The config as TOML, defaults included; `load_recipe` reads it back to an equal one.

    Args:
        config: A recipe, or a part of one.
        comments: Lines to write under the header of a table, by the table's dotted name.
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
