"""Overrides of recipe entries: `--set optimizer.learning_rate=1e-3`."""

import tomllib
from collections.abc import Sequence
from typing import Any

from training.recipes.faults import nearest_entry, unreadable_override


def apply_overrides(values: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Set entries of a recipe's tables in place, and return them.

    Args:
        values: Tables, as read from TOML.
        overrides: As for `load_recipe`.

    Raises:
        ConfigError: An override has no `=`, or sets an entry of what is not a table.
    """
    for override in overrides:
        _set(values, override)
    return values


def asked_groups(overrides: Sequence[str]) -> str | None:
    """The entry `dataset.group_by` of overrides; None without one.

    Raises:
        ConfigError: As `apply_overrides`.
    """
    dataset = apply_overrides({}, overrides).get("dataset")
    found = dataset.get("group_by") if isinstance(dataset, dict) else None
    return found if isinstance(found, str) and found else None


def _set(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    *tables, last = key.strip().split(".")
    if not equals or not all((*tables, last)):
        reason = "has no entry before the =" if equals else "has no ="
        raise unreadable_override(override, reason, nearest_entry(key))
    for depth, table in enumerate(tables, 1):
        below: Any = values.setdefault(table, {})
        if not isinstance(below, dict):
            parent = ".".join(tables[:depth])
            raise unreadable_override(override, f"{parent} is a value, not a table", parent)
        values = below
    try:
        values[last] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        values[last] = text.strip()
