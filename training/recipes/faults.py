"""What is wrong with a recipe, in one message: the entry, what it may be, and a fix to paste.

The checks themselves are pydantic's and `recipe.RULES`; this turns the first fault into words.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from models.config import Config
from models.errors import ConfigError, VAEError, closest
from training.recipes.entries import configs_in, describe_field, dotted_entries, kinds_of
from training.recipes.recipe import Recipe


def describe_fault(error: ValidationError, where: str, overrides: Sequence[str]) -> ConfigError:
    """The error that names the first entry at fault.

    Args:
        error: What pydantic found.
        where: The recipe's file or name, which the message begins with unless the entry was set by
            an override.
        overrides: `a.b=c` each.
    """
    # A misspelt entry often leaves another one missing: the misspelling is the cause.
    first, *_ = sorted(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    key, fault = _fault(first)
    keys = [override.partition("=")[0].strip() for override in overrides]
    is_set = first["type"] != "value_error" and any(_is_below(key, one) for one in keys)
    return ConfigError(str(fault) if is_set else f"{where}: {fault}", **fault.details)


def _is_below(key: str, set_key: str) -> bool:
    """Whether an override of `set_key` sets that entry, its table, or an entry below it."""
    entry, override = key.replace("[", ".") + ".", set_key + "."
    return bool(key) and (entry.startswith(override) or override.startswith(entry))


def _fault(error: Mapping[str, Any]) -> tuple[str, VAEError]:
    """The dotted name of an entry, and what is wrong with it."""
    raised = error.get("ctx", {}).get("error")
    key, configs, field = _locate(error["loc"])
    if isinstance(raised, VAEError):
        return key, raised
    if error["type"] == "value_error":
        return key, ConfigError(str(raised))
    if error["type"] == "extra_forbidden":
        return key, _unknown_entry(key, configs)
    kinds = [kind for config in configs for kind in kinds_of(config)]
    if error["type"] == "union_tag_not_found":
        return key, ConfigError(
            f"{key} has no kind. Allowed: {', '.join(kinds)}. Add --set {key}.kind={kinds[0]}.",
            parameter=f"{key}.kind",
            allowed=kinds,
        )
    if error["type"] == "union_tag_invalid":
        return f"{key}.kind", _unknown_value(f"{key}.kind", error["ctx"]["tag"], kinds)
    words = "a table" if field is None else describe_field(field).replace("`", "")
    if error["type"] == "finite_number":
        words = f"finite {words}"
    if error["type"] == "missing" and not key.endswith("]"):
        return key, ConfigError(
            f'{key} is missing ({words}). Add it to the file, or take a base: base = "digits".',
            parameter=key,
        )
    if error["type"] == "literal_error":
        return key, _unknown_value(key, error["input"], words.replace('"', "").split(", "))
    received = error["input"]
    if error["type"] == "missing":  # a list is too short
        key, received = key.partition("[")[0], list(received)
    if words == "a table":
        return key, no_table(key, received)
    fix = None if field is None or "[" in key else _example(field)
    suggestion = None if fix is None else f"--set {key}={fix}"
    return key, ConfigError(
        f"{key} = {received!r} is not allowed. Allowed: {_ranges(words)}."
        f"{f' Use {suggestion}.' if suggestion else ''}",
        parameter=key,
        received=received,
        suggestion=suggestion,
    )


def no_table(key: str, received: object) -> ConfigError:
    """The error for a value where a table is expected; the fix sets an entry of the table."""
    entry, value = nearest_entry(key), "VALUE"
    if key in _tables_with_kinds():
        _, configs, _ = _locate(tuple(key.split(".")))
        kinds = [kind for config in configs for kind in kinds_of(config)]
        meant = closest(received, kinds) if isinstance(received, str) else None
        entry, value = f"{key}.kind", meant or kinds[0]
    suggestion = f"--set {entry}={value}"
    return ConfigError(
        f"{key} = {received!r} is not allowed. Allowed: a table. Set an entry of it: {suggestion}.",
        parameter=key,
        received=received,
        suggestion=suggestion,
    )


def _ranges(words: str) -> str:
    """Limits in words: "whole number from 0 to 255", and the letters of a name."""
    words = words.replace("text like ^[a-z0-9_-]+$", "a-z, 0-9, - and _, at most 64 characters")
    words = re.sub(r"≥ (\S+) < ([\d.,]*\d)", r"from \1 to below \2", words)
    return re.sub(r"≥ (\S+) ≤ ([\d.,]*\d|2\^63 - 1)", r"from \1 to \2", words)


def _example(field: FieldInfo) -> str | None:
    """A value that an entry may have, as TOML: its default, or a plain number or list."""
    annotation: Any = field.annotation
    for limit in field.metadata:
        annotation = Annotated[annotation, limit]
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    for value in ([] if field.is_required() else [field.default]) + [32, 0.5, [32]]:
        try:
            adapter.validate_python(value)
        except ValidationError:
            continue
        if isinstance(value, int | float | str | tuple | list):
            return json.dumps(value)
    return None


def _locate(loc: tuple[int | str, ...]) -> tuple[str, list[type[Config]], FieldInfo | None]:
    """The dotted key of a place in a recipe, the configs that may stand there, and its field."""
    keys: list[str] = []
    configs: list[type[Config]] = [Recipe]
    field: FieldInfo | None = None
    for part in loc:
        if isinstance(part, int):
            keys[-1] += f"[{part}]"
        elif len(configs) > 1:  # pydantic names the kind between a table and its entry
            configs = [config for config in configs if part in kinds_of(config)]
        else:
            keys.append(part)
            field = configs[0].model_fields.get(part) if configs else None
            if field is not None:
                configs = configs_in(field.annotation)
    return ".".join(keys), configs, field


def _unknown_entry(key: str, configs: list[type[Config]]) -> ConfigError:
    table, _, name = key.rpartition(".")
    fields = [entry for entry in configs[0].model_fields if entry != "image_shape"]
    known = dotted_entries()
    in_table = closest(name, fields)
    elsewhere = [other for other in known if other.rpartition(".")[2] == name]
    best = f"{table}.{in_table}".lstrip(".") if in_table else None
    kind = kinds_of(configs[0])
    of_kind = f" of kind {kind[0]!r}" if kind and table in _tables_with_kinds() else ""
    if key in known:  # another kind of the table has it
        return ConfigError(
            f"{table}{of_kind} has no entry {name}. Allowed: {', '.join(fields)}. Replace the "
            f"whole table: --set '{table}={{kind=\"{kind[0]}\"}}'.",
            parameter=key,
            allowed=fields,
        )
    best = next(iter(elsewhere), None) or best or closest(key, known)
    hint = f" Did you mean {best}?" if best else ""
    of_table = f"Entries of {table}{of_kind}" if table else "Entries outside of tables"
    return ConfigError(
        f"There is no entry {key}.{hint} {of_table}: {', '.join(fields)}.",
        parameter=key,
        allowed=fields,
        suggestion=best,
    )


def _tables_with_kinds() -> set[str]:
    return {entry.removesuffix(".kind") for entry in dotted_entries() if entry.endswith(".kind")}


def _unknown_value(key: str, received: object, allowed: list[str]) -> ConfigError:
    best = closest(str(received), allowed)
    hint = f" Did you mean {best!r}?" if best else ""
    return ConfigError(
        f"{key} = {received!r} is not allowed.{hint} Allowed: {', '.join(allowed)}.",
        parameter=key,
        received=received,
        allowed=allowed,
        suggestion=best,
    )


def unreadable_override(override: str, reason: str, suggestion: str) -> ConfigError:
    """The error for an override that cannot be read or set."""
    return ConfigError(
        f"--set {override}: {reason}. Write --set {suggestion}=VALUE.",
        parameter="--set",
        received=override,
        suggestion=f"--set {suggestion}=VALUE",
    )


def nearest_entry(key: str) -> str:
    """The entry that a key most likely means: itself, the nearest, the first of its table."""
    known = dotted_entries()
    values = [entry for entry in known if not any(one.startswith(f"{entry}.") for one in known)]
    if key in values:
        return key
    table = key if key in known else key.rpartition(".")[0]
    of_table = [entry for entry in values if table and entry.startswith(f"{table}.")]
    near = None if table == key else closest(key, values)
    return near or next(iter(of_table), "training.epochs")
